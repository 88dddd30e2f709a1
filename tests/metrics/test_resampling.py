"""Patient weights, intervals and means: laws of the draw, coverage, sparse replicates, and copied images as oracle."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import ReplicateWeights, auroc_replicates, patient_weights, percentile_interval, resampling, unit_weights
from metrics.resampling import interval_if_drawn, mean_replicates


def test_every_replicate_draws_as_many_patients_as_there_are():
    weights = patient_weights(["b", "a", "b", "c"], 50, np.random.default_rng(0))
    assert weights.counts.shape == (50, 3)
    assert (weights.counts.sum(axis=1) == 3).all()


def test_counts_have_the_moments_of_a_multinomial():
    counts = patient_weights(np.arange(40), 20_000, np.random.default_rng(1)).counts.astype(float)
    assert counts.mean(axis=0) == pytest.approx(np.ones(40), abs=0.05)
    assert counts.var() == pytest.approx(1 - 1 / 40, abs=0.01)
    assert np.cov(counts[:, 0], counts[:, 1])[0, 1] == pytest.approx(-1 / 40, abs=0.03)


def test_images_of_one_patient_share_one_weight():
    subjects = np.array(["x", "y", "x", "z", "y", "x"])
    weights = patient_weights(subjects, 30, np.random.default_rng(2))
    images = weights.take(slice(0, 30), np.arange(6))
    for name in "xyz":
        columns = images[:, subjects == name]
        assert (columns == columns[:, :1]).all()


def test_a_selection_of_rows_keeps_the_draw():
    weights = patient_weights(np.arange(10) // 2, 5, np.random.default_rng(3))
    some = np.array([7, 1, 2])
    np.testing.assert_array_equal(weights.rows(some).take(slice(0, 5), np.arange(3)), weights.take(slice(0, 5), some))


def test_the_same_seed_gives_the_same_draw_and_another_gives_another():
    draws = [patient_weights(np.arange(50), 4, np.random.default_rng(seed)).counts for seed in (5, 5, 6)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


@pytest.mark.parametrize("ids", [["a", None], ["a", float("nan")], ["a", ""]])
def test_an_image_without_a_patient_is_refused(ids):
    with pytest.raises(ValueError, match=r"1 images have no subject_id \(first at row 1\)"):
        patient_weights(ids, 10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="the list is empty"):
        patient_weights([], 10, np.random.default_rng(0))


def test_percentile_interval_is_numpys_quantile():
    values = np.random.default_rng(4).normal(size=1000)
    interval = percentile_interval(values)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert (interval.undefined, interval.reason) == (0, "")


def test_more_than_one_percent_undefined_replicates_withhold_the_interval():
    values = np.random.default_rng(5).normal(size=1000)
    values[:10] = np.nan
    assert percentile_interval(values).low == pytest.approx(np.percentile(values[10:], 2.5))
    values[10] = np.nan
    interval = percentile_interval(values)
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)
    assert interval.reason == "sparse: undefined in 11 of 1000 replicates"


def test_no_interval_is_withheld_where_none_was_asked_for():
    asked, drawn = interval_if_drawn(np.zeros(0)), np.random.default_rng(6).normal(size=50)
    assert np.isnan([asked.low, asked.high]).all()
    assert asked.reason == ""
    assert interval_if_drawn(drawn) == percentile_interval(drawn)


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_a_weighted_mean_is_the_mean_of_copied_images(seed, floats):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(30, 3))
    values[rng.random((30, 3)) < 0.4] = np.nan
    weights = patient_weights(rng.integers(0, 6, 30), 7, rng)
    copied = []
    for counts in weights.counts:
        drawn = np.repeat(values, counts[weights.unit], axis=0)
        copied.append([column[~np.isnan(column)].mean() if (~np.isnan(column)).any() else np.nan for column in drawn.T])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "FLOATS", floats)  # replicates in chunks of any size
        np.testing.assert_allclose(mean_replicates(values, weights), copied, rtol=0, atol=1e-12)


def test_a_replicate_that_draws_none_of_the_images_is_undefined_and_not_zero():
    weights = ReplicateWeights(counts=np.array([[2, 0], [0, 2], [1, 1]]), unit=np.array([0, 0, 1]))
    values = np.array([[1.0], [0.0], [np.nan]])
    assert np.array_equal(mean_replicates(values, weights), [[0.5], [np.nan], [0.5]], equal_nan=True)


def test_weights_of_other_images_are_refused():
    with pytest.raises(ValueError, match="values of 2 images, but weights for 3"):
        mean_replicates(np.zeros((2, 1)), unit_weights(3))


TRUE_AUROC = NormalDist().cdf(1 / np.sqrt(2 * (1 + 0.3**2)))
"""Of the simulation below: P(1 + difference of two patients' noises > 0)."""


def coverage(n_simulations, by_patient, n_patients=80):
    """Share of intervals that hold the true AUROC when six images of a patient lean the same way."""
    rng = np.random.default_rng(8)
    hits = 0
    for _ in range(n_simulations):
        patient = np.repeat(np.arange(n_patients), 6)
        y = np.repeat(rng.random(n_patients) < 0.4, 6)
        s = y + np.repeat(rng.normal(size=n_patients), 6) + 0.3 * rng.normal(size=6 * n_patients)
        units = patient if by_patient else np.arange(6 * n_patients)
        interval = percentile_interval(auroc_replicates(y, s, patient_weights(units, 200, rng)))
        hits += interval.low <= TRUE_AUROC <= interval.high
    return hits / n_simulations


def test_patient_intervals_cover_and_image_intervals_do_not():
    assert coverage(200, by_patient=True) > 0.89
    assert coverage(100, by_patient=False) < 0.75


@pytest.mark.slow
def test_patient_intervals_cover_at_their_nominal_rate():
    assert 0.93 <= coverage(1000, by_patient=True, n_patients=300) <= 0.97
