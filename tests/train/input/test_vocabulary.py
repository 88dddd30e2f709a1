"""Texts that are cut are counted, and texts that become equal are named; texts that are all equal are refused."""

import numpy as np
import pytest

import models
from cohort.image_reader import ArrayImages
from train.input.pairs import Pairs
from train.input.texts import make_text_table
from train.input.vocabulary import tokenise
from train.train_config import TrainConfig

LONG = "the heart is of normal size and the lungs are clear and the bones are intact and the vessels are normal "
"""20 tokens, with room for two more in a row of 24"""


@pytest.fixture(scope="module")
def bundle():
    return models.build("toy", seed=0)


def notes_of(bundle, texts, **settings):
    pairs = Pairs(images=ArrayImages(np.zeros((len(texts), 4, 4), np.uint8)), rows=np.arange(len(texts)), texts=texts)
    return make_text_table(pairs, bundle, TrainConfig(objective="reports", **settings)).notes


def test_a_text_is_cut_if_it_has_more_tokens_than_the_row(bundle):
    texts = [" ".join(["left"] * n) for n in (1, 21, 22, 23, 24, 60)]
    assert tokenise(texts, bundle).is_cut.tolist() == [False, False, False, True, True, True]


def test_48_reports_that_differ_after_the_cut_only_are_refused(bundle):
    reports = [LONG + LONG + f"there is finding {i}" for i in range(48)]
    with pytest.raises(
        ValueError, match=r"--txt_filepath: wanted texts that differ after tokenising, found the same"
    ) as e:
        notes_of(bundle, reports)
    assert "all 48 images (48 of 48 distinct texts are longer than 24 tokens and are cut; 1 distinct texts" in str(
        e.value
    )
    assert "--context_length" in str(e.value)


def test_the_same_sentences_in_another_order_for_every_image_are_refused(bundle):
    pairs = Pairs(
        images=ArrayImages(np.zeros((2, 4, 4), np.uint8)), rows=np.arange(2), texts=["Clear. Dry.", "Dry. Clear."]
    )
    with pytest.raises(
        ValueError, match=r"wanted texts that differ after tokenising, .* all 2 images \(0 of 2 distinct"
    ):
        make_text_table(pairs, bundle, TrainConfig())


@pytest.mark.parametrize(
    ("settings", "fate"),
    [
        ({}, "merged"),
        ({"duplicates": "negatives", "form": "softmax"}, "negatives of each other (--duplicates negatives)"),
    ],
)
def test_many_texts_that_become_equal_are_a_warning_with_their_numbers(bundle, settings, fate):
    reports = [LONG + LONG + f"there is finding {i}" for i in range(6)] + [f"Short {i}." for i in range(4)]
    wanted = (
        "WARNING: 6 of 10 distinct texts are longer than 24 tokens and are cut; 5 distinct texts remain after "
        f"tokenising, the others are {fate}: --context_length reads more or compare shorter texts with "
        "--objective sentences"
    )
    assert notes_of(bundle, reports, **settings) == (wanted,)


def test_cut_texts_that_still_differ_are_noted(bundle):
    reports = [f"Finding {i} " + LONG for i in range(3)] + ["Clear."]
    note = notes_of(bundle, reports)[0]
    assert note.startswith("3 of 4 distinct texts are longer than 24 tokens and are cut; 4 distinct texts remain")


def test_texts_of_equal_tokens_are_noted_although_none_is_cut(bundle):
    note = "1 of 3 distinct texts have the same tokens as another one and are merged"
    assert notes_of(bundle, ["No edema.", "No edema .", "Clear."]) == (note,)


def test_texts_that_fit_need_no_note(bundle):
    assert notes_of(bundle, ["Clear.", "Edema.", " ".join(["left"] * 22)]) == ()
