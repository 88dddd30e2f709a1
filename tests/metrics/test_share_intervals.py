"""Intervals of shares against SciPy, published examples and simulated coverage."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from metrics import patient_weights
from metrics.evidence import too_few_for_interval
from metrics.resampling import percentile_interval
from metrics.share_intervals import (
    NORMAL,
    Share,
    Support,
    auroc_support,
    difference_limits,
    rate_support,
    ratio_limits,
    share_interval,
    wilson_limits,
)


def certain(hits, n):
    """Return a share of n independent rows in a sample so large that Student's quantile is the normal one."""
    p, spread = hits / n, np.sqrt(hits / n * (1 - hits / n) / n)
    draws = p + spread * np.tile([1.0, -1.0], 500) * np.sqrt(999 / 1000)
    return Share(p, draws, Support(patients=10**8, effective=1e8, rows=float(n), rare=1e8))


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (1, 30), (39, 40), (40, 40), (50, 100)])
def test_wilson_s_limits_are_scipy_s(hits, n):
    low, high = wilson_limits(np.array([hits / n]), np.array([n]), NORMAL)
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert [low[0], high[0]] == pytest.approx([expected.low, expected.high], abs=1e-12)


def test_the_difference_of_two_rates_has_newcombe_s_published_limits():
    # Newcombe 1998, table II, method 10: 56/70 less 48/80, 9/10 less 3/10, and 10/10 less 0/20.
    assert difference_limits(certain(56, 70), certain(48, 80), NORMAL) == pytest.approx((0.0524, 0.3339), abs=1e-3)
    assert difference_limits(certain(9, 10), certain(3, 10), NORMAL) == pytest.approx((0.1705, 0.8090), abs=1e-3)


def test_the_limits_of_a_ratio_are_where_the_limits_of_a_weighted_difference_meet_zero():
    first, second = certain(30, 100), certain(60, 100)
    (l1, u1), (l2, u2) = first.limits(NORMAL), second.limits(NORMAL)
    low, high = ratio_limits(first, second, NORMAL)
    assert low < 0.5 < high
    assert 0.3 - low * 0.6 == pytest.approx(np.hypot(0.3 - l1, low * (u2 - 0.6)))
    assert high * 0.6 - 0.3 == pytest.approx(np.hypot(u1 - 0.3, high * (0.6 - l2)))


def test_the_support_of_a_rate_counts_patients_and_those_with_the_rarer_outcome():
    outcomes = np.array([[1], [1], [0], [1], [np.nan], [1]])
    support = rate_support(outcomes, np.array([0, 0, 0, 1, 2, 3]))
    assert (support.patients, support.rows, support.rare) == (3, 5, 1)
    # Patients with 3, 1 and 1 of 5 images: (3 + 1 + 1)² / (9 + 1 + 1)
    assert support.effective == pytest.approx(25 / 11)


def test_the_support_of_a_mean_of_rates_is_that_of_its_parts_where_patients_are_the_same():
    outcomes = np.array([1, 0, 1, 1, 1, 0, 1, 1.0])
    unit = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    one, twice = (rate_support(np.stack([outcomes] * k, axis=1), unit) for k in (1, 2))
    assert (one.effective, one.rare, one.patients) == (twice.effective, twice.rare, twice.patients) == (4, 2, 4)
    assert twice.rows == 2 * one.rows


def test_the_support_of_an_auroc_counts_the_patients_that_stand_wrong():
    y, unit = np.array([1, 1, 1, 0, 0, 0])[:, None], np.arange(6)
    perfect = auroc_support(y, np.array([5, 4, 3, 2, 1, 0.0])[:, None], unit)
    one_pair = auroc_support(y, np.array([5, 4, 2, 3, 1, 0.0])[:, None], unit)
    assert (perfect.rare, one_pair.rare) == (0, 1)
    assert perfect.patients == 3
    turned = auroc_support(y, -np.array([5, 4, 2, 3, 1, 0.0])[:, None], unit)
    assert turned.rare == one_pair.rare
    assert auroc_support(np.ones((6, 1)), np.ones((6, 1)), unit).patients == 0


def test_a_share_of_the_middle_with_many_patients_keeps_its_percentiles():
    rng = np.random.default_rng(0)
    outcomes = (rng.random(400) < 0.7).astype(float)
    weights = patient_weights(np.arange(400), 300, rng)
    draws = weights.sums(outcomes[:, None])[:, 0] / 400
    interval = share_interval(outcomes.mean(), draws, rate_support(outcomes[:, None], weights.unit))
    assert interval == percentile_interval(draws)


@pytest.mark.parametrize("patients", [1, 9, 10])
def test_an_interval_needs_ten_patients_wherever_it_is_made(patients):
    outcomes, draws = np.tile([1.0, 0.0], patients), np.linspace(0.4, 0.6, 100)
    interval = share_interval(0.5, draws, rate_support(outcomes[:, None], np.arange(2 * patients) // 2))
    wanted = {1: "no interval: 1 patient (wanted 10)", 9: "no interval: 9 patients (wanted 10)", 10: ""}[patients]
    assert interval.reason == too_few_for_interval(patients) == wanted
    assert np.isnan([interval.low, interval.high]).all() == (patients < 10)


def coverage(p, n, *, images, correlation, rounds=250):
    """Return how often the interval of a rate of n images holds its value."""
    rng, inside = np.random.default_rng(n), []
    unit = np.arange(n) // images
    patients = unit[-1] + 1
    drawn = patient_weights(np.arange(patients), 200, rng).counts[:, unit]
    for _ in range(rounds):
        shared = rng.normal(size=patients)[unit]
        noise = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.normal(size=n)
        outcome = (noise < norm.ppf(p)).astype(float)
        interval = share_interval(outcome.mean(), drawn @ outcome / drawn.sum(1), rate_support(outcome[:, None], unit))
        inside.append(interval.low <= p <= interval.high)
    return np.mean(inside)


@pytest.mark.parametrize("p", [0.9, 0.95, 0.98, 0.02])
@pytest.mark.parametrize(("n", "images", "correlation"), [(30, 1, 0.0), (100, 1, 0.0), (30, 3, 0.9), (120, 6, 0.5)])
def test_intervals_near_the_ends_cover_as_often_as_they_say(p, n, images, correlation):
    # Two standard errors of 250 rounds below .95; asked for is .93.
    assert coverage(p, n, images=images, correlation=correlation) >= 0.922


def test_students_quantile_belongs_to_the_patients_and_not_to_the_images():
    outcomes, unit = np.ones(60), np.arange(60) // 3
    interval = share_interval(1.0, np.ones(100), rate_support(outcomes[:, None], unit))
    z = student.ppf(0.975, df=19)
    assert [interval.low, interval.high] == pytest.approx([20 / (20 + z**2), 1.0])
