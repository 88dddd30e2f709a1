"""The fingerprint of an architecture: whatever moves a feature is in it, and nothing else."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch

import models
from models.identity import architecture_fingerprint


@pytest.fixture(scope="module")
def original(write_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    write_bert(folder)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "another-name")


def build(folder):
    return models.build("tiny-clip", text_tower=str(folder), embed_dim=8, seed=0)


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def texts(bundle):
    tokens = models.tokenize(["No edema", "small effusion"], bundle.tokenizer, context_length=bundle.context_length)
    return models.encode_texts(bundle, tokens)


def other_vocabulary(folder):
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text())
    words = fields["model"]["vocab"]
    words["edema"], words["effusion"] = words["effusion"], words["edema"]
    path.write_text(json.dumps(fields))


def case_counts(folder):
    change(folder / "tokenizer_config.json", do_lower_case=False)


@pytest.mark.parametrize(
    "edit",
    [
        other_vocabulary,
        case_counts,
        lambda folder: change(folder / "config.json", hidden_act="relu"),
        lambda folder: change(folder / "config.json", num_attention_heads=4),
        lambda folder: change(folder / "config.json", layer_norm_eps=0.1),
    ],
)
def test_another_tokenizer_activation_or_number_of_heads_is_another_model_with_equal_weights(edit, original, folder):
    edit(folder)
    before, after = build(original), build(folder)
    assert models.fingerprint(before) == models.fingerprint(after)
    assert not torch.equal(texts(before), texts(after))
    assert architecture_fingerprint(before) != architecture_fingerprint(after)


def test_names_times_versions_and_options_of_training_are_not_in_it(original, folder):
    change(folder / "config.json", _name_or_path="elsewhere", transformers_version="4.1", hidden_dropout_prob=0.5)
    change(folder / "config.json", architectures=["BertForMaskedLM"], use_cache=False)
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    before, after = build(original), build(folder)
    assert torch.equal(texts(before), texts(after))
    assert architecture_fingerprint(before) == architecture_fingerprint(after)


def test_it_is_the_same_after_a_round_trip_and_after_the_tokenizer_was_used(original, tmp_path):
    bundle = build(original)
    before = architecture_fingerprint(bundle)
    texts(bundle)
    assert architecture_fingerprint(bundle) == before
    models.save(bundle, tmp_path)
    assert architecture_fingerprint(models.load(tmp_path)) == before


@pytest.mark.parametrize(
    ("tower", "option", "value", "is_same"),
    [
        ("text_cfg", "pool_type", "argmax", True),
        ("text_cfg", "pool_type", "last", False),
        ("vision_cfg", "patch_dropout", 0.5, True),
        ("vision_cfg", "head_width", 32, False),
    ],
)
def test_an_option_with_its_default_is_no_change_and_one_of_training_neither(tower, option, value, is_same):
    bundle = models.build("tiny-clip", seed=0)
    other = replace(bundle, config={**bundle.config, tower: {**bundle.config[tower], option: value}})
    assert (architecture_fingerprint(bundle) == architecture_fingerprint(other)) == is_same


def test_another_activation_is_another_model():
    bundle = models.build("tiny-clip", seed=0)
    other = replace(bundle, config={**bundle.config, "quick_gelu": False})
    assert architecture_fingerprint(bundle) != architecture_fingerprint(other)
