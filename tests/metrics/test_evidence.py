"""The rule for enough evidence: where it draws its lines, what it says, and that counting knows about patients."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import EvidenceRule
from metrics.evidence import FEWER, EvidenceCounts, count_evidence, evidence_status, mean_of

CLASSES = st.sampled_from([0.0, 1.0, np.nan])


def counts(**changed):
    enough = {"n": 80, "n_pos": 40, "n_neg": 40, "patients": 40, "patients_pos": 20, "patients_neg": 20}
    return EvidenceCounts(**(enough | changed))


@given(st.lists(st.tuples(CLASSES, st.integers(0, 5)), max_size=30))
def test_counts_are_those_of_pandas(rows):
    frame = pd.DataFrame(rows, columns=["y", "patient"]).astype({"y": float, "patient": str})
    of_class = {"": frame["y"].notna(), "_pos": frame["y"] == 1, "_neg": frame["y"] == 0}
    found = count_evidence(frame["y"].to_numpy(), frame["patient"].to_numpy(dtype=str))
    for end, chosen in of_class.items():
        assert getattr(found, f"n{end}") == chosen.sum()
        assert getattr(found, f"patients{end}") == frame.loc[chosen, "patient"].nunique()


def test_thirty_images_and_ten_patients_are_enough_and_one_fewer_is_not():
    rule = EvidenceRule()
    assert rule.shortfalls(images={"positives": 30}, patients={"patients with it": 10}) == []
    assert rule.shortfalls(images={"positives": 29, "negatives": 30}, patients={"patients with it": 9}) == [
        "29 positives (wanted 30)",
        "9 patients with it (wanted 10)",
    ]
    assert rule.shortfalls(patients={"patients": 9}, wording=FEWER) == ["9 patients, fewer than 10"]


@pytest.mark.parametrize(
    ("changed", "metric", "expected"),
    [
        ({}, "auroc", ("ok", "")),
        ({"n_pos": 30, "patients_pos": 10, "patients": 10}, "tpr", ("ok", "")),
        ({"n_pos": 29}, "tpr", ("small", "29 positive images, fewer than 30")),
        ({"n_pos": 29}, "fpr", ("ok", "")),
        ({"patients_neg": 9}, "auroc", ("small", "9 patients with a negative image, fewer than 10")),
        ({"n_pos": 29, "n_neg": 0}, "auroc", ("undefined:no negatives", "no negative image among 80")),
        ({"patients": 9, "n_pos": 0}, "tpr", ("suppressed", "9 patients, fewer than 10")),
    ],
)
def test_a_metric_is_judged_by_its_denominator_and_the_gravest_status_wins(changed, metric, expected):
    assert EvidenceRule().judge(counts(**changed), metric) == expected


@pytest.mark.parametrize(("metric", "expected"), [("auroc", 3), ("tpr", 5), ("fpr", 3)])
def test_an_auroc_rests_on_the_patients_of_the_rarer_class(metric, expected):
    assert counts(patients_pos=5, patients_neg=3).patients_behind(metric) == expected


def test_a_withheld_interval_is_graver_than_too_few_images():
    assert evidence_status([]) == "ok"
    assert evidence_status(["3 positives (wanted 30)"]) == "small"
    assert evidence_status(["3 positives (wanted 30)"], "sparse: undefined in 9 of 40 replicates") == "sparse"


def test_a_mean_names_what_it_is_of():
    assert mean_of(["Edema", "Fracture"]) == "of 2 findings: Edema, Fracture"
    assert mean_of(["negation"], "questions") == "of 1 questions: negation"
