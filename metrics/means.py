"""Means over images in every replicate, such as a share of images: each image counts as often as its patient."""

import numpy as np
from jaxtyping import Float

from metrics.auroc import ratio
from metrics.resampling import ReplicateWeights


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
    known = ~np.isnan(values)
    sums, drawn = (weights.sums(columns) for columns in (np.where(known, values, 0.0), known.astype(np.float64)))
    return ratio(sums, drawn)
