"""Token ids are the reference's; cutting the padding is exact."""

import json

import numpy as np
import pytest
import torch

import models
from models.tokens import trim_padding

# open_clip spells the special tokens otherwise, so it takes "<|startoftext|>" apart (golden/README.md)
SPELT_OTHERWISE = (34, 35)


@pytest.fixture(scope="module")
def bundle():
    return models.build("toy", seed=0)


@pytest.fixture(scope="module")
def golden_tokens(golden):
    texts = json.loads((golden / "tokens" / "texts.json").read_text(encoding="utf-8"))
    return texts, np.load(golden / "tokens" / "tokens.npz", allow_pickle=False)


@pytest.mark.golden
def test_training_tokens_equal_the_reference_for_all_texts_but_the_two_that_spell_special_tokens(bundle, golden_tokens):
    texts, expected = golden_tokens
    ours = models.tokenize(texts, bundle.tokenizer, context_length=77).numpy()
    different = np.flatnonzero((ours != expected["tokens"]).any(axis=1))
    assert set(different) <= set(SPELT_OTHERWISE)
    assert ours.dtype == np.int64


@pytest.mark.golden
def test_zero_shot_refuses_exactly_the_prompts_that_the_reference_refuses(bundle, golden_tokens):
    texts, expected = golden_tokens
    for row, (text, raises) in enumerate(zip(texts, expected["zero_shot_raises"], strict=True)):
        if row in SPELT_OTHERWISE:
            continue
        if raises:
            with pytest.raises(ValueError, match=r"does not fit into 77 tokens"):
                models.tokenize([text], bundle.tokenizer, context_length=77, on_overflow="error")
        else:
            models.tokenize([text], bundle.tokenizer, context_length=77, on_overflow="error")


def test_the_error_names_the_prompt_that_is_too_long(bundle):
    with pytest.raises(ValueError, match=r"'lung lung .* does not fit into 10 tokens \(1 of 2 prompts"):
        models.tokenize(["edema", "lung " * 9], bundle.tokenizer, context_length=10, on_overflow="error")
    fits = models.tokenize(["lung " * 8], bundle.tokenizer, context_length=10, on_overflow="error")
    assert fits[0, -1] == 49407


def test_truncation_keeps_the_end_mark_last(bundle):
    tokens = models.tokenize(["effusion " * 100], bundle.tokenizer, context_length=24)
    assert tokens.shape == (1, 24)
    assert tokens[0, -1] == 49407


def test_no_texts_give_no_rows(bundle):
    assert models.tokenize([], bundle.tokenizer, context_length=24).shape == (0, 24)


def test_padding_is_cut_to_the_longest_text(bundle):
    tokens = models.tokenize(["edema", "no pleural effusion", ""], bundle.tokenizer, context_length=24)
    trimmed = trim_padding(tokens)
    assert trimmed.shape[1] == max(int((row != 0).sum()) for row in tokens)
    assert torch.equal(trimmed, tokens[:, : trimmed.shape[1]])
    assert not tokens[:, trimmed.shape[1] :].any()


def test_features_of_a_causal_tower_do_not_change_when_padding_is_cut(bundle):
    assert bundle.trims_text
    texts = ["edema", "no pleural effusion or pneumothorax", "small nodule!", ""]
    full = models.tokenize(texts, bundle.tokenizer, context_length=24)
    with torch.no_grad():
        uncut = torch.nn.functional.normalize(bundle.model.encode_text(full), dim=-1)
        cut = models.text_features(bundle, trim_padding(full))
    assert trim_padding(full).shape[1] < 24
    torch.testing.assert_close(cut, uncut, atol=1e-6, rtol=0)


def test_gradients_of_a_cut_text_are_those_of_open_clips_own_forward_pass(bundle):
    full = models.tokenize(["edema", "no pleural effusion"], bundle.tokenizer, context_length=24)
    gradients = []
    for features in (
        lambda: torch.nn.functional.normalize(bundle.model.encode_text(full), dim=-1),
        lambda: models.text_features(bundle, trim_padding(full)),
    ):
        bundle.model.zero_grad()
        features()[:, 0].sum().backward()
        gradients.append({name: p.grad.clone() for name, p in bundle.model.text.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_a_tower_that_reads_its_padding_is_not_cut():
    bundle = models.build("toy", seed=0)
    bundle.model.text.attn_mask = None
    assert not bundle.trims_text
    tokens = models.tokenize(["edema"], bundle.tokenizer, context_length=24)
    with torch.no_grad():
        uncut = torch.nn.functional.normalize(bundle.model.eval().encode_text(tokens), dim=-1)
        cut = torch.nn.functional.normalize(bundle.model.encode_text(trim_padding(tokens)), dim=-1)
    assert torch.equal(models.encode_texts(bundle, tokens), uncut)
    assert (cut - uncut).abs().max() > 1e-3
