"""Every kind of model comes back from disk with the very same logits."""

import pytest
import torch

import models

KINDS = {
    "open_clip transformer": {},
    "timm network": {"image_tower": "timm:test_resnet"},
    "timm transformer at another size": {"image_tower": "timm:test_vit", "image_size": 48},
    "grey stem": {"grey_stem": True},
    "timm network with a grey stem": {"image_tower": "timm:test_convnext", "grey_stem": True},
    "another context": {"context_length": 100},
    "another joint space": {"embed_dim": 24},
}


def logits(bundle, films):
    texts = ["small left effusion", "no edema"]
    tokens = models.tokenize(texts, bundle.tokenizer, context_length=bundle.context_length)
    return bundle.model.logit_scale.exp() * models.encode_images(bundle, films) @ models.encode_texts(bundle, tokens).T


def assert_same(bundle, films, folder):
    with torch.no_grad():
        expected = logits(bundle, films)
        models.save(bundle, folder)
        # the resume state of a run lies beside the weights
        torch.save({"step": 3}, folder / "state.pt")
        again = models.load(folder)
        assert torch.equal(logits(again, films), expected)
    assert models.fingerprint(again) == models.fingerprint(bundle)
    assert again.preprocessing == bundle.preprocessing
    assert again.context_length == bundle.context_length
    assert again.name == bundle.name


@pytest.mark.parametrize("kind", KINDS)
def test_logits_after_a_round_trip_are_equal_to_the_bit(kind, films, tmp_path):
    assert_same(models.build("tiny-clip", seed=0, **KINDS[kind]), films, tmp_path)


def test_so_are_those_of_an_encoder_of_the_hub_with_a_timm_network(bert, films, tmp_path):
    bundle = models.build("tiny-clip", image_tower="timm:test_vit", text_tower=str(bert[0]), embed_dim=8, seed=0)
    assert_same(bundle, films, tmp_path)


def test_a_learnt_bias_comes_back_too(films, tmp_path):
    bundle = models.build("tiny-clip", seed=0)
    bundle.model.logit_bias = torch.nn.Parameter(torch.tensor(-4.5))
    models.save(bundle, tmp_path)
    assert models.load(tmp_path).model.logit_bias.item() == -4.5


def test_weights_that_are_a_git_lfs_pointer_are_named_as_such(tmp_path):
    models.save(models.build("tiny-clip", seed=0), tmp_path)
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:620ee1\n")
    with pytest.raises(ValueError, match=r"model.safetensors is a git-lfs pointer"):
        models.load(tmp_path)
