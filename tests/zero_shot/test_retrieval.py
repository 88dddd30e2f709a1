"""Retrieval from a model, a store and texts: planted copies, ids, and training's own figures."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import models
from cohort import open_images, read_cohort, read_texts
from cohort.image_reader import ArrayImages
from metrics.ranks import retrieval_figures
from zero_shot import retrieve, select_images
from zero_shot.images import Images
from zero_shot.retrieval import distinct_texts, report_features, retrieval_table

STOCK = "No acute cardiopulmonary process."


def words(k):
    """Return the spelling of a number, which no rule about punctuation can take for another one."""
    return "".join("abcdefghij"[int(digit)] for digit in str(k))


@pytest.fixture
def selected(archive):
    """Return the archive's test images, their cohort rows, and texts of which a third are one stock phrase."""
    reports = [STOCK if k % 3 == 0 else f"Nodule {words(k)}." for k in range(len(archive.frame))]
    reports[1], reports[3] = "NO IMPRESSION", "no acute  CARDIOPULMONARY process"
    texts = archive.frame[["image_id"]].assign(impression=reports).sample(frac=1, random_state=0)
    texts.to_csv(archive.cxr.with_name("texts.csv"), index=False)
    store = open_images(archive.cxr)
    chosen, images, _ = select_images(read_cohort(archive.cohort), store, split="test")
    return images, chosen, read_texts(archive.cxr.with_name("texts.csv"))


@pytest.fixture
def knows_the_answers(monkeypatch, archive, selected):
    """Let the images and texts of one report have one feature, whatever the pixels are."""
    by_id = selected[2].set_index("image_id")["text"]
    distinct = distinct_texts(by_id.tolist())
    basis = torch.eye(len(distinct.texts))
    row_of = dict(zip(by_id.index, distinct.content, strict=True))
    place = {text: basis[k] for k, text in enumerate(distinct.texts)}
    monkeypatch.setattr(
        "zero_shot.retrieval.image_features",
        lambda bundle, images, batch_size: torch.stack([basis[row_of[k]] for k in images.ids]),
    )
    monkeypatch.setattr(
        "zero_shot.retrieval.report_features",
        lambda bundle, texts, read_as: (torch.stack([place[text] for text in texts]), 0),
    )


def test_equal_texts_are_hits_and_the_diagonal_misses_exactly_them(bundle, selected, knows_the_answers):
    found = retrieve(bundle, *selected, n_replicates=40)
    images, chosen, texts = selected
    own = texts.set_index("image_id")["text"][list(images.ids)]
    stock = own.str.lower().str.contains("cardiopulmonary").sum()
    assert stock > 10
    assert found.n_images == len(images) - 1
    assert found.n_texts == found.n_images - stock + 1
    assert found.duplicates_share == pytest.approx(stock / found.n_images)
    assert found.flow.steps[-1].reason == "no text"
    assert found.flow.steps[-1].rows == 1
    table = found.table.set_index(["direction", "hit"])
    assert table["recall_at_10"].to_dict() == {
        ("image_to_text", "same text"): 1.0,
        ("image_to_text", "own pair"): pytest.approx(1 - stock / found.n_images),
        ("text_to_image", "same text"): 1.0,
        ("text_to_image", "same text, each once"): 1.0,
        ("text_to_image", "own pair"): pytest.approx(1 - stock / found.n_images),
    }
    assert table["n_candidates"].tolist() == [found.n_texts, *[found.n_images] * 4]
    assert table["n_queries"].tolist() == [*[found.n_images] * 3, found.n_texts, found.n_images]
    assert set(table["patients"]) == {chosen.loc[own.ne("NO IMPRESSION").to_numpy(), "subject_id"].nunique()}


def test_the_figures_of_equal_texts_are_those_of_the_whole_matrix():
    rng = np.random.default_rng(4)
    content = np.concatenate([np.arange(15), rng.integers(0, 15, 25)])
    texts = rng.normal(size=(15, 8)).astype(np.float32)
    images = (texts[content] + rng.normal(size=(40, 8))).astype(np.float32)
    subjects = [f"p{k // 2}" for k in range(40)]
    table = retrieval_table(images, texts, content, subjects, n_replicates=60).set_index(["direction", "hit"])
    relevant = content[:, None] == np.arange(15)
    training = {
        ("image_to_text", "same text"): retrieval_figures(images @ texts.T, relevant),
        ("text_to_image", "same text, each once"): retrieval_figures(texts @ images.T, relevant.T),
        ("text_to_image", "own pair"): retrieval_figures(texts[content] @ images.T, np.eye(40, dtype=bool)),
    }
    for row, figures in training.items():
        assert table.loc[row, list(figures)].to_dict() == pytest.approx(figures)
    assert (table["recall_at_1_low"] <= table["recall_at_1"]).all()
    assert (table["recall_at_1"] <= table["recall_at_1_high"]).all()
    assert (table["recall_at_5_low"] < table["recall_at_5_high"]).all()


def test_an_interval_is_that_of_patients_and_not_of_images():
    rng = np.random.default_rng(5)
    texts = rng.normal(size=(40, 4)).astype(np.float32)
    content = np.repeat(np.arange(40), 5)  # five films of each study, all alike
    images = texts[content] + rng.normal(size=(40, 4)).astype(np.float32)[content]
    by_patient, by_image = (
        retrieval_table(images, texts, content, [f"p{k}" for k in unit], n_replicates=400).iloc[0]
        for unit in (content, range(200))
    )
    width = [row["recall_at_5_high"] - row["recall_at_5_low"] for row in (by_patient, by_image)]
    assert 1.7 < width[0] / width[1] < 2.9  # sqrt(5) = 2.2


@given(st.permutations(["Edema.", "edema", " 1. EDEMA", "Edema. Effusion.", "Effusion. Edema.", "Clear lungs."]))
def test_texts_are_told_apart_by_what_they_say_and_not_by_their_order(reports):
    distinct = distinct_texts(reports)
    assert distinct.texts == ("Clear lungs.", " 1. EDEMA", "Edema. Effusion.", "Effusion. Edema.")
    wanted = {"edema": 1, "edema. effusion": 2, "effusion. edema": 3, "clear lungs": 0}
    assert distinct.content.tolist() == [wanted[report.lower().removeprefix(" 1. ").strip(".")] for report in reports]
    assert distinct.duplicates_share == 3 / 6


def test_a_report_is_read_whole_or_as_the_mean_of_its_sentences(bundle):
    def encode(texts):
        return models.encode_texts(
            bundle, models.tokenize(texts, bundle.tokenizer, context_length=bundle.context_length)
        )

    reports = ["An opacity. No fracture.", "Edema."]
    whole, n_cut = report_features(bundle, reports)
    torch.testing.assert_close(whole, encode(reports), atol=1e-6, rtol=0)
    assert n_cut == 0
    sentences, _ = report_features(bundle, reports, read_as="sentences")
    mean = encode(["an opacity", "no fracture"]).mean(dim=0)
    torch.testing.assert_close(sentences[0], mean / mean.norm(), atol=1e-6, rtol=0)


def test_reports_that_are_cut_off_are_counted(bundle):
    long = ["edema " * bundle.context_length, "Effusion. " + "edema " * bundle.context_length, "Edema."]
    assert report_features(bundle, long)[1] == 2
    assert report_features(bundle, long, read_as="sentences")[1] == 2


def test_a_real_model_gives_the_same_table_twice(bundle, selected):
    first, second = (retrieve(bundle, *selected, n_replicates=40, seed=3).table for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert first[["recall_at_1", "recall_at_10", "median_rank"]].notna().all(axis=None)
    assert len(first) == 5
    plain = retrieve(bundle, *selected, n_replicates=0).table
    pd.testing.assert_series_equal(plain["median_rank"], first["median_rank"])
    assert plain["recall_at_1_low"].isna().all()


def test_every_distinct_text_goes_through_the_model_once(bundle, selected, monkeypatch):
    seen = []
    encode = models.bundle.encode_texts
    monkeypatch.setattr(
        "models.encode_many.encode_texts", lambda b, tokens: seen.append(len(tokens)) or encode(b, tokens)
    )
    found = retrieve(bundle, *selected, n_replicates=0)
    assert sum(seen) == found.n_texts


def test_few_patients_are_pointed_out():
    eye = np.eye(6, dtype=np.float32)
    table = retrieval_table(eye, eye, np.arange(6), ["p1"] * 3 + ["p2"] * 3, n_replicates=40)
    assert set(table["reason"]) == {"2 patients (wanted 10)"}


def test_what_does_not_belong_together_is_refused(bundle, selected, archive):
    images, chosen, texts = selected
    with pytest.raises(ValueError, match="1 of 48 images have no text"):
        retrieve(bundle, images, chosen, texts.iloc[1:])
    with pytest.raises(ValueError, match="are not the same ids in the same order"):
        retrieve(bundle, images, chosen.iloc[::-1], texts)
    with pytest.raises(ValueError, match=r"none of \d+ images has a text to be found by"):
        retrieve(bundle, images, chosen, texts.assign(text="NO IMPRESSION"))
    in_memory = Images(reader=ArrayImages(archive.pixels), rows=images.rows, ids=images.ids)
    with pytest.raises(ValueError, match="joined to the rows of an image store; found ArrayImages"):
        retrieve(bundle, in_memory, chosen, texts)
