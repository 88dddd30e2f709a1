"""Which films are shown, and what the top of the page says."""

import numpy as np
import pandas as pd

from audit import ScoredImages
from audit.assemble import choose_examples, headlines, simulated_headlines


def scored():
    ids = ["d", "b", "a", "c"]
    truth = pd.DataFrame({"image_id": ids, "Edema": [1.0, np.nan, 0.0, 1.0], "Fracture": [1.0, 0.0, 0.0, 0.0]})
    predictions = pd.DataFrame({"image_id": ids, "Edema": [0.3, 0.9, 0.2, 0.1], "Fracture": [0.2, 0.1, 0.3, 0.8]})
    cohort = pd.DataFrame(
        {
            "image_id": ids,
            "view": ["PA", "", "AP", "PA"],
            "age_years": [50.0, np.nan, 3.0, 64.0],
            "sex": ["F", "", "M", "F"],
            "race": ["White", "", "Black", "White"],
        }
    )
    prompts = {name: {"positive": [name.lower()], "negative": [f"no {name.lower()}"]} for name in ("Edema", "Fracture")}
    return ScoredImages(predictions=predictions, truth=truth, cohort=cohort, prompts=prompts)


def test_films_are_chosen_by_id_and_never_by_score():
    pixels = np.zeros((4, 4), np.uint8)
    films = choose_examples(scored(), {"c": "Edema."}, lambda image_id: pixels, n_abnormal=1, n_normal=2)
    assert [film.caption for film in films] == [
        "PA, 64 years, F, White",
        "AP, 3 years, M, Black",
        "view unknown, age unknown, sex unknown, race unknown",
    ]
    assert [film.report for film in films] == ["Edema.", "", ""]


def test_what_is_present_comes_first_and_unknown_truth_stays_unknown():
    films = choose_examples(scored(), {}, lambda image_id: np.zeros((4, 4), np.uint8), n_abnormal=1, n_normal=2)
    first, _, unlabelled = (film.scores for film in films)
    assert [(item.finding, item.truth) for item in first] == [("Edema", True), ("Fracture", False)]
    assert [(item.finding, item.truth) for item in unlabelled] == [("Edema", None), ("Fracture", False)]
    assert (first[0].positive, first[0].negative) == (("edema",), ("no edema",))


def test_headlines_say_how_many_findings_and_whose_reports_fall_short():
    scores = pd.DataFrame(
        {"finding": ["Edema", "No Finding", "Fracture", "mean"], "auroc": [0.9, 0.8, 0.7, 0.9],
         "low": 0.85, "high": 0.95, "status": ["ok", "ok", "small", "ok"]}
    )  # fmt: skip
    subgroups = pd.DataFrame(
        {"family": ["confirmatory", "confirmatory", "exploratory"], "flagged": [True, False, True]}
    )
    short = pd.DataFrame(
        {"family": "confirmatory", "flagged": [True, True], "shortfall": [0.3, -0.2], "shortfall_low": [0.2, -0.3],
         "shortfall_high": [0.4, -0.1], "attribute": "race", "group": ["Black", "White"]}
    )  # fmt: skip
    exposure = {"stamp": "exposed", "images": {"the image is in training": 1200, "another": 3}}
    cards = headlines(scores, subgroups, exposure=exposure)
    assert [(card.label, card.value) for card in cards] == [
        ("Mean zero-shot AUROC", "0.900"),
        ("Groups that differ", "1 of 2"),
        ("Seen in training", "yes"),
    ]
    assert "0.850 to 0.950, over 1 finding with" in cards[0].note
    assert cards[2].note == "1,200 films: the image is in training; 1 more below"

    cards = simulated_headlines(ceiling=scores, shuffled=scores, sensitivity=short)
    assert [(card.label, card.value) for card in cards] == [
        ("Supervised", "0.900"),
        ("Negative control", "0.900"),
        ("Under-reporting", "30%"),
    ]
    assert "race Black" in cards[-1].note
    none = simulated_headlines(ceiling=scores, shuffled=None, sensitivity=short.assign(flagged=False))
    assert [(card.label, card.value) for card in none] == [("Supervised", "0.900"), ("Under-reporting", "not shown")]


def test_groups_that_could_not_be_compared_are_not_counted_as_equal():
    scores = pd.DataFrame({"finding": ["mean"], "auroc": [0.8], "low": [np.nan], "high": [np.nan], "status": ["ok"]})
    mean, groups = headlines(scores, pd.DataFrame({"family": [""], "flagged": [False]}))
    assert mean.note.startswith("over 0 findings")
    assert groups.value == "not tested"


def test_a_mean_that_cannot_be_told_is_said_so():
    scores = pd.DataFrame({"finding": ["Edema", "mean"], "auroc": np.nan, "status": ["small", "undefined"]})
    card = headlines(scores, pd.DataFrame({"family": ["confirmatory"], "flagged": [False]}))[0]
    assert card.value == "too few"
    assert "No finding has 30 positives" in card.note
