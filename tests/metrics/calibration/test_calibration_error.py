"""Brier score and calibration errors against loops over bins, scikit-learn and planted miscalibration."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from metrics import brier_score, calibration_line, patient_weights
from metrics.calibration.calibration_error import bin_edges, bin_totals, debiased_error
from metrics.calibration.reliability import brier_parts

TENTHS = np.linspace(0, 1, 11)


def loop_over_bins(y, s, edges, w):
    """ECE, squared and debiased squared error with copied rows instead of weights."""
    y, s = np.repeat(y, w), np.repeat(s, w)
    ece = squared = debiased = 0.0
    for low, high in pairwise(edges):
        inside = (s >= low) & ((s < high) | (high == 1))
        n = inside.sum()
        if n:
            gap = y[inside].mean() - s[inside].mean()
            ece += n / len(y) * abs(gap)
            squared += n / len(y) * gap**2
        if n > 1:
            debiased += n / len(y) * (gap**2 - y[inside].var(ddof=1) / n)
    return ece, squared, debiased


def test_every_replicate_equals_a_loop_over_bins_of_copied_rows(sample):
    y, s, weights = sample(0, n=60, patients=20)
    edges = bin_edges(s, 7)
    totals = bin_totals(y, s, edges, weights)
    ours = np.stack(
        [totals.expected_calibration_error(), totals.squared_error(), totals.debiased_squared_error()], axis=1
    )
    expected = [loop_over_bins(y, s, edges, w[weights.unit]) for w in weights.counts]
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    np.testing.assert_allclose(
        brier_score(y, s, weights),
        [brier_score_loss(y, s, sample_weight=w[weights.unit]) for w in weights.counts],
        atol=1e-12,
    )


def test_the_estimate_is_the_replicate_in_which_everybody_counts_once(sample):
    y, s, _ = sample(1)
    totals = bin_totals(y, s, TENTHS)
    found = [f()[0] for f in (totals.expected_calibration_error, totals.squared_error, totals.debiased_squared_error)]
    assert found == pytest.approx(loop_over_bins(y, s, TENTHS, np.ones(len(y), int)))
    assert brier_score(y, s)[0] == pytest.approx(brier_score_loss(y, s))


def test_edges_hold_equal_masses_of_the_pooled_scores_and_ties_make_fewer_bins():
    s = np.random.default_rng(2).random(1000) * 0.3
    edges = bin_edges(s)
    assert (edges[0], edges[-1], len(edges)) == (0.0, 1.0, 11)
    assert np.histogram(s, edges)[0].tolist() == [100] * 10
    np.testing.assert_allclose(bin_edges(np.repeat([0.2, 0.7], 50), 4), [0, 0.2, 0.45, 0.7, 1])
    np.testing.assert_array_equal(bin_edges(np.array([0.0, 1.0]), 1), [0, 1])


def test_a_score_on_an_edge_belongs_to_the_upper_bin_and_one_to_the_last():
    totals = bin_totals(np.zeros(4), np.array([0.0, 0.2, 0.7, 1.0]), np.array([0, 0.2, 0.7, 1]))
    np.testing.assert_array_equal(totals.n, [[1, 1, 2]])


@given(st.integers(0, 5000), st.randoms(use_true_random=False))
def test_shared_bins_make_the_errors_of_groups_add_up(sample, seed, random):
    """Squared deviations of two groups, pooled: what they share is bins, so totals are sums of totals."""
    y, s, _ = sample(seed, n=50)
    first = np.array([random.random() < 0.5 for _ in range(50)])
    parts = [bin_totals(y[rows], s[rows], TENTHS) for rows in (first, ~first)]
    whole = bin_totals(y, s, TENTHS)
    for name in ("n", "positives", "scores"):
        np.testing.assert_allclose(sum(getattr(part, name) for part in parts), getattr(whole, name), atol=1e-12)


def test_the_debiased_error_of_calibrated_scores_is_zero_on_average_and_the_plain_one_is_not():
    rng, found = np.random.default_rng(3), []
    for _ in range(300):
        p = np.repeat([0.1, 0.3, 0.6], 30)
        totals = bin_totals(rng.random(90) < p, p, np.array([0, 0.2, 0.5, 1]))
        found.append([totals.squared_error()[0], totals.debiased_squared_error()[0]])
    plain, debiased = np.array(found).T
    noise = np.mean([0.1 * 0.9, 0.3 * 0.7, 0.6 * 0.4]) / 30
    assert plain.mean() == pytest.approx(noise, abs=4 * plain.std() / np.sqrt(300))
    assert debiased.mean() == pytest.approx(0, abs=4 * debiased.std() / np.sqrt(300))


def test_the_interval_adds_the_replicates_deviations_to_the_debiased_estimate(sample):
    y, s, weights = sample(4, shift=0.7)
    estimate, replicates = bin_totals(y, s, TENTHS), bin_totals(y, s, TENTHS, weights)
    draws = replicates.debiased_squared_error()
    result = debiased_error(estimate, replicates, level=0.8)
    _, plain, debiased = loop_over_bins(y, s, TENTHS, np.ones(len(y), int))
    low, high = np.percentile(draws, [10, 90]) - plain + debiased
    assert (result.squared, result.root) == pytest.approx((debiased, np.sqrt(debiased)))
    assert (result.root_low, result.root_high) == pytest.approx((np.sqrt(max(low, 0)), np.sqrt(high)))


def coverage(sample, n_simulations, shift, slope, seed=5):
    """Share of intervals that hold the true error on the bins, and share of plain percentiles of ECE that hold it."""
    rng = np.random.default_rng(seed)
    s = expit(rng.normal(size=200_000) * 1.2 - 1)
    edges = bin_edges(s)
    truth = bin_totals(np.zeros(len(s)), s, edges)
    wanted = bin_totals(np.zeros(len(s)), expit(shift + slope * logit(s)), np.array([0.0, 1.0]))
    assert wanted.n[0, 0] == len(s)
    bins = np.searchsorted(edges[1:-1], s, side="right")
    gaps = np.array([(expit(shift + slope * logit(s)) - s)[bins == b].mean() for b in range(10)])
    root = np.sqrt((truth.share[0] * gaps**2).sum())
    held = 0
    for _ in range(n_simulations):
        y, scores, _ = sample(int(rng.integers(2**31)), n=500, shift=shift, slope=slope)
        weights = patient_weights(np.arange(500), 200, rng)
        result = debiased_error(bin_totals(y, scores, edges), bin_totals(y, scores, edges, weights))
        held += result.root_low <= root + 1e-12 and root <= result.root_high
    return held / n_simulations


@pytest.mark.slow
def test_intervals_of_the_debiased_error_cover(sample):
    assert coverage(sample, 400, 0.0, 1.0) >= 0.95  # on the boundary, where the lower end is mostly zero
    assert coverage(sample, 400, 0.8, 0.7) >= 0.92


def test_nothing_to_count_is_nan_and_never_zero():
    none = np.zeros(0)
    totals = bin_totals(none, none, TENTHS)
    for value in (totals.expected_calibration_error(), totals.squared_error(), totals.debiased_squared_error()):
        assert np.isnan(value).all()
    assert np.isnan(brier_score(none, none)).all()
    assert np.isnan(brier_parts(none, none, TENTHS)).all()
    two = bin_totals(np.array([0, 1]), np.array([0.1, 0.9]), np.array([0, 0.5, 1]))
    assert np.isnan(two.debiased_squared_error()).all()  # no bin has two images
    assert debiased_error(two, two).reason == "no bin has two images"
    assert two.expected_calibration_error()[0] == pytest.approx(0.1)


def test_scores_that_are_no_probabilities_and_wrong_edges_are_refused():
    y = np.array([0, 1])
    for measure in (brier_score, calibration_line, lambda y, s: bin_totals(y, s, TENTHS)):
        with pytest.raises(ValueError, match=r"1 of 2 scores lie outside \[0, 1\], the first is 1.2"):
            measure(y, np.array([0.3, 1.2]))
        with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
            measure(y, np.array([0.3, np.nan]))
    with pytest.raises(ValueError, match="edges must rise from 0 to 1"):
        bin_totals(y, np.array([0.3, 0.4]), np.array([0, 0.5, 0.5, 1]))
    with pytest.raises(ValueError, match="edges must rise from 0 to 1"):
        bin_totals(y, np.array([0.3, 0.4]), np.array([0.2, 0.9]))
    with pytest.raises(ValueError, match="at least 1 bin and 1 score; found 10 bins and 0 scores"):
        bin_edges(np.zeros(0))
