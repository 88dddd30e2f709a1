"""Calibration in the large and slope against scikit-learn, the likelihood's equations and planted miscalibration."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from metrics import calibration_line, patient_weights
from metrics.calibration import logistic
from metrics.calibration.calibrators import fit_platt, fit_temperature


def test_planted_shift_and_slope_are_recovered(sample):
    y, s, _ = sample(6, n=60_000, shift=0.5, slope=0.7)
    line = calibration_line(y, s)
    # standard errors are about .012
    assert line.intercept[0] == pytest.approx(0.5, abs=0.05)
    assert line.slope[0] == pytest.approx(0.7, abs=0.05)
    assert (line.clipped, line.reason) == (0, "")


def test_the_line_equals_scikit_learn_in_every_replicate(sample):
    y, s, weights = sample(7, shift=-0.4, slope=1.6)
    line = calibration_line(y, s, weights)
    for b, counts in enumerate(weights.counts):
        fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
            logit(s)[:, None], y, sample_weight=counts[weights.unit]
        )
        assert line.slope[b] == pytest.approx(fitted.coef_[0, 0], abs=1e-5)
        assert line.intercept[b] == pytest.approx(fitted.intercept_[0], abs=1e-5)


def test_in_the_large_makes_the_mean_of_the_scores_the_prevalence_in_every_replicate(sample):
    """The likelihood's equation: sum of w (y - sigmoid(a + logit s)) is zero."""
    y, s, weights = sample(8, shift=2.0)
    line = calibration_line(y, s, weights)
    for b, counts in enumerate(weights.counts):
        w = counts[weights.unit]
        assert w @ (y - expit(line.in_the_large[b] + logit(s))) == pytest.approx(0, abs=1e-7)


def test_far_away_scores_still_have_a_fit():
    y = np.array([0, 1, 0, 1, 1, 0])
    s = np.array([1e-8, 1e-7, 0.0, 1e-7, 1e-8, 1e-6])
    line = calibration_line(y, s)
    assert line.clipped == 3
    assert np.isfinite([line.in_the_large[0], line.slope[0]]).all()
    assert (y - expit(line.in_the_large[0] + logit(np.clip(s, 2**-25, 1)))).sum() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("y", "s", "reason"),
    [
        ([0, 0], [0.1, 0.2], "no positives"),
        ([1, 1], [0.1, 0.2], "no negatives"),
        ([], [], "no rows"),
        ([0, 1], [0.3, 0.3], "all scores are equal"),
        ([0, 0, 1], [0.1, 0.2, 0.3], "the scores separate the classes: the slope has no finite value"),
        ([0, 1, 1], [0.2, 0.2, 0.3], "the scores separate the classes: the slope has no finite value"),
        ([1, 0, 0], [0.2, 0.2, 0.3], "the scores separate the classes: the slope has no finite value"),
    ],
)
def test_a_slope_that_does_not_exist_is_nan_with_a_reason(y, s, reason):
    line = calibration_line(np.array(y, dtype=int), np.array(s))
    assert line.reason == reason
    assert np.isnan([line.slope[0], line.intercept[0]]).all()
    assert np.isnan(line.in_the_large[0]) == reason.startswith("no ")


def all_but_separated(seed):
    """Return labels and scores of which one pair overlaps a little: some resamples have a slope, a very steep one."""
    rng = np.random.default_rng(seed)
    y = np.sort((rng.random(40) < 0.5).astype(int))
    s = np.where(y == 1, 1 - 10.0 ** -rng.uniform(1, 8, 40), 10.0 ** -rng.uniform(1, 8, 40))
    s[np.flatnonzero(y == 0)[-1]], s[np.flatnonzero(y == 1)[0]] = 0.4 + 1e-9, 0.4
    return y, s, patient_weights(np.arange(40), 20, rng)


@pytest.mark.parametrize("seed", range(25))
def test_scores_that_all_but_separate_the_classes_are_fitted_or_nan_and_never_an_error(seed):
    y, s, weights = all_but_separated(seed)
    line, x = calibration_line(y, s, weights), logit(s)
    for b, counts in enumerate(weights.counts):
        w = counts[weights.unit]
        if not np.isnan(line.in_the_large[b]):
            assert w @ (y - expit(line.in_the_large[b] + x)) == pytest.approx(0, abs=1e-4)
        if not np.isnan(line.slope[b]):
            # The two equations of the likelihood, which no other line solves.
            left = y - expit(line.intercept[b] + line.slope[b] * x)
            assert [w @ left, w @ (left * x)] == pytest.approx([0, 0], abs=1e-3)


def test_a_fit_that_is_not_reached_is_nan_with_a_reason_and_not_an_error(monkeypatch, sample):
    monkeypatch.setattr(logistic, "MAX_STEPS", 1)
    y, s, weights = sample(10, slope=0.5, shift=1.0)
    line = calibration_line(y, s, weights)
    assert line.reason == "no convergence in 1 steps: do the classes overlap, and are the columns scaled?"
    assert np.isnan([line.in_the_large, line.intercept, line.slope]).all()
    for fit in (fit_platt, fit_temperature):
        calibrator = fit(y, logit(s), np.arange(len(y)))
        assert calibrator.reason == line.reason
        assert calibrator.to_json()["reason"] == line.reason


def test_a_replicate_without_a_class_is_nan_and_the_others_are_not(sample):
    y, s, _ = sample(9, n=40)
    weights = patient_weights(np.arange(40), 3, np.random.default_rng(0))
    weights.counts[1, weights.unit[y == 1]] = 0
    line = calibration_line(y, s, weights)
    np.testing.assert_array_equal(np.isnan(line.slope), [False, True, False])
    np.testing.assert_array_equal(np.isnan(line.in_the_large), [False, True, False])
