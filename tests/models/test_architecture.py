"""Architectures by name, their weights, and a text tower that starts as a bag of words."""

import logging
import re
import warnings

import open_clip
import pytest
import torch

import models
from models import architecture
from models.architecture import start_as_bag_of_words
from models.files import open_clip_weights as published

CONTEXT = 24


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (models.build("toy", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert models.fingerprint(first) == models.fingerprint(second) != models.fingerprint(other)


def test_image_size_and_context_length_can_be_chosen():
    bundle = models.build("toy", image_size=48, context_length=12, seed=0)
    assert bundle.preprocessing.image_size == 48
    assert bundle.context_length == 12
    assert models.tokenize(["x " * 40], bundle.tokenizer, context_length=bundle.context_length).shape == (1, 12)
    assert bundle.config["vision_cfg"]["image_size"] == 48


def test_phantom_tiny_is_known_and_small():
    bundle = models.build("phantom-tiny", seed=0)
    images = torch.zeros((2, 64, 64), dtype=torch.uint8)
    assert models.encode_images(bundle, images).shape == (2, bundle.config["embed_dim"])
    assert sum(p.numel() for p in bundle.model.parameters()) < 15e6


def test_an_unknown_architecture_is_an_error_that_lists_near_ones():
    with pytest.raises(ValueError, match=r"'ViT-B-23' is unknown to open_clip.*; near: .*ViT-B-32"):
        models.build("ViT-B-23", seed=0)


def test_an_unknown_tag_is_an_error_that_lists_the_published_ones():
    with pytest.raises(ValueError, match=r"neither a file nor published weights of RN50; published: .*openai"):
        models.build("RN50", pretrained="opnai", seed=0)


def test_a_weights_file_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"weights/none.pt does not exist"):
        models.build("toy", pretrained="weights/none.pt", seed=0)


def test_weights_that_cannot_be_downloaded_are_one_line_that_says_where_to_put_the_file(monkeypatch, capfd):
    def offline(*_args, **_kwargs):
        # as the hub's client does, five times
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        logging.getLogger().warning("Retrying in 1s [Retry 1/5].")
        warnings.warn("no network", stacklevel=1)
        raise OSError("no route\nto host")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", offline)
    with pytest.raises(FileNotFoundError) as error:
        models.build("RN50", pretrained="yfcc15m", seed=0)
    assert re.fullmatch(
        r"the published weights 'yfcc15m' of RN50 could not be downloaded \(.*no route to host\): download them on a"
        r" machine with internet access with `hf download timm/resnet50_clip.yfcc15m open_clip_model.safetensors"
        r" --local-dir .` and put the file at \S+/models/weights/RN50-yfcc15m.safetensors .*--random_init",
        str(error.value),
    )
    assert capfd.readouterr() == ("", "")


def test_a_file_placed_in_the_weights_folder_stands_in_for_the_download(tmp_path, monkeypatch):
    source = models.build("toy", seed=3)
    torch.save(source.model.state_dict(), tmp_path / "toy-published.pt")
    monkeypatch.setattr(published, "WEIGHTS", tmp_path)
    bundle = models.build("toy", pretrained="published", seed=0)
    assert models.fingerprint(bundle) == models.fingerprint(source)


def test_a_local_file_of_another_architecture_is_an_error_that_names_both(tmp_path):
    torch.save({"visual.trunk.wrong": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other.pt holds weights of another architecture than toy"):
        models.build("toy", pretrained=str(tmp_path / "other.pt"), seed=0)


def test_published_weights_trained_with_quick_gelu_get_it(monkeypatch):
    config = architecture._config("ViT-B-32", "openai", image_size=None)
    assert config["quick_gelu"] is True
    assert "quick_gelu" not in architecture._config("ViT-B-32", None, image_size=None)


@pytest.fixture
def bag_of_words():
    bundle = models.build("toy", seed=0)
    blocks = bundle.model.text.transformer.resblocks
    bundle.model.text.transformer.resblocks = blocks[:1]
    start_as_bag_of_words(bundle.model.text, seed=3)
    return bundle


def features(bundle, *texts):
    return models.encode_texts(bundle, models.tokenize(texts, bundle.tokenizer, context_length=CONTEXT))


def test_the_order_of_the_words_does_not_matter_and_the_words_do(bag_of_words):
    one, other, third = features(bag_of_words, "small left effusion", "effusion left small", "small right effusion")
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert (one - third).abs().max() > 1e-2


def test_texts_that_share_words_are_nearer_than_texts_that_share_none():
    # averaged over 20 starts: one random start of a tower 16 wide may be unlucky
    gaps = []
    for seed in range(20):
        bundle = models.build("toy", seed=seed)
        start_as_bag_of_words(bundle.model.text, seed=seed)
        left, right, heart = features(bundle, "small left effusion", "small right effusion", "heart size normal")
        gaps.append(float(left @ right - left @ heart))
    assert sum(gaps) / len(gaps) > 0.2


def test_a_bag_of_words_depends_on_its_seed_and_leaves_the_global_generator_alone():
    towers = []
    for seed in (3, 3, 4):
        bundle = models.build("toy", seed=0)
        before = torch.get_rng_state()
        start_as_bag_of_words(bundle.model.text, seed=seed)
        assert torch.equal(before, torch.get_rng_state())
        towers.append(bundle.model.text.token_embedding.weight.detach())
    assert torch.equal(towers[0], towers[1])
    assert not torch.equal(towers[0], towers[2])


def test_attention_can_still_learn_to_prefer_words(bag_of_words):
    tokens = models.tokenize(["small left effusion"], bag_of_words.tokenizer, context_length=CONTEXT)
    models.text_features(bag_of_words, tokens)[:, 0].sum().backward()
    _, keys, _ = bag_of_words.model.text.transformer.resblocks[0].attn.in_proj_weight.grad.chunk(3)
    assert keys.abs().max() > 1e-6
