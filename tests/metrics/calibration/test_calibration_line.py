"""Calibration in the large and slope against scikit-learn, the likelihood's equations and planted miscalibration."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from metrics import calibration_line, patient_weights


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


def test_a_replicate_without_a_class_is_nan_and_the_others_are_not(sample):
    y, s, _ = sample(9, n=40)
    weights = patient_weights(np.arange(40), 3, np.random.default_rng(0))
    weights.counts[1, weights.unit[y == 1]] = 0
    line = calibration_line(y, s, weights)
    np.testing.assert_array_equal(np.isnan(line.slope), [False, True, False])
    np.testing.assert_array_equal(np.isnan(line.in_the_large), [False, True, False])
