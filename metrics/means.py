"""Means over images in every replicate, such as a share of images: each image counts as often as its patient."""

import numpy as np
from jaxtyping import Float

from metrics.resampling import ReplicateWeights

FLOATS = 2_000_000
"""Counts turned into floats at a time, so that a large archive's matrix is never held twice."""


def mean_replicates(values: Float[np.ndarray, "n k"], weights: ReplicateWeights) -> Float[np.ndarray, "r k"]:
    """Return the weighted mean of each of k columns in every replicate.

        mean_rk = Σ_i w_ri v_ik / Σ_i w_ri     over the images i whose v_ik is not NaN

    NaN where a replicate drew none of a column's images. Images are first summed per patient, so that the cost grows
    with the patients and not with the images.

    Args:
        values: a number per image and column; NaN leaves an image out of that column only.
        weights: weights of the same n images; `unit_weights(n)` for the estimate itself.

    Raises:
        ValueError: the weights are for another number of images.
    """
    if weights.n_images != len(values):
        raise ValueError(f"values of {len(values)} images, but weights for {weights.n_images}")
    k, p = values.shape[1], weights.counts.shape[1]
    known = ~np.isnan(values)
    columns = [*np.where(known, values, 0.0).T, *known.T.astype(np.float64)]
    per_unit = np.empty((p, 2 * k))
    for place, column in enumerate(columns):
        per_unit[:, place] = np.bincount(weights.unit, column, minlength=p)
    totals = np.empty((weights.n_replicates, 2 * k))
    rows = max(1, FLOATS // p)
    for begin in range(0, weights.n_replicates, rows):
        totals[begin : begin + rows] = weights.counts[begin : begin + rows].astype(np.float64) @ per_unit
    sums, drawn = totals[:, :k], totals[:, k:]
    means: Float[np.ndarray, "r k"] = np.divide(sums, drawn, out=np.full(sums.shape, np.nan), where=drawn > 0)
    return means
