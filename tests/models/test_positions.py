"""Texts longer and shorter than the trained context."""

import numpy as np
import pytest
import torch

import models
from models.positions import KEPT, stretch, with_context_length

SHORT = ["no edema", "small left pleural effusion", ""]


def test_longer_contexts_keep_the_first_positions_and_stretch_the_others_from_end_to_end():
    trained = torch.randn(77, 6, generator=torch.Generator().manual_seed(0))
    long = stretch(trained, 191)
    assert torch.equal(long[:KEPT], trained[:KEPT])
    assert torch.equal(long[KEPT], trained[KEPT])
    torch.testing.assert_close(long[-1], trained[-1])
    for column in range(6):
        expected = np.interp(np.linspace(0, 56, 171), np.arange(57), trained[KEPT:, column])
        np.testing.assert_allclose(long[KEPT:, column], expected, atol=1e-6)


def test_three_times_as_many_positions_pass_through_the_trained_ones():
    trained = torch.randn(77, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stretch(trained, KEPT + 3 * 56 + 1)[KEPT::3], trained[KEPT:])


def test_shorter_contexts_are_the_first_positions():
    trained = torch.randn(30, 2)
    assert torch.equal(stretch(trained, 11), trained[:11])
    assert torch.equal(stretch(trained[:10], 19)[:5], trained[:5])


@pytest.mark.parametrize("length", [40, 150])
def test_a_published_model_gets_another_context_and_short_texts_keep_their_features(length, clip_weights, tmp_path):
    trained = models.build("tiny-clip", pretrained=clip_weights, seed=0)
    bundle = models.build("tiny-clip", pretrained=clip_weights, context_length=length, seed=0)
    assert bundle.context_length == bundle.model.context_length == length
    features = []
    for each in (trained, bundle):
        tokens = models.tokenize(SHORT, each.tokenizer, context_length=each.context_length)
        assert tokens.shape == (3, each.context_length)
        features.append(models.encode_texts(each, tokens))
    assert torch.equal(*features)
    long = models.tokenize(["effusion " * 200], bundle.tokenizer, context_length=length)
    with torch.no_grad():
        whole = torch.nn.functional.normalize(bundle.model.encode_text(long), dim=-1)
    torch.testing.assert_close(models.encode_texts(bundle, long), whole)
    models.save(bundle, tmp_path)
    again = models.load(tmp_path)
    assert again.context_length == length
    assert torch.equal(models.encode_texts(again, long), models.encode_texts(bundle, long))


def test_a_text_tower_that_reads_its_padding_cannot_change_its_context():
    bundle = models.build("toy", seed=0)
    bundle.model.text.attn_mask = None
    assert with_context_length(bundle, 24) is bundle
    with pytest.raises(ValueError, match=r"toy: its text tower reads the padding, so it knows 24 tokens only"):
        with_context_length(bundle, 30)


def test_an_encoder_of_the_hub_may_read_less_than_it_has_positions_for_and_not_more(bert, tmp_path):
    bundle = models.build("tiny-clip", text_tower=str(bert[0]), context_length=20, seed=0)
    assert bundle.context_length == 20
    wider = with_context_length(bundle, 32)
    assert models.tokenize(["edema"], wider.tokenizer, context_length=wider.context_length).shape == (1, 32)
    with pytest.raises(ValueError, match=r"has positions for 32 tokens, not for 33"):
        with_context_length(bundle, 33)
    models.save(bundle, tmp_path)
    assert models.load(tmp_path).context_length == 20
