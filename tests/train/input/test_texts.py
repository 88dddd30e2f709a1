"""Texts of a batch: which columns are drawn, and to which images they belong, checked by the words themselves."""

import doctest
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

import models
from cohort.image_reader import ArrayImages
from cohort.report_sentences import distinct_sentences
from train.input import texts as columns
from train.input.mirrored_text import swap_sides
from train.input.pairs import Pairs
from train.input.texts import make_text_table
from train.train_config import Augmentation, TrainConfig

REPORTS = ["Edema. No effusion.", "Clear lungs.", "No effusion. 1. Clear lungs.", "clear  lungs", "Left chest tube."]
SECONDS = ["Heart is enlarged.", "", "Edema. Bones are intact.", "Clear lungs.", ""]
NOBODY = np.zeros(5, dtype=bool)


@pytest.fixture(scope="module")
def bundle():
    return models.build("toy", seed=0)


@pytest.fixture(scope="module")
def words(bundle):
    """Return the function from token rows back to words."""
    return lambda tokens: [
        bundle.tokenizer.decode([i for i in row if 0 < i < 49406]).strip() for row in tokens.tolist()
    ]


def pairs_of(texts, **more):
    return Pairs(
        images=ArrayImages(np.zeros((len(texts), 4, 4), np.uint8)), rows=np.arange(len(texts)), texts=texts, **more
    )


def table_of(bundle, texts=REPORTS, *, settings=None, **fields):
    return make_text_table(pairs_of(texts, **fields), bundle, TrainConfig(**(settings or {})))


def draw(table, images, *, mirrored=None, seed=0, studies=None):
    images = np.array(images)
    return table.draw(
        images,
        studies=np.arange(len(images)) if studies is None else np.array(studies),
        is_mirrored=NOBODY[: len(images)] if mirrored is None else np.array(mirrored),
        rng=np.random.default_rng(seed),
    )


def belongs(table, drawn, words):
    """Return, for each image, the words of its columns."""
    texts = words(table.tokens[drawn.texts])
    assert len(set(texts)) == len(texts)
    return [{text for text, target in zip(texts, row, strict=True) if target == 1} for row in drawn.targets]


def test_the_columns_are_the_batches_distinct_sentences_and_each_image_has_all_of_its_own(bundle, words):
    table = table_of(bundle)
    drawn = draw(table, [2, 0, 4, 3])
    own = [set(distinct_sentences(REPORTS[i])) for i in (2, 0, 4, 3)]
    assert belongs(table, drawn, words) == own
    assert set(words(table.tokens[drawn.texts])) == set.union(*own)


def test_equal_reports_are_one_column_and_equal_means_normalised(bundle, words):
    table = table_of(bundle, settings={"objective": "reports"})
    drawn = draw(table, [3, 0, 1])
    assert drawn.targets.shape == (3, 2)
    assert belongs(table, drawn, words) == [{"clear lungs ."}, {"edema . no effusion ."}, {"clear lungs ."}]


def test_reports_as_each_others_negatives_are_one_column_per_image_in_the_batches_order(bundle, words):
    table = table_of(bundle, settings={"objective": "reports", "form": "softmax", "duplicates": "negatives"})
    drawn = draw(table, [3, 0, 1])
    assert words(table.tokens[drawn.texts]) == ["clear lungs", "edema . no effusion .", "clear lungs ."]
    assert np.array_equal(drawn.targets, np.eye(3))


def test_texts_that_the_tokenizer_cuts_to_the_same_are_one_column(bundle):
    long = "small " * 30
    table = table_of(bundle, [long + "left effusion.", long + "right effusion.", "Edema."])
    assert draw(table, [0, 1, 2]).targets.tolist() in ([[1, 0], [1, 0], [0, 1]], [[0, 1], [0, 1], [1, 0]])


def test_so_many_sentences_of_each_report_are_drawn_anew_at_each_step(bundle, words):
    reports = [f"Finding {i}. Device {i}. Bone {i}. Heart {i}." for i in range(5)]
    table = table_of(bundle, reports, settings={"sentences_per_report": 2})
    seen = Counter()
    for seed in range(200):
        own = belongs(table, draw(table, range(5), seed=seed), words)
        for i, texts in enumerate(own):
            assert len(texts) == 2
            assert texts <= set(distinct_sentences(reports[i]))
        seen.update(own[3])
    assert len(seen) == 4
    assert min(seen.values()) > 70


def test_a_sentence_drawn_for_one_image_belongs_to_every_image_whose_report_says_it(bundle, words):
    reports = ["Edema. No effusion.", "Edema. Clear lungs.", "Edema.", "Fracture."]
    table = table_of(bundle, reports, settings={"sentences_per_report": 1})
    for seed in range(20):
        drawn = draw(table, range(4), seed=seed)
        columns_ = set(words(table.tokens[drawn.texts]))
        wanted = [set(distinct_sentences(report)) & columns_ for report in reports]
        assert belongs(table, drawn, words) == wanted


def test_one_of_two_texts_is_drawn_for_each_image_as_often_as_asked_for(bundle, words):
    table = table_of(bundle, second_texts=SECONDS, settings={"second_share": 0.25, "objective": "reports"})
    taken = Counter()
    for seed in range(400):
        own = belongs(table, draw(table, [0, 1, 4], seed=seed), words)
        assert own[1:] == [{"clear lungs ."}, {"left chest tube ."}]
        assert len(own[0]) == 1
        taken.update(own[0])
    assert set(taken) == {"heart is enlarged .", "edema . no effusion ."}
    assert 70 < taken["heart is enlarged ."] < 130


def test_a_second_text_belongs_to_its_image_whichever_was_drawn(bundle, words):
    table = table_of(bundle, second_texts=SECONDS, settings={"second_share": 1.0})
    drawn = draw(table, [0, 2])
    # "edema" is drawn from the second text of image 2, and is in the first of image 0
    assert belongs(table, drawn, words) == [{"heart is enlarged", "edema"}, {"edema", "bones are intact"}]


def test_images_of_one_study_get_the_same_draw(bundle):
    report = "Finding. Device. Bone. Heart. Lungs."
    table = table_of(bundle, [report, report, report + " Ribs."], settings={"sentences_per_report": 2})
    for seed in range(30):
        assert draw(table, [0, 1], studies=[0, 0], seed=seed).targets.tolist() == [[1, 1], [1, 1]]
    apart = {draw(table, [0, 1], studies=[0, 1], seed=seed).targets.shape[1] for seed in range(30)}
    assert apart >= {2, 3, 4}


def test_images_of_one_study_get_the_same_of_two_texts(bundle):
    more = {"second_texts": ["Fluid.", "Fluid.", ""], "settings": {"objective": "reports"}}
    table = table_of(bundle, ["Edema.", "edema", "Clear."], **more)
    assert {draw(table, [0, 1], studies=[0, 0], seed=seed).targets.shape for seed in range(30)} == {(2, 1)}
    assert {draw(table, [0, 1], studies=[0, 1], seed=seed).targets.shape for seed in range(30)} == {(2, 1), (2, 2)}


def test_a_mirrored_image_has_its_texts_with_left_and_right_swapped(bundle, words):
    reports = ["Left effusion. Edema.", "Right effusion.", "Lingular opacity. Left effusion.", "Clear lungs."]
    table = table_of(bundle, reports, settings={"augment": Augmentation(flip=0.5)})
    assert table.can_mirror.tolist() == [True, True, False, True]
    own = belongs(table, draw(table, range(4), mirrored=[True, False, False, True]), words)
    assert own[0] == {swap_sides(sentence) for sentence in distinct_sentences(reports[0])}
    # the text that the first image now has was the second's already
    assert own[1] == {"right effusion"}
    assert own[2:] == [{"lingular opacity", "left effusion"}, {"clear lungs"}]


def test_a_text_of_a_study_with_the_very_same_labels_is_a_partner_by_so_much(bundle):
    nan = np.nan
    labels = np.array([[1, nan], [1, nan], [1, 0], [nan, nan], [nan, nan]])
    reports = ["Edema.", "Fluid.", "Congestion.", "Clear.", "Normal."]
    table = table_of(bundle, reports, labels=labels, settings={"label_similarity": 0.3})
    drawn = draw(table, range(5))
    order = [int(row.argmax()) for row in drawn.targets]
    assert drawn.targets[:, order] == pytest.approx(
        np.eye(5) + 0.3 * np.eye(5)[[1, 0, 2, 3, 4]] * [[1], [1], [0], [0], [0]]
    )


def test_a_text_on_findings_of_which_an_images_reports_say_nothing_is_unknown_to_it(bundle, words):
    reports = ["Large effusion. Normal study.", "Edema.", "No edema. No effusion.", "Normal study.", "Fracture. Edema."]
    seconds = ["", "Pleural effusion.", "", "", ""]
    table = table_of(bundle, reports, second_texts=seconds, settings={"unmentioned": "unknown", "second_share": 0.0})
    drawn = draw(table, range(5))
    names = words(table.tokens[drawn.texts])
    unknown = [{text for text, target in zip(names, row, strict=True) if np.isnan(target)} for row in drawn.targets]
    assert unknown == [
        {"edema", "no edema", "fracture"},
        # its second report speaks of effusions, drawn or not
        {"fracture"},
        {"fracture"},
        {"large effusion", "edema", "no edema", "no effusion", "fracture"},
        {"large effusion", "no effusion"},
    ]
    plain = draw(table_of(bundle, reports, second_texts=seconds, settings={"second_share": 0.0}), range(5))
    assert np.array_equal(drawn.texts, plain.texts)
    assert np.array_equal(np.nan_to_num(drawn.targets), plain.targets)


def test_soft_targets_without_labels_are_an_error(bundle):
    with pytest.raises(ValueError, match=r"label_similarity needs the labels"):
        table_of(bundle, settings={"label_similarity": 0.3})


def test_a_report_without_a_sentence_is_an_error(bundle):
    with pytest.raises(ValueError, match=r"1 of 2 texts have no sentence, such as '___'"):
        table_of(bundle, ["Edema.", "___"])


def test_every_distinct_text_is_tokenised_once(bundle, monkeypatch):
    seen = []

    def counting(texts, tokenizer, context_length):
        seen.extend(texts)
        return models.tokenize(texts, tokenizer, context_length=context_length)

    monkeypatch.setattr("train.input.vocabulary.tokenize", counting)
    table_of(bundle)
    assert sorted(seen) == ["clear lungs", "edema", "left chest tube", "no effusion"]


def test_the_floor_of_a_batch_counts_each_text_over_its_images_and_each_image_over_its_texts(bundle):
    """Edema belongs to 3 images, fluid to 2, clear to 1; two images have two texts, two have one."""
    texts = ["Edema. Fluid.", "Fluid. Edema.", "Edema.", "Clear."]
    drawn = draw(table_of(bundle, texts, settings={"form": "softmax"}), range(4))
    of_images, of_texts = 2 * math.log(2) / 4, (math.log(3) + math.log(2)) / 3
    assert drawn.loss_floor == pytest.approx((of_images + of_texts) / 2)
    assert draw(table_of(bundle, texts), range(4)).loss_floor == pytest.approx(0, abs=1e-12)


DATES = ("Compared with 3 May. Clear.", "Compared with 5 May. Clear.", "Edema.", "Fluid.")


@pytest.mark.parametrize("objective", ["reports", "sentences"])
def test_texts_of_one_study_that_differ_in_a_date_belong_to_all_its_images(bundle, objective):
    table = table_of(bundle, DATES, study_ids=["s1", "s1", "s2", "s3"], settings={"objective": objective})
    targets = draw(table, range(4)).targets
    assert np.array_equal(targets[0], targets[1])
    assert targets[2:] @ targets[:2].T == pytest.approx(np.zeros((2, 2)))


def test_blank_studies_and_studies_of_other_patients_are_studies_of_their_own(bundle):
    patients = pd.DataFrame({"subject_id": ["p1", "p2", "p3", "p4"]})
    for studies, cohort in ((["", "", " ", ""], None), (["1", "1", "1", "1"], patients)):
        table = table_of(bundle, DATES, study_ids=studies, cohort=cohort, settings={"objective": "reports"})
        drawn = draw(table, range(4))
        assert drawn.targets.sum() == 4
        assert (drawn.targets.sum(axis=0) == 1).all()


def test_one_study_for_all_images_is_an_error_that_names_it(bundle):
    with pytest.raises(ValueError, match=r"study_id: wanted images of several studies, found '1' for all 4 images"):
        table_of(bundle, DATES, study_ids=["1"] * 4)


def test_clips_own_negatives_stay_as_they_are_whatever_the_study(bundle):
    clip = {"objective": "reports", "form": "softmax", "duplicates": "negatives"}
    table = table_of(bundle, DATES, study_ids=["s1", "s1", "s2", "s3"], settings=clip)
    assert np.array_equal(draw(table, range(4)).targets, np.eye(4))


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(columns).failed == 0
