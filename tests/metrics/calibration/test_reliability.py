"""The reliability table and the parts of the Brier score against their definitions and planted copies."""

import numpy as np
import pytest

from metrics import patient_weights
from metrics.calibration.calibration_error import bin_edges
from metrics.calibration.reliability import brier_parts, reliability_table, wilson_interval

TENTHS = np.linspace(0, 1, 11)


def test_wilsons_ends_are_where_the_score_test_just_rejects():
    """(p̂ - p)² = z² p (1 - p) / n at both ends, which is how the interval is defined."""
    share, n = np.array([0.0, 0.1, 0.5, 1.0]), np.array([5, 20, 7, 3])
    for end in wilson_interval(share, n):
        np.testing.assert_allclose((share - end) ** 2, 1.959964**2 * end * (1 - end) / n, atol=1e-6)
    low, high = wilson_interval(np.array([np.nan]), np.array([0]))
    assert np.isnan([low[0], high[0]]).all()


def test_the_reliability_table_counts_its_bins_and_leaves_empty_ones_blank():
    y, s = np.array([1, 0, 0, 1, 1]), np.array([0.05, 0.1, 0.15, 0.9, 1.0])
    table = reliability_table(y, s, np.array([0, 0.2, 0.5, 1]))
    np.testing.assert_array_equal(table.n, [3, 0, 2])
    np.testing.assert_allclose(table.mean_score, [0.1, np.nan, 0.95])
    np.testing.assert_allclose(table.mean_label, [1 / 3, np.nan, 1])
    np.testing.assert_array_equal(np.isnan(table.low), [False, True, False])
    low, high = wilson_interval(np.array([1 / 3]), np.array([3]))
    assert (table.low[0], table.high[0]) == (low[0], high[0])


def test_copies_of_a_film_do_not_narrow_the_reliability_tables_intervals():
    rng = np.random.default_rng(10)
    s, copies = rng.random(300), np.repeat(np.arange(300), 4)
    y = (rng.random(300) < s).astype(int)
    y[s < 0.1] = 0
    table = reliability_table(y[copies], s[copies], TENTHS, patient_weights(copies, 2000, rng))
    assert table.n.sum() == 1200
    films = np.histogram(s, TENTHS)[0]
    assert table.n_effective[0] == films[0]  # no label varies in this bin: patients are counted
    # a variance from 2000 replicates has a relative error of 3 %
    np.testing.assert_allclose(table.n_effective, films, rtol=0.15)


def test_the_parts_of_the_brier_score_are_murphys_and_the_rest_lies_within_bins(sample):
    y, s, _ = sample(11)
    edges = bin_edges(s, 5)
    parts = brier_parts(y, s, edges)
    bins = np.searchsorted(edges[1:-1], s, side="right")
    members = [bins == b for b in range(5)]
    resolution = sum(rows.mean() * (y[rows].mean() - y.mean()) ** 2 for rows in members)
    within = sum(rows.mean() * (s[rows].var() - 2 * np.cov(s[rows], y[rows], ddof=0)[0, 1]) for rows in members)
    assert parts.resolution == pytest.approx(resolution)
    assert parts.within_bins == pytest.approx(within)
    assert parts.uncertainty == pytest.approx(y.var())
    assert parts.reliability == pytest.approx(
        sum(rows.mean() * (y[rows].mean() - s[rows].mean()) ** 2 for rows in members)
    )
