"""Means under weights against images copied as often as they were drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import ReplicateWeights, patient_weights, resampling, unit_weights
from metrics.resampling import mean_replicates


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
