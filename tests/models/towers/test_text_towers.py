"""Encoders of the Hugging Face hub as text towers, from folders in the hub's own layout."""

import json
import pickle
import shutil

import open_clip
import pytest
import torch
from torch.nn.functional import normalize

import models
from models.training_only import freeze

TEXTS = ["no edema", "small left effusion", "edema"]


@pytest.fixture
def build(clip_weights):
    def build(folder, **options):
        return models.build("tiny-clip", pretrained=clip_weights, text_tower=str(folder), seed=0, **options)

    return build


def tokens_of(bundle):
    return models.tokenize(TEXTS, bundle.tokenizer, context_length=bundle.context_length)


def transformers_own(network, bundle):
    """Return the first token's hidden state as transformers computes it, projected: the oracle of the whole path."""
    tokens = tokens_of(bundle)
    with torch.no_grad():
        hidden = network(input_ids=tokens, attention_mask=(tokens != 0).long()).last_hidden_state[:, 0]
        return normalize(hidden @ bundle.model.text.proj.weight.T, dim=-1)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_features_are_those_of_transformers_behind_a_new_projection(kind, build, write_bert, tmp_path):
    network = write_bert(tmp_path, kind)
    bundle = build(tmp_path)
    assert bundle.context_length == (31 if kind == "roberta" else 32)
    assert bundle.trims_text
    torch.testing.assert_close(models.encode_texts(bundle, tokens_of(bundle)), transformers_own(network, bundle))


def test_cxr_bert_loads_as_the_bert_it_is_and_its_code_does_not_run(build, write_cxr_bert, tmp_path):
    network, _ = write_cxr_bert(tmp_path / "hub", width=12)
    bundle = build(tmp_path / "hub")
    expected = transformers_own(network, bundle)
    torch.testing.assert_close(models.encode_texts(bundle, tokens_of(bundle)), expected)
    models.save(bundle, tmp_path / "saved")
    shutil.copytree(tmp_path / "hub", tmp_path / "kept")
    shutil.rmtree(tmp_path / "hub")
    again = models.load(tmp_path / "saved")
    assert torch.equal(tokens_of(again), tokens_of(bundle))
    torch.testing.assert_close(models.encode_texts(again, tokens_of(again)), expected)
    assert not (tmp_path / "kept" / "ran").exists()


@pytest.fixture
def cxr_bert(write_cxr_bert, tmp_path):
    # as wide as the joint space of "tiny-clip"
    return tmp_path / "hub", *write_cxr_bert(tmp_path / "hub", width=32)


def test_in_a_joint_space_of_its_own_width_cxr_bert_keeps_its_projection_head(cxr_bert, build, tmp_path):
    folder, _, features = cxr_bert
    bundle = build(folder)
    tokens = tokens_of(bundle)
    torch.testing.assert_close(models.encode_texts(bundle, tokens), features(tokens), atol=1e-5, rtol=0)
    models.save(bundle, tmp_path / "saved")
    again = models.load(tmp_path / "saved")
    assert torch.equal(models.encode_texts(again, tokens), models.encode_texts(bundle, tokens))
    freeze(again, "text")
    assert not any(parameter.requires_grad for parameter in again.model.text.parameters())


def test_in_another_joint_space_cxr_bert_gets_a_new_projection(write_cxr_bert, build, tmp_path):
    write_cxr_bert(tmp_path, width=12)
    bundle = build(tmp_path)
    assert type(bundle.model.text.proj) is torch.nn.Linear
    freeze(bundle, "text")
    assert bundle.model.text.proj.weight.requires_grad


def test_a_projection_head_with_other_names_is_refused_by_name(cxr_bert, build):
    folder, _, _ = cxr_bert
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    state["cls_projection_head.dense_to_nothing.bias"] = state.pop("cls_projection_head.dense_to_output.bias")
    torch.save(state, folder / "pytorch_model.bin")
    wanted = r"cls_projection_head.* lacks 1 weights .*: dense_to_output.bias; and has 1 .*: dense_to_nothing.bias"
    with pytest.raises(ValueError, match=wanted):
        build(folder)


def test_a_configuration_from_before_types_were_written_down_is_a_bert(build, write_bert, tmp_path):
    network = write_bert(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["model_type"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    bundle = build(tmp_path)
    torch.testing.assert_close(models.encode_texts(bundle, tokens_of(bundle)), transformers_own(network, bundle))


def test_the_kept_image_tower_has_the_published_weights_and_the_scale_is_new(build, bert, clip_weights, films):
    published = models.build("tiny-clip", pretrained=clip_weights, seed=0)
    bundle = build(bert[0])
    assert torch.equal(models.encode_images(bundle, films), models.encode_images(published, films))
    assert published.model.logit_scale.exp().item() > 30
    assert bundle.model.logit_scale.exp().item() == pytest.approx(1 / 0.07)


def test_without_pretrained_weights_the_tower_is_random_and_follows_the_seed(bert):
    first, second, other = (models.build("tiny-clip", text_tower=str(bert[0]), seed=seed) for seed in (1, 1, 2))
    assert models.fingerprint(first) == models.fingerprint(second) != models.fingerprint(other)
    words = first.model.text.transformer.embeddings.word_embeddings.weight
    assert not torch.equal(words, bert[1].embeddings.word_embeddings.weight)


def test_every_weight_gets_a_gradient_as_many_processes_need_it(build, bert):
    bundle = build(bert[0])
    models.text_features(bundle, tokens_of(bundle))[:, 0].sum().backward()
    without = [name for name, parameter in bundle.model.text.named_parameters() if parameter.grad is None]
    assert without == []


def test_open_clip_loads_the_saved_folder_while_the_towers_own_is_there(build, bert, films, tmp_path):
    bundle = build(bert[0], context_length=20)
    models.save(bundle, tmp_path)
    model = open_clip.create_model(f"local-dir:{tmp_path}").eval()
    assert open_clip.get_tokenizer(f"local-dir:{tmp_path}").context_length == 20
    with torch.no_grad():
        theirs = model.encode_text(tokens_of(bundle), normalize=True)
        pictures = model.encode_image(models.to_network_input(films, bundle.preprocessing), normalize=True)
    ours = models.encode_images(bundle, films) @ models.encode_texts(bundle, tokens_of(bundle)).T
    torch.testing.assert_close(pictures @ theirs.T, ours, atol=1e-6, rtol=0)


def test_a_tower_that_cannot_be_downloaded_says_what_to_fetch_and_how_to_give_it(build):
    with pytest.raises(FileNotFoundError, match=r"hf download nobody/bert --local-dir(.|\n)*instead of hf:nobody/bert"):
        build("hf:nobody/bert")


def damage(folder, kind):
    weights = folder / "model.safetensors"
    if kind == "incomplete":
        (folder / "config.json").unlink()
    elif kind == "pointer":
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:620ee1\nsize 353553\n")
    elif kind == "code":
        weights.unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": exit}))
    elif kind == "missing":
        state = {"embeddings.word_embeddings.weight": torch.zeros(11, 16)}
        weights.unlink()
        torch.save(state, folder / "pytorch_model.bin")
    else:
        config = json.loads((folder / "config.json").read_text()) | {"model_type": "wonder-bert"}
        (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("incomplete", FileNotFoundError, r"not a complete copy of a Hugging Face model; found .*vocab.txt"),
        ("pointer", ValueError, r"git-lfs pointer"),
        ("code", ValueError, r"could run code: refused"),
        ("missing", ValueError, r"as bert lacks \d+ weights of this network: embeddings.LayerNorm.bias"),
        ("type", ValueError, r"of type 'wonder-bert'.*never run"),
    ],
)
def test_a_bad_folder_is_an_error_that_says_what_is_wrong(kind, error, message, build, write_bert, tmp_path):
    write_bert(tmp_path)
    damage(tmp_path, kind)
    with pytest.raises(error, match=message):
        build(tmp_path)


def test_impossible_wishes_are_refused(build, bert):
    with pytest.raises(ValueError, match=r"has positions for 32 tokens, so context_length cannot be 40"):
        build(bert[0], context_length=40)
    with pytest.raises(ValueError, match=r"text_tower 'bert' is neither hf:OWNER/NAME nor a folder"):
        build("bert")
    with pytest.raises(ValueError, match=r"project to 32 dimensions, so embed_dim cannot be 8"):
        build(bert[0], embed_dim=8)
