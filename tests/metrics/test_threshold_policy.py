"""Thresholds by finding: the policy's rule, what the record says of its rows, and thresholds.json."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import recall_score

from metrics import ThresholdPolicy
from metrics.threshold_policy import fit_thresholds, thresholds_from_json, thresholds_to_json
from metrics.threshold_rules import (
    max_f1_threshold,
    max_mcc_threshold,
    threshold_at_fpr,
    threshold_at_tpr,
    youden_threshold,
)

FINDINGS = ["Edema", "Fracture", "Pneumonia"]
RULES = {
    "youden": youden_threshold,
    "f1": max_f1_threshold,
    "mcc": max_mcc_threshold,
    "tpr=0.9": lambda y, s: threshold_at_tpr(y, s, 0.9),
    "fpr=0.2": lambda y, s: threshold_at_fpr(y, s, 0.2),
    "fixed:0.5": lambda y, s: 0.5,
}


@pytest.fixture(scope="module")
def rows():
    """Labels with blanks, no fracture at all, and scores."""
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 3)) < 0.4).astype(float)
    labels[:, 1] = 0
    labels[rng.random((300, 3)) < 0.1] = np.nan
    return labels, np.round(rng.normal(size=(300, 3)) + np.nan_to_num(labels), 1)


@pytest.mark.parametrize("name", list(RULES))
def test_every_policy_chooses_by_its_rule_and_reports_scikit_learns_rates(rows, name):
    labels, scores = rows
    fitted = fit_thresholds(
        labels, scores, findings=FINDINGS, policy=ThresholdPolicy.parse(name), fitted_on="validation"
    )
    assert list(fitted) == FINDINGS
    for c in (0, 2):
        known = ~np.isnan(labels[:, c])
        y, s, threshold = labels[known, c], scores[known, c], fitted[FINDINGS[c]]
        assert threshold.value == RULES[name](y, s)
        assert (threshold.n, threshold.reason, threshold.policy.name) == (known.sum(), "", name)
        assert threshold.sensitivity == pytest.approx(recall_score(y, s >= threshold.value))
        assert threshold.specificity == pytest.approx(recall_score(y, s >= threshold.value, pos_label=0))


def test_a_target_rate_is_kept_on_the_fitted_rows(rows):
    labels, scores = rows
    sensitive = fit_thresholds(
        labels, scores, findings=FINDINGS, policy=ThresholdPolicy(rule="tpr", target=0.9), fitted_on="validation"
    )["Edema"]
    specific = fit_thresholds(
        labels, scores, findings=FINDINGS, policy=ThresholdPolicy(rule="fpr", target=0.1), fitted_on="validation"
    )["Edema"]
    assert sensitive.sensitivity >= 0.9 > sensitive.specificity
    assert specific.specificity >= 0.9 > specific.sensitivity


def test_a_finding_without_positives_is_undefined_with_its_reason_and_its_neighbours_are_not(rows):
    labels, scores = rows
    fitted = fit_thresholds(
        labels, scores, findings=FINDINGS, policy=ThresholdPolicy(rule="f1"), fitted_on="validation"
    )
    none = fitted["Fracture"]
    assert math.isnan(none.value)
    assert math.isnan(none.sensitivity)
    assert math.isnan(none.specificity)
    assert none.reason == "no positives"
    # A specificity can be kept without positives; the sensitivity is then what nobody knows.
    by_fpr = fit_thresholds(
        labels, scores, findings=FINDINGS, policy=ThresholdPolicy(rule="fpr", target=0.2), fitted_on="validation"
    )["Fracture"]
    assert by_fpr.specificity >= 0.8
    assert math.isnan(by_fpr.sensitivity)
    assert by_fpr.reason == "no positives"


def test_thresholds_fitted_on_the_test_rows_are_marked_and_fixed_ones_were_fitted_on_nothing(rows):
    labels, scores = rows

    def labelled(name, fitted_on):
        policy = ThresholdPolicy.parse(name)
        return fit_thresholds(labels, scores, findings=FINDINGS, policy=policy, fitted_on=fitted_on)["Edema"].label

    assert labelled("youden", "test") == "youden, fitted-on-test"
    assert labelled("fpr=0.2", "validation") == "fpr=0.2, fitted-on-validation"
    assert labelled("fixed:0.5", "test") == "fixed:0.5"


@pytest.mark.parametrize("name", list(RULES))
def test_thresholds_survive_strict_json_and_undefined_numbers_are_null(rows, name):
    fitted = fit_thresholds(*rows, findings=FINDINGS, policy=ThresholdPolicy.parse(name), fitted_on="test")
    content = json.loads(json.dumps(thresholds_to_json(fitted), allow_nan=False))
    assert set(content["Edema"]) == {"policy", "value", "fitted_on", "n", "sensitivity", "specificity", "reason"}
    assert content["Edema"]["policy"] == name
    assert content["Edema"]["fitted_on"] == "test"
    assert content["Fracture"]["sensitivity"] is None
    back = thresholds_from_json(content)
    assert repr(back) == repr(fitted)  # repr, because NaN differs from itself


@pytest.mark.parametrize("name", list(RULES))
def test_a_policys_name_reads_back_as_itself(name):
    assert ThresholdPolicy.parse(name).name == name
    assert ThresholdPolicy.parse("tpr=0.90") == ThresholdPolicy(rule="tpr", target=0.9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("best", "threshold_policy: wanted youden, f1, mcc, tpr=0.9, fpr=0.2 or fixed:0.5, found 'best'"),
        ("tpr", "need a target"),
        ("youden=0.5", "need a target and the other rules take none; found 0.5"),
        ("fpr=20", "rate from 0 to 1.*found 20"),
        ("fixed:nan", "found nan"),
        ("fixed:half", "could not convert string to float"),
    ],
)
def test_a_policy_that_says_nothing_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        ThresholdPolicy.parse(text)


def test_bad_rows_are_refused_with_the_finding(rows):
    labels, scores = rows
    fixed = ThresholdPolicy(rule="fixed", target=0.5)
    broken = scores.copy()
    broken[np.flatnonzero(~np.isnan(labels[:, 2]))[0], 2] = np.nan
    with pytest.raises(ValueError, match=r"no threshold for 'Pneumonia': 1 of .* scores are NaN"):
        fit_thresholds(labels, broken, findings=FINDINGS, policy=fixed, fitted_on="validation")
    with pytest.raises(ValueError, match=r"no threshold for 'Edema': labels must be 0 or 1; found -1.0"):
        fit_thresholds(-np.ones((4, 1)), np.ones((4, 1)), findings=["Edema"], policy=fixed, fitted_on="validation")
    for names in (["Edema"], ["Edema", "Edema", "Pneumonia"]):
        with pytest.raises(ValueError, match="do not fit"):
            fit_thresholds(labels, scores, findings=names, policy=fixed, fitted_on="validation")


def test_a_file_with_other_keys_or_rows_is_refused_with_the_finding(rows):
    content = thresholds_to_json(
        fit_thresholds(*rows, findings=FINDINGS, policy=ThresholdPolicy(rule="mcc"), fitted_on="validation")
    )
    with pytest.raises(ValueError, match=r"threshold of 'Edema' must have .*; found \['value'\]"):
        thresholds_from_json({"Edema": {"value": 0.5}})
    with pytest.raises(ValueError, match="'Edema' must be fitted on validation or test; found 'train'"):
        thresholds_from_json({"Edema": content["Edema"] | {"fitted_on": "train"}})
    with pytest.raises(ValueError, match="'Edema' cannot be read: threshold_policy: wanted"):
        thresholds_from_json({"Edema": content["Edema"] | {"policy": "best"}})
