"""Paired differences between models against scikit-learn on every replicate, by hand, and in simulations."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from metrics import compare_auroc, compare_delong, patient_weights
from metrics.comparison import bootstrap_p, paired_differences
from metrics.multiplicity import holm


def sample(seed, n=240, c=3):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, c)) < 0.35).astype(float)
    common = rng.normal(size=(n, c))
    first, second = labels + common + rng.normal(size=(n, c)), labels + common + rng.normal(size=(n, c)) * 2
    return labels, np.round(first, 1), np.round(second, 1), patient_weights(rng.integers(0, 80, n), 120, rng)


def sklearn_differences(labels, first, second, weights):
    rows = []
    for counts in weights.counts:
        w = counts[weights.unit]
        one, two = (
            [roc_auc_score(y, s, sample_weight=w) for y, s in zip(labels.T, scores.T, strict=True)]
            for scores in (first, second)
        )
        rows.append(np.subtract(one, two))
    return np.array(rows)


def test_differences_and_intervals_equal_scikit_learn_on_every_replicate():
    labels, first, second, weights = sample(0)
    draws = sklearn_differences(labels, first, second, weights)
    findings, mean = compare_auroc(labels, first, second, weights, level=0.9)
    low, high = np.percentile(draws, [5, 95], axis=0)
    np.testing.assert_allclose(findings.low, low, atol=1e-12)
    np.testing.assert_allclose(findings.high, high, atol=1e-12)
    expected = [roc_auc_score(y, a) - roc_auc_score(y, b) for y, a, b in zip(labels.T, first.T, second.T, strict=True)]
    np.testing.assert_allclose(findings.difference, expected, atol=1e-12)
    assert mean.difference[0] == pytest.approx(np.mean(expected), abs=1e-12)
    assert (mean.low[0], mean.high[0]) == pytest.approx(tuple(np.percentile(draws.mean(axis=1), [5, 95])), abs=1e-12)
    np.testing.assert_array_equal(findings.p_holm, holm(findings.p))
    assert mean.p_holm[0] == mean.p[0]


def test_pairing_makes_the_interval_narrower_than_independent_draws_would():
    labels, first, _, weights = sample(1)
    second = first + np.random.default_rng(2).normal(size=first.shape) * 0.3
    paired, _ = compare_auroc(labels, first, second, weights)
    widths = paired.high - paired.low
    alone, _ = compare_auroc(labels, first, np.zeros_like(first), weights)  # against 0.5: the width of one model
    assert (widths < 0.5 * (alone.high - alone.low)).all()


@pytest.mark.parametrize(
    ("replicates", "p"),
    [
        ([0.1] * 99, 2 / 100),  # none at or below zero: as small as 99 replicates can tell
        ([-0.1] * 9 + [0.1] * 90, 2 * 10 / 100),
        ([0.1] * 9 + [-0.1] * 90, 2 * 10 / 100),
        ([0.0] * 99, 1.0),
        ([0.0] * 4 + [0.1] * 95, 2 * 5 / 100),  # zero counts against both sides
    ],
)
def test_the_p_value_counts_the_replicates_on_the_other_side_of_zero(replicates, p):
    assert bootstrap_p(np.array(replicates)) == pytest.approx(p)


@given(st.integers(0, 5000), st.floats(-3, 3))
def test_the_p_value_is_small_exactly_where_the_percentile_interval_excludes_zero(seed, shift):
    replicates = np.random.default_rng(seed).normal(size=199) + shift
    low, high = np.quantile(replicates, [0.025, 0.975])
    p = bootstrap_p(replicates)
    # alpha 5 % cuts 199 replicates inside the fifth from the end: one step of 2 / 200 to either side
    assert p <= 0.06 if low > 0 or high < 0 else p >= 0.05


def test_the_same_scores_twice_are_no_difference():
    labels, first, _, weights = sample(3)
    findings, mean = compare_auroc(labels, first, first * 2, weights)
    for result in (findings, mean):
        assert (result.difference == 0).all()
        assert (result.p == 1).all()
        assert np.isnan(result.p_max_t).all()


@given(st.integers(0, 1000))
def test_swapping_the_models_changes_only_the_sign(seed):
    rng = np.random.default_rng(seed)
    values, draws = rng.normal(size=(2, 4)), rng.normal(size=(2, 60, 4))
    one, two = paired_differences(*values, *draws), paired_differences(*values[::-1], *draws[::-1])
    np.testing.assert_allclose(one.low, -two.high, atol=1e-12)
    np.testing.assert_allclose(one.simultaneous_low, -two.simultaneous_high, atol=1e-12)
    np.testing.assert_array_equal(one.p, two.p)
    np.testing.assert_array_equal(one.p_max_t, two.p_max_t)


def test_a_finding_that_is_not_evaluable_says_so_and_is_in_no_family():
    labels, first, second, weights = sample(4)
    whole, _ = compare_auroc(labels[:, :2], first[:, :2], second[:, :2], weights)
    labels[:, 2] = 0
    findings, mean = compare_auroc(labels, first, second, weights)
    assert findings.reason == ("", "", "undefined for a model")
    np.testing.assert_array_equal(findings.p_holm, [*whole.p_holm, np.nan])
    np.testing.assert_array_equal(findings.simultaneous_low, [*whole.simultaneous_low, np.nan])
    assert np.isnan([findings.low[2], findings.high[2], findings.p[2], findings.p_max_t[2]]).all()
    assert mean.difference[0] == pytest.approx(findings.difference[:2].mean())
    with pytest.raises(ValueError, match="in_mean: column 2 has no AUROC"):
        compare_auroc(labels, first, second, weights, in_mean=np.array([True, False, True]))
    only, _ = compare_auroc(labels[:, 2:], first[:, 2:], second[:, 2:], weights)
    assert np.isnan(only.difference).all()


def test_a_finding_in_one_patient_has_neither_interval_nor_p_value():
    labels, first, second, weights = sample(5)
    labels[:, 0] = weights.unit == 3
    findings, mean = compare_auroc(labels, first, second, weights)
    assert not np.isnan(findings.difference[0])
    assert findings.undefined[0] == (weights.counts[:, 3] == 0).sum() > 0
    assert findings.reason[0] == mean.reason[0] == "no interval: 1 patient (wanted 10)"
    assert np.isnan([findings.low[0], findings.p[0], findings.p_holm[0], findings.simultaneous_low[0]]).all()
    assert np.isnan(bootstrap_p(np.array([0.1] * 50 + [np.nan])))


def test_a_difference_that_too_many_resamples_leave_undefined_has_a_reason():
    draws = np.full((100, 1), 0.7)
    draws[:2] = np.nan
    found = paired_differences(np.array([0.7]), np.array([0.6]), draws, draws - 0.1)
    assert found.reason == ("sparse: undefined in 2 of 100 replicates",)
    assert np.isnan([found.low[0], found.p[0]]).all()


def test_the_bootstrap_and_delong_give_the_same_error_of_one_difference():
    rng = np.random.default_rng(6)
    labels = (rng.random((600, 1)) < 0.4).astype(float)
    common = rng.normal(size=(600, 1))
    first, second = labels + common + rng.normal(size=(600, 1)), labels + common + rng.normal(size=(600, 1))
    findings, _ = compare_auroc(labels, first, second, patient_weights(np.arange(600), 2000, rng))
    expected = compare_delong(labels[:, 0], first[:, 0], second[:, 0])
    # Monte-Carlo error of a 2.5 % quantile of 2000 replicates: 6 % of a standard error
    assert findings.low[0] == pytest.approx(expected.low, abs=0.2 * expected.error)
    assert findings.high[0] == pytest.approx(expected.high, abs=0.2 * expected.error)


def true_auroc(noise):
    """Of a score y + patient's part + noise: P(1 + difference of two such sums > 0), for different patients."""
    return NormalDist().cdf(1 / np.sqrt(2 * (0.5**2 + noise**2)))


@pytest.mark.slow
def test_paired_intervals_cover_and_the_test_keeps_its_level():
    rng, covered, rejected = np.random.default_rng(7), 0, 0
    truth = true_auroc(0.8) - true_auroc(1.2)
    for _ in range(500):
        patients = np.repeat(np.arange(150), 3)
        y = (rng.random(450) < 0.35).astype(float)[:, None]
        common = np.repeat(rng.normal(size=150), 3)[:, None] * 0.5
        first, second, equal = (y + common + rng.normal(size=(450, 1)) * noise for noise in (0.8, 1.2, 0.8))
        weights = patient_weights(patients, 400, rng)
        better, _ = compare_auroc(y, first, second, weights)
        same, _ = compare_auroc(y, first, equal, weights)
        covered += better.low[0] <= truth <= better.high[0]
        rejected += same.p[0] < 0.05
    assert 0.925 <= covered / 500 <= 0.975
    assert 0.025 <= rejected / 500 <= 0.075
