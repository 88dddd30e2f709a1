"""Batches hold every pair once, never one alone; texts become columns."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import models
from train.batches import epoch_batches, report_columns, sentence_columns, steps_per_epoch
from train.sentences import split_sentences

REPORTS = ["Edema. No effusion.", "Clear lungs.", "No effusion. 1. Clear lungs.", "Clear lungs.", "Left chest tube."]


@pytest.fixture(scope="module")
def bundle():
    return models.build("toy", seed=0)


@given(n=st.integers(2, 300), batch_size=st.integers(2, 80), seed=st.integers(0, 5))
def test_an_epoch_has_every_item_once_in_nearly_equal_batches_and_none_of_one(n, batch_size, seed):
    assume(n >= batch_size)
    batches = list(epoch_batches(n, batch_size, np.random.default_rng(seed)))
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert min(sizes) > 1
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size, 3)
    assert len(batches) == steps_per_epoch(n, batch_size)


def test_a_batch_larger_than_the_data_is_an_error():
    with pytest.raises(ValueError, match=r"batch_size 64 is larger than the data: 10 items"):
        steps_per_epoch(10, 64)


def test_the_order_follows_the_seed():
    one, same, other = (list(epoch_batches(50, 8, np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_report_columns_are_the_reports_in_the_order_of_the_batch(bundle):
    columns = report_columns(REPORTS, bundle.tokenizer, context_length=24)
    tokens, positives = columns.batch(np.array([3, 0, 1]))
    wanted = models.tokenize([REPORTS[3], REPORTS[0], REPORTS[1]], bundle.tokenizer, context_length=24)
    assert torch.equal(tokens, models.trim_padding(wanted))
    assert torch.equal(positives, torch.eye(3, dtype=torch.bool))


def test_sentence_columns_are_the_batches_distinct_sentences_and_each_image_has_all_of_its_own(bundle):
    columns = sentence_columns(REPORTS, bundle.tokenizer, context_length=24)
    batch = np.array([2, 0, 4, 3])
    tokens, positives = columns.batch(batch)
    own = [set(split_sentences(REPORTS[pair])) for pair in batch]
    distinct = sorted(set.union(*own))
    wanted = models.trim_padding(models.tokenize(distinct, bundle.tokenizer, context_length=24))
    assert torch.equal(tokens, wanted)
    assert positives.tolist() == [[sentence in sentences for sentence in distinct] for sentences in own]


def test_columns_are_cut_to_the_longest_text_of_the_batch_alone(bundle):
    columns = report_columns(REPORTS, bundle.tokenizer, context_length=24)
    short, _ = columns.batch(np.array([1, 3]))
    long, _ = columns.batch(np.array([1, 0]))
    assert short.shape[1] < long.shape[1] < 24


def test_every_distinct_text_is_tokenised_once(bundle):
    seen = []

    def counting(texts, context_length):
        seen.extend(texts)
        return bundle.tokenizer(texts, context_length=context_length)

    report_columns(REPORTS, counting, context_length=24)
    assert sorted(seen) == sorted(set(REPORTS))
    seen.clear()
    sentence_columns(REPORTS, counting, context_length=24)
    assert sorted(seen) == ["clear lungs", "edema", "left chest tube", "no effusion"]


def test_a_report_without_a_sentence_is_an_error(bundle):
    with pytest.raises(ValueError, match=r"1 of 2 texts have no sentence, such as '___'"):
        sentence_columns(["Edema.", "___"], bundle.tokenizer, context_length=24)
