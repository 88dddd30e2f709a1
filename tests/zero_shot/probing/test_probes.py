"""Probes: models that understand, and models that fail in a known way, get the scores that follow from it."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort import FINDINGS
from zero_shot.images import as_images
from zero_shot.probing.minimal_pairs import SHIPPED, MinimalPair, Question, load_probe
from zero_shot.probing.probe_truth import severity_truth
from zero_shot.probing.probes import (
    Bootstrap,
    QuestionImages,
    ask,
    films_of_questions,
    is_right,
    preference,
    probe_table,
)

planted = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "planted.py")))

FEW = Bootstrap(n_replicates=40, min_n=5, min_patients=5)
NEGATION = load_probe("negation").select(planted.FINDINGS)
SCOPE = load_probe("scope").select(["Pleural Effusion, no Pneumothorax", "Cardiomegaly, no Edema"])


@pytest.fixture(scope="module")
def archive_of_findings():
    """Return films, their truth and patients: a finding in one of six, two films a patient."""
    present = (np.random.default_rng(0).random((240, planted.N)) < 1 / 6).astype(float)
    images = as_images(planted.films(present))
    truth = pd.DataFrame(present, columns=list(planted.FINDINGS))
    truth.insert(0, "image_id", list(images.ids))
    return images, truth, [f"p{k // 2}" for k in range(240)]


def scores(reads, probes, archive_of_findings):
    images, truth, patients = archive_of_findings
    table = ask(planted.planted_bundle(reads), images, probes, truth, patients, bootstrap=FEW)
    assert set(table["status"]) == {"ok"}
    return table


def test_a_model_that_understands_negation_is_always_right(archive_of_findings):
    table = scores(planted.understands, [NEGATION, SCOPE], archive_of_findings)
    assert (table[["score", "low", "high", "right_on_first", "right_on_second"]] == 1).all(axis=None)
    assert len(table) == 5 * (1 + 4) + 1 + 2 * (1 + 3) + 1
    assert set(table["chance"]) == {0.5}


def test_a_model_that_overlooks_no_ties_everywhere_and_has_exactly_one_half(archive_of_findings):
    table = scores(planted.overlooks_no, [NEGATION], archive_of_findings)
    assert (table[["score", "low", "high", "right_on_first", "right_on_second"]] == 0.5).all(axis=None)


def test_a_model_that_does_not_look_at_the_film_has_one_half_however_rare_the_finding(archive_of_findings):
    table = scores(planted.likes_to_affirm, [NEGATION], archive_of_findings)
    assert (table[["score", "low", "high"]] == 0.5).all(axis=None)
    assert (table["right_on_first"] == 1).all()
    assert (table["right_on_second"] == 0).all()


def test_a_bag_of_words_passes_negation_and_fails_scope(archive_of_findings):
    table = scores(planted.dilutes, [NEGATION, SCOPE], archive_of_findings)
    means = table[table["question"] == "mean"].set_index("probe")["score"]
    assert means["negation"] == 1.0
    assert means["scope"] == 0.5


def test_every_film_is_encoded_once_for_all_probes(archive_of_findings):
    images, truth, patients = archive_of_findings
    bundle = planted.planted_bundle(planted.understands)
    ask(bundle, images, [NEGATION, SCOPE, NEGATION], truth, patients, batch_size=7, bootstrap=FEW)
    assert bundle.model.n_encoded == len(images)


def draw(seed, n=60, d=3):
    """Return small whole numbers as features, so that some preferences tie, and labels of which some are missing."""
    rng = np.random.default_rng(seed)
    images, towards = (torch.tensor(rng.integers(-2, 3, (k, d)), dtype=torch.float32) for k in (n, 2))
    label = rng.choice([1.0, 0.0, np.nan], n)
    return images, towards, label, rng.integers(0, 20, n)


TWO = Question(
    first_if={"Edema": 1},
    second_if={"Edema": 0},
    pairs=(
        MinimalPair(first="There is edema.", second="There is no edema."),
        MinimalPair(first="Edema.", second="No edema."),
    ),
)
PROBE = type(NEGATION)(name="two", asks="", cannot_show="", questions={"Edema": TWO})


def table_of(images, towards, label, patients, **settings):
    truth = pd.DataFrame({"image_id": [str(k) for k in range(len(label))], "Edema": label})
    asked = films_of_questions(PROBE, truth, truth["image_id"].tolist())
    right = {"Edema": is_right(preference(images, towards), asked["Edema"])}
    return probe_table(PROBE, right, asked, [str(p) for p in patients], task="t", bootstrap=Bootstrap(**settings))


def by_hand(images, towards, label, rows):
    """Count films one by one; returns the score of the first pair and of both."""
    shares = []
    for pairs in ([0], [0, 1]):
        found = {1.0: [], 0.0: []}
        for row in rows:
            if np.isnan(label[row]):
                continue
            wins = []
            for pair in pairs:
                margin = float((images[row] * towards[pair]).sum())
                good = margin if label[row] == 1 else -margin
                wins.append(0.5 if good == 0 else float(good > 0))
            found[label[row]].append(np.mean(wins))
        shares.append((np.mean(found[1.0]) + np.mean(found[0.0])) / 2)
    return shares


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_scores_are_those_of_counting_films_by_hand(seed):
    drawn = draw(seed)
    table = table_of(*drawn, n_replicates=0, min_n=1, min_patients=1)
    of_both, of_first = table["score"][0], table["score"][1]
    assert [of_first, of_both] == pytest.approx(by_hand(*drawn[:3], range(60)), abs=1e-12)
    assert table["score"][3] == of_both
    assert table["n_first"][0] == (drawn[2] == 1).sum()
    assert table["n_second"][0] == (drawn[2] == 0).sum()
    assert table["low"].isna().all()


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_the_order_of_the_films_does_not_matter(seed):
    images, towards, label, patients = draw(seed)
    order = np.random.default_rng(seed).permutation(60)
    plain = table_of(images, towards, label, patients, n_replicates=40)
    turned = table_of(images[order], towards, label[order], patients[order], n_replicates=40)
    pd.testing.assert_frame_equal(plain, turned, rtol=0, atol=1e-12)


def test_the_interval_is_of_patients_drawn_again():
    images, towards, label, patients = draw(7)
    table = table_of(images, towards, label, patients, n_replicates=100, seed=5, min_n=1, min_patients=1)
    rng, everybody = np.random.default_rng(5), np.unique(patients.astype(str))
    copied = []
    for _ in range(100):
        drawn = everybody[rng.integers(0, len(everybody), len(everybody))]
        rows = [row for patient in drawn for row in np.flatnonzero(patients.astype(str) == patient)]
        copied.append(by_hand(images, towards, label, rows)[1])
    assert [table["low"][0], table["high"][0]] == pytest.approx(np.quantile(copied, [0.025, 0.975]).tolist())


def test_what_cannot_be_evaluated_is_nan_with_its_reason_and_not_in_the_mean():
    images, towards, label, patients = draw(3)
    nobody = table_of(images, towards, np.where(label == 1, np.nan, label), patients, n_replicates=40)
    assert nobody["score"].isna().all()
    assert set(nobody["status"]) == {"undefined"}
    assert nobody["reason"][0] == "not evaluable: no film of which the first sentence is true"
    assert nobody["reason"][3] == "not evaluable: no question has status ok"
    small = table_of(images, towards, label, patients, n_replicates=40, min_n=50)
    assert small["status"].tolist() == ["small"] * 3 + ["undefined"]
    assert small["score"].notna().tolist() == [True] * 3 + [False]
    assert "films of which the first sentence is true (wanted 50)" in small["reason"][0]


def test_normality_asks_films_without_any_finding_and_films_with_the_one():
    probe = load_probe("normality").select(["Pleural Effusion"])
    truth = pd.DataFrame(
        {
            "image_id": list("abcde"),
            "No Finding": [1, 0, 0, np.nan, 1],
            "Pleural Effusion": [0, 1, 0, 1, np.nan],
        }
    )
    asked = films_of_questions(probe, truth, list("abcde"))["Pleural Effusion"]
    assert asked.is_first.tolist() == [True, False, False, False, True]
    assert asked.is_second.tolist() == [False, True, False, True, False]


def test_scope_asks_films_with_exactly_one_of_the_two():
    truth = pd.DataFrame(
        {"image_id": list("abcd"), "Pleural Effusion": [1, 0, 1, 0], "Pneumothorax": [0, 1, 1, np.nan]}
    )
    name = "Pleural Effusion, no Pneumothorax"
    asked = films_of_questions(SCOPE.select([name]), truth, list("abcd"))[name]
    assert asked.is_first.tolist() == [True, False, False, False]
    assert asked.is_second.tolist() == [False, True, False, False]


def test_severity_is_asked_at_both_ends():
    grades = pd.DataFrame({"image_id": list("abcde"), "severity_Edema": [0, 0.3, 0.6, 0.8, 1.0]})
    graded = severity_truth(grades, findings=["Edema"], mild_below=0.55, severe_from=0.8)
    assert graded["image_id"].tolist() == list("abcde")
    assert np.array_equal(graded["Edema"], [np.nan, 0, np.nan, 1, 1], equal_nan=True)
    asked = films_of_questions(load_probe("severity").select(["Edema"]), graded, list("abcde"))["Edema"]
    assert asked.is_first.tolist() == [False, False, False, True, True]
    with pytest.raises(ValueError, match="severities: wanted a column severity_FINDING for Pneumonia"):
        severity_truth(grades, findings=["Pneumonia"], mild_below=0.5, severe_from=0.8)
    with pytest.raises(ValueError, match=r"wanted 0 < mild_below <= severe_from; found 0\.9 and 0\.8"):
        severity_truth(grades, findings=["Edema"], mild_below=0.9, severe_from=0.8)


def test_a_real_model_gives_the_same_table_twice(bundle):
    rng = np.random.default_rng(1)
    images = as_images(rng.integers(1, 255, (40, 64, 64), dtype=np.uint8))
    truth = pd.DataFrame(rng.choice([1.0, 0.0, np.nan], (40, 14)), columns=list(FINDINGS))
    truth["No Finding"] = 0.0
    truth.insert(0, "image_id", list(images.ids))
    patients = [f"p{k // 2}" for k in range(40)]
    probes = [load_probe(name) for name in ("negation", "scope", "normality")]
    settings = Bootstrap(n_replicates=50, min_n=1, min_patients=1)
    first, second = (ask(bundle, images, probes, truth, patients, bootstrap=settings) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert len(first) == sum(
        1 + sum(1 + len(question.pairs) for question in probe.questions.values()) for probe in probes
    )
    defined = first[first["status"].isin(["ok", "sparse"])]
    assert len(defined) > 60
    assert defined["score"].between(0, 1).all()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_probes_can_be_asked_of_any_cohort_and_say_what_they_cannot_show(path, bundle):
    probe = load_probe(path.stem)
    assert probe.name == path.stem
    assert len(probe.asks) > 40
    assert len(probe.cannot_show) > 40
    columns = {column for question in probe.questions.values() for column in question.columns}
    assert columns <= set(FINDINGS)
    texts = [text for q in probe.questions.values() for pair in q.pairs for text in (pair.first, pair.second)]
    assert all(text[0].isupper() and text.endswith(".") for text in texts)
    ids = bundle.tokenizer(texts, context_length=bundle.context_length + 1)
    assert (ids[:, -1] == 0).all()


def test_sentences_must_differ_in_one_word_or_in_their_order():
    for first, second in (
        ("There is a pneumothorax.", "There is no pneumothorax."),
        ("Edema.", "No edema."),
        ("No no.", "No."),
        ("Edema without effusion.", "Effusion without edema."),
    ):
        MinimalPair(first=first, second=second)
    with pytest.raises(ValueError, match=r"differ in more than one word"):
        MinimalPair(first="There is a large effusion.", second="There is no small effusion.")
    with pytest.raises(ValueError, match="are the same"):
        MinimalPair(first="Edema.", second="edema")


def test_a_truth_that_does_not_fit_is_refused(archive_of_findings):
    images, truth, patients = archive_of_findings
    model = planted.planted_bundle(planted.understands)

    def asked(probe, table):
        ask(model, images, [probe], table, patients, bootstrap=FEW)

    with pytest.raises(ValueError, match="are not the same ids in one order"):
        asked(NEGATION, truth.iloc[::-1])
    with pytest.raises(ValueError, match=r"asks about Edema, which are not columns of the truth: ask fewer questions"):
        asked(NEGATION, truth.drop(columns="Edema"))
    with pytest.raises(ValueError, match="truth of Edema must be 1, 0 or NaN: choose an uncertainty policy"):
        asked(NEGATION, truth.replace({"Edema": {1.0: -1.0}}))
    with pytest.raises(ValueError, match="both sentences would be true for 240 films, first row 0"):
        asked(
            load_probe("normality").select(["Edema"]),
            truth.assign(Edema=1.0, **{"No Finding": 1.0}),
        )
    assert model.model.n_encoded == 0


def test_files_that_are_no_probes_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no probe 'irony': wanted one of laterality, negation"):
        load_probe("irony")
    with pytest.raises(ValueError, match="the probe 'negation' has no question Hernia; it has Atelectasis"):
        load_probe("negation").select(["Hernia"])
    path = tmp_path / "own.json"
    good = {
        "name": "own",
        "asks": "a",
        "cannot_show": "b",
        "questions": {"Edema": {"pairs": [["Edema.", "No edema."]]}},
    }
    path.write_text(json.dumps(good))
    assert load_probe(path).questions["Edema"].second_if == {"Edema": 0}
    for change, message in (
        ({"questions": {"Edema": {"pairs": []}}}, "question 'Edema': no pair of sentences"),
        ({"questions": {"Edema": {"pairs": [["Edema."]]}}}, "pairs must be a list of two texts each"),
        ({"questions": {"Edema": {"pairs": [["Edema.", "Clear lungs."]]}}}, "differ in more than one word"),
        ({"questions": {"Edema": {"pair": []}}}, r"wanted the keys first_if, pairs, second_if; missing \['pairs'\]"),
        ({"questions": [1]}, r"wanted an object; found \[1\]"),
        ({"note": ""}, r"not known \['note'\]"),
        ({"questions": {"Edema": {"pairs": [["A.", "B."]], "first_if": {"Edema": 2}}}}, "first_if wants columns"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(ValueError, match=rf"own\.json: .*{message}"):
            load_probe(path)


def test_asked_films_that_nobody_knows_of_have_no_answer():
    asked = QuestionImages(is_first=np.array([True, False, False]), is_second=np.array([False, True, False]))
    right = is_right(np.array([[1.0], [1.0], [1.0]]), asked)
    assert np.array_equal(right, [[1.0], [0.0], [np.nan]], equal_nan=True)
