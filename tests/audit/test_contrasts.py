"""Simultaneous intervals against closed forms: normal and Student's quantiles, Wilson's limits, Newcombe's examples."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from audit.contrasts import simultaneous
from metrics.share_intervals import Share, Support

MANY = 10**8
"""Patients: Student's quantile is then the normal one, and Wilson's limits are symmetric"""


def share(value, replicates, *, patients=MANY, rare=MANY):
    support = Support(patients=patients, effective=float(patients), rows=float(MANY), rare=float(rare))
    return Share(value, replicates, support)


def half_widths(draws, *, patients=MANY):
    """Return the half-widths of differences that only their first side moves."""
    still = [share(0.5, np.full(len(draws), 0.5), patients=MANY) for _ in draws.T]
    low, high = simultaneous([share(0.5, 0.5 + column, patients=patients) for column in draws.T], still)
    np.testing.assert_allclose(low, -high, rtol=1e-2)
    return high


def test_one_normal_interval_is_the_usual_one_and_ten_are_as_wide_as_theory_says():
    draws = 1e-3 * np.random.default_rng(6).normal(size=(20_000, 10)) * np.arange(1, 11)
    assert half_widths(draws[:, :1]) == pytest.approx([1.960e-3], rel=0.02)
    # two-sided normal quantile at 1 - (1 - .95^(1/10))
    np.testing.assert_allclose(half_widths(draws), 2.800e-3 * np.arange(1, 11), rtol=0.04)


def test_few_patients_widen_an_interval_towards_students_quantile():
    draws = 1e-3 * np.random.default_rng(8).normal(size=(200_000, 1))
    for patients in (10**8, 27, 20, 12):
        expected = student.ppf(0.975, df=patients - 1) * 1e-3
        assert half_widths(draws, patients=patients) == pytest.approx([expected], rel=0.025)


def test_a_quantile_is_never_below_the_normal_one_of_as_many_differences_as_no_resample_moves():
    draws = np.zeros((100, 3))
    for k in (1, 3):
        shares = [share(0.0, draws[:, 0], patients=50, rare=0) for _ in range(k)]
        z = student.ppf(norm.cdf(norm.ppf((1 + 0.95 ** (1 / k)) / 2)), df=49)
        low, high = simultaneous(shares, shares)
        # Wilson's upper limit of 0 of n is z² / (n + z²), and both sides have it.
        assert high == pytest.approx(np.full(k, z**2 / (50 + z**2)))
        assert low == pytest.approx(-high)


def test_resamples_that_agree_by_chance_do_not_make_a_difference_certain():
    # Half as wide a spread as the normal one in the tail: the quantile of such resamples is 1.
    draws = np.where(np.arange(1000) % 2, 1e-3, -1e-3)[:, None]
    assert half_widths(draws) == pytest.approx([norm.ppf(0.975) * 1e-3], rel=1e-2)


def test_an_empty_family_has_no_intervals():
    low, high = simultaneous([], [])
    assert low.size == high.size == 0
