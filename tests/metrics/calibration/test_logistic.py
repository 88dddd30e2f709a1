"""Margins of stored scores, and the fit that does not converge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from metrics.calibration import logistic
from metrics.calibration.logistic import count_clipped, fit_line, margin_of


@given(st.floats(-16, 16))
def test_a_margin_survives_being_stored_as_a_float32_probability_but_for_the_rounding_that_is_documented(margin):
    stored = expit(np.array([margin])).astype(np.float32)
    # half a step of the stored number over the slope of the sigmoid
    lost = np.spacing(stored[0]) / 2 / (expit(margin) * expit(-margin))
    assert abs(margin_of(stored)[0] - margin) <= 1.5 * lost + 1e-12


def test_saturated_scores_have_the_margin_of_the_clip_and_are_counted():
    stored = expit(np.array([-200.0, -18.0, -17.0, 0.0, 17.0, 18.0, 200.0])).astype(np.float32)
    margins = margin_of(stored)
    assert margins[[0, -1]] == pytest.approx([-17.3287, 17.3287], abs=1e-4)
    assert margins[0] == margins[1]
    assert margins[-2] == margins[-1]
    assert (np.diff(margins) >= 0).all()
    assert count_clipped(stored) == 4
    assert margin_of(np.array([0.5]))[0] == 0
    with pytest.raises(ValueError, match=r"1 of 2 values are not probabilities, the first is -0\.1"):
        margin_of(np.array([-0.1, 0.5]))


def test_a_fit_that_does_not_converge_is_an_error(monkeypatch):
    monkeypatch.setattr(logistic, "MAX_STEPS", 2)
    x = np.random.default_rng(9).normal(size=500)
    positive = np.random.default_rng(10).random(500) < expit(x - 0.5)
    with pytest.raises(ValueError, match="no convergence in 2 steps"):
        fit_line(x, positive)
