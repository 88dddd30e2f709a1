"""The patient bootstrap: patients are resampled as a matrix of weights, from which every interval is computed.

The sampling unit is the patient, because the images of one patient resemble each other. A replicate is not a copied
table. It is a row of counts, how often each patient was drawn, and a metric uses these counts as weights. All findings,
groups and models share one matrix, so their differences are paired at no extra cost.

    weights = patient_weights(subject_ids, 1000, rng)            # draw once
    replicates = auroc_replicates(labels, scores, weights)       # any metric, one value per replicate
    low, high, _, reason = percentile_interval(replicates)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

SPARSE_SHARE = 0.01
"""An interval is withheld if the metric is undefined in more than this share of the replicates"""

FLOATS = 2_000_000
"""Counts converted to floats at a time, so that a large archive's matrix is never held twice"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateWeights:
    """How often each sampling unit (patient) was drawn in each replicate, and the unit of each image."""

    counts: Real[np.ndarray, "r p"]
    """How often each unit was drawn in each replicate"""
    unit: Int[np.ndarray, "n"]
    """Column of `counts` for each image"""

    @property
    def n_replicates(self) -> int:
        """Number of replicates."""
        return int(self.counts.shape[0])

    @property
    def n_images(self) -> int:
        """Number of images."""
        return int(self.unit.shape[0])

    def rows(self, images: Shaped[np.ndarray, "k"]) -> "ReplicateWeights":
        """Return the same replicates for some of the images (indices or a mask). The draw stays paired."""
        return ReplicateWeights(counts=self.counts, unit=self.unit[images])

    def take(self, replicates: slice, images: Int[np.ndarray, "k"]) -> Real[np.ndarray, "b k"]:
        """Return the weights of `images` in a slice of the replicates."""
        taken: Real[np.ndarray, "b k"] = np.take(self.counts[replicates], self.unit[images], axis=1)
        return taken

    def sums(self, values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "r k"]:
        """Return the weighted sum of each column in each replicate."""
        # (n k) -> (p k): sum per patient first, so that the product below grows with patients and not with images.
        n_units = self.counts.shape[1]
        per_unit = np.stack([np.bincount(self.unit, column, n_units) for column in values.T], axis=1)

        return self.totals(per_unit)

    def totals(self, per_unit: Real[np.ndarray, "p k"]) -> Float[np.ndarray, "r k"]:
        """Return for each replicate the sum over units, each counted as often as it was drawn."""
        totals = np.empty((self.n_replicates, per_unit.shape[1]))

        # (r p) @ (p k) -> (r k), some replicates at a time.
        rows = max(1, FLOATS // len(per_unit))
        for begin in range(0, self.n_replicates, rows):
            totals[begin : begin + rows] = self.counts[begin : begin + rows].astype(np.float64) @ per_unit
        return totals


def patient_numbers(subject_ids: Sequence[Any] | np.ndarray) -> tuple[Int[np.ndarray, "n"], int]:
    """Return the number 0..p-1 of each image's patient, in the sorted order of their ids, and p.

    Raises:
        ValueError: there are no images, or a subject id is missing.
    """
    ids = np.asarray(subject_ids)
    if ids.size == 0:
        raise ValueError("subject_ids: wanted the patient of each image; the list is empty")
    missing = [row for row, value in enumerate(ids.tolist()) if value is None or str(value) in {"", "nan", "<NA>"}]
    if missing:
        raise ValueError(
            f"{len(missing)} images have no subject_id (first at row {missing[0]}): fill it in or leave them out"
        )

    patients, unit = np.unique(ids.astype(str), return_inverse=True)
    return unit.astype(np.int64), len(patients)


def patient_weights(
    subject_ids: Sequence[Any] | np.ndarray, n_replicates: int, rng: np.random.Generator
) -> ReplicateWeights:
    """Return multinomial weights: each replicate draws as many patients as there are, with replacement.

    Patients are taken in sorted order, so the draw does not depend on the order of the rows.

    Args:
        subject_ids: the patient of each image, `(n,)`.
        n_replicates: number of replicates r; 1000 for an interval, 2000 for a simultaneous one.
        rng: the only source of randomness.

    Raises:
        ValueError: there are no images, or a subject id is missing.

    Source: Field & Welsh, Bootstrapping clustered data, JRSS-B 2007 (the cluster bootstrap).
    """
    unit, p = patient_numbers(subject_ids)
    counts = np.empty((n_replicates, p), dtype=np.uint16)

    # One replicate: p patients drawn with replacement, and counted.
    for row in counts:
        row[:] = np.bincount(rng.integers(0, p, size=p), minlength=p)
    return ReplicateWeights(counts=counts, unit=unit)


def unit_weights(n_images: int) -> ReplicateWeights:
    """Return one replicate with weight 1 for each image: the code of the replicates then gives the estimate itself."""
    return ReplicateWeights(counts=np.ones((1, 1), dtype=np.uint16), unit=np.zeros(n_images, dtype=np.int64))


def image_weights(weights: Real[np.ndarray, "r n"]) -> ReplicateWeights:
    """Wrap any `(r, n)` matrix of non-negative weights per image.

    Raises:
        ValueError: a weight is negative or not finite.
    """
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("weights must be finite and not negative")
    return ReplicateWeights(counts=weights, unit=np.arange(weights.shape[1]))


class Interval(NamedTuple):
    """A confidence interval. Both ends are NaN, with a reason, if it is withheld."""

    low: float
    high: float
    undefined: int
    """Number of replicates in which the metric was undefined"""
    reason: str


def percentile_interval(
    replicates: Float[np.ndarray, "r"], *, level: float = 0.95, max_undefined: float = SPARSE_SHARE
) -> Interval:
    """Return the percentile interval of a metric's replicates (linear interpolation).

    If more than `max_undefined` of the replicates are NaN, the interval is NaN with a reason that begins with "sparse".
    Quantiles of the remaining replicates would describe easier samples than the one at hand.
    """
    defined = replicates[~np.isnan(replicates)]
    undefined = replicates.size - defined.size
    if defined.size == 0 or undefined > max_undefined * replicates.size:
        reason = f"sparse: undefined in {undefined} of {replicates.size} replicates"
        return Interval(np.nan, np.nan, undefined, reason)

    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), undefined, "")


def interval_if_drawn(replicates: Float[np.ndarray, "r"]) -> Interval:
    """Return the 95 % percentile interval; NaN without a reason if no replicates were asked for."""
    return percentile_interval(replicates) if len(replicates) else Interval(np.nan, np.nan, 0, "")


def mean_replicates(values: Float[np.ndarray, "n k"], weights: ReplicateWeights) -> Float[np.ndarray, "r k"]:
    """Return the weighted mean of each of k columns in each replicate.

        mean_rk = Σ_i w_ri v_ik / Σ_i w_ri     over the images i whose v_ik is not NaN

    NaN if a replicate drew none of a column's images.

    Args:
        values: a number per image and column; NaN leaves an image out of that column only.
        weights: weights of the same n images; `unit_weights(n)` for the estimate itself.

    Raises:
        ValueError: the weights are for another number of images.
    """
    if weights.n_images != len(values):
        raise ValueError(f"values of {len(values)} images, but weights for {weights.n_images}")

    known = ~np.isnan(values)  # (n k)
    sums, drawn = (weights.sums(columns) for columns in (np.where(known, values, 0.0), known.astype(np.float64)))
    return ratio(sums, drawn)  # (r k)


def ratio(part: Float[np.ndarray, "..."], whole: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Divide, with NaN where the whole is not positive: no pairs, no rows."""
    divided: Float[np.ndarray, "..."] = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return divided
