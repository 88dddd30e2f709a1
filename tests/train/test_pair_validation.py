"""Validation by held-out pairs: retrieval finds what was planted, however often it is there."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch

import models
from cohort.image_reader import ArrayImages
from train import pair_validation
from train.input.pairs import Pairs
from train.train_config import TrainConfig

validation = import_module("train.pair_validation")
CONFIG = TrainConfig(objective="reports", form="softmax", batch_size=4, eval_images=6, device="cpu")
TEXTS = ("No finding.", "An opacity. No fracture.", "No finding.", "A fracture.", "A band.", "An effusion.", "Cut off.")


@pytest.fixture
def pairs():
    images = np.random.default_rng(0).integers(0, 255, (7, 32, 32)).astype(np.uint8)
    return Pairs(images=ArrayImages(images), rows=np.arange(7), texts=TEXTS)


@pytest.fixture
def oracle(monkeypatch):
    """Let images and texts of the same report have the same features."""
    basis = dict(zip(sorted(set(TEXTS)), torch.eye(16), strict=False))
    place = iter(TEXTS * 2)
    monkeypatch.setattr(
        "models.encode_many.encode_images", lambda bundle, grey: torch.stack([basis[next(place)] for _ in grey])
    )
    monkeypatch.setattr(
        validation, "_report_features", lambda bundle, reports, config: torch.stack([basis[r] for r in reports])
    )


def test_a_model_that_knows_the_answers_finds_all_of_them_duplicates_included(pairs, oracle):
    figures = pair_validation(pairs, CONFIG)(models.build("toy", seed=0))
    assert {name: value for name, value in figures.items() if "/" in name} == {
        **{f"{way}/recall_at_{k}": 1.0 for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)},
        "image_to_text/median_rank": 1.0,
        "text_to_image/median_rank": 1.0,
    }
    assert np.isfinite(figures["validation_loss"])


def test_a_report_is_one_text_or_the_mean_of_its_sentences(pairs):
    bundle = models.build("toy", seed=0)
    bundle.model.eval()

    def encode(texts):
        return models.encode_texts(bundle, models.tokenize(texts, bundle.tokenizer, context_length=24))

    whole = validation._report_features(bundle, [TEXTS[1], TEXTS[3]], CONFIG)
    torch.testing.assert_close(whole, encode([TEXTS[1], TEXTS[3]]), atol=1e-6, rtol=0)
    by_sentence = validation._report_features(bundle, [TEXTS[1]], replace(CONFIG, objective="sentences"))
    mean = encode(["an opacity", "no fracture"]).mean(dim=0)
    torch.testing.assert_close(by_sentence[0], mean / mean.norm(), atol=1e-6, rtol=0)


def test_validation_leaves_the_model_as_it_was_and_repeats_itself(pairs):
    bundle = models.build("toy", seed=0)
    before = models.fingerprint(bundle)
    evaluate = pair_validation(pairs, replace(CONFIG, objective="sentences"))
    assert evaluate(bundle) == evaluate(bundle)
    assert models.fingerprint(bundle) == before


def test_another_report_of_the_same_study_is_a_hit_too(pairs):
    first = replace(pairs, rows=pairs.rows[:6], texts=TEXTS[:6], study_ids=["a", "b", "c", "b", "d", "e"])
    relevant = validation._belongs(np.array([0, 1, 0, 2, 3, 4]), first.study_numbers())
    wanted = np.zeros((6, 5), dtype=bool)
    wanted[[0, 1, 1, 2, 3, 3, 4, 5], [0, 1, 2, 0, 1, 2, 3, 4]] = True
    np.testing.assert_array_equal(relevant, wanted)


def test_pairs_with_a_cohort_are_cut_to_the_first_ones_too(pairs):
    """More pairs than are validated on."""
    known = replace(pairs, cohort=pd.DataFrame({"subject_id": list("abcdefg")}), image_ids=list("abcdefg"))
    assert validation._first(known, 6).image_ids == list("abcdef")
