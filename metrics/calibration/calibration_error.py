"""Brier score, and calibration error on bins that groups and models share: are probabilities right on average?

All functions return a value per replicate of a `ReplicateWeights`; without weights, the estimate as one replicate.
Cosine differences are not probabilities: calibrate them on validation patients first (`calibrators`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real, Shaped

from metrics.auroc import checked
from metrics.resampling import ReplicateWeights, percentile_interval, ratio, unit_weights


def checked_probabilities(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"]
) -> tuple[Bool[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return the labels as booleans and the scores as float64, after checking that the scores can be probabilities.

    Raises:
        ValueError: a score outside [0, 1] or NaN, a label that is neither 0 nor 1, lengths that differ.
    """
    positive, s = checked(y, s)
    outside = s[(s < 0) | (s > 1)]
    if outside.size:
        raise ValueError(
            f"{outside.size} of {s.size} scores lie outside [0, 1], the first is {float(outside[0]):g}: "
            "calibration is about probabilities; turn margins into them with a calibrator first"
        )
    return positive, s


def brier_score(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], weights: ReplicateWeights | None = None
) -> Float[np.ndarray, "r"]:
    """Return the Brier score Σ w (s - y)² / Σ w in each replicate, NaN without rows; lower is better.

    A constant 0.5 gets 0.25; a constant equal to the prevalence p gets p (1 - p).

    Args:
        y: labels, 0 or 1.
        s: probabilities.
        weights: replicates; by default one with all weights 1.

    Raises:
        ValueError: as `checked_probabilities`.

    Source: Brier, Monthly Weather Review 1950.
    """
    positive, s = checked_probabilities(y, s)
    error = (s - positive) ** 2
    sums = (weights or unit_weights(len(y))).sums(np.stack([error, np.ones_like(error)], axis=1))
    return ratio(sums[:, 0], sums[:, 1])


def bin_edges(scores: Real[np.ndarray, "n"], n_bins: int = 10) -> Float[np.ndarray, "e"]:
    """Return edges 0 = e_0 < ... < e_B = 1 at equal-mass quantiles, to be shared by all groups, models and splits.

    Use the pooled validation scores. If many scores are equal, there can be fewer bins than `n_bins`.

    Raises:
        ValueError: there are no scores, fewer than one bin, or scores that are not probabilities.
    """
    if n_bins < 1 or not scores.size:
        raise ValueError(f"bin_edges wants at least 1 bin and 1 score; found {n_bins} bins and {scores.size} scores")

    _, probabilities = checked_probabilities(np.zeros(len(scores), dtype=bool), scores)
    inner = np.quantile(probabilities, np.arange(1, n_bins) / n_bins)
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


@dataclass(frozen=True, slots=True, kw_only=True)
class BinTotals:
    """Weighted totals in the bins [e_b, e_b+1) of a fixed set of edges (the last one closed), by replicate."""

    n: Float[np.ndarray, "r b"]
    """Total weight: the number of images, in the estimate"""
    positives: Float[np.ndarray, "r b"]
    scores: Float[np.ndarray, "r b"]
    """Sum of the scores"""

    @property
    def share(self) -> Float[np.ndarray, "r b"]:
        """Share of the images in each bin; NaN without rows."""
        return ratio(self.n, self.n.sum(axis=1, keepdims=True))

    @property
    def mean_label(self) -> Float[np.ndarray, "r b"]:
        """Mean label ȳ_b; NaN in an empty bin."""
        return ratio(self.positives, self.n)

    @property
    def mean_score(self) -> Float[np.ndarray, "r b"]:
        """Mean score p̄_b; NaN in an empty bin."""
        return ratio(self.scores, self.n)

    def expected_calibration_error(self) -> Float[np.ndarray, "r"]:
        """Return ECE = Σ_b (n_b / n) |ȳ_b - p̄_b|, NaN without rows.

        It is biased upwards, more so in small groups: with perfect probabilities it is above zero, and so is an
        interval of its percentiles. Use `debiased_error` to assess and compare.
        """
        return _over_bins(self.share, np.abs(self.mean_label - self.mean_score))

    def squared_error(self) -> Float[np.ndarray, "r"]:
        """Return Σ_b (n_b / n) (ȳ_b - p̄_b)², biased upwards by the variance of ȳ_b; NaN without rows."""
        return _over_bins(self.share, (self.mean_label - self.mean_score) ** 2)

    def debiased_squared_error(self) -> Float[np.ndarray, "r"]:
        """Return Σ_b (n_b / n) [(ȳ_b - p̄_b)² - ȳ_b (1 - ȳ_b) / (n_b - 1)] over bins with n_b >= 2.

        Can be negative: its expectation is zero if all bins are calibrated and images are independent. Several images
        per patient leave some upward bias. NaN if no bin has two images.

        Source: Bröcker, Q. J. R. Meteorol. Soc. 2012; Kumar, Liang & Ma, NeurIPS 2019.
        """
        enough = self.n >= 2
        noise = np.divide(
            self.mean_label * (1 - self.mean_label), self.n - 1, out=np.full(self.n.shape, np.nan), where=enough
        )

        summed = _over_bins(self.share, (self.mean_label - self.mean_score) ** 2 - noise)
        return np.where(enough.any(axis=1), summed, np.nan)


def bin_totals(
    y: Shaped[np.ndarray, "n"],
    s: Real[np.ndarray, "n"],
    edges: Float[np.ndarray, "e"],
    weights: ReplicateWeights | None = None,
) -> BinTotals:
    """Return the totals that calibration errors are computed from, for fixed edges and all replicates.

    Args:
        y: labels, 0 or 1.
        s: probabilities.
        edges: of `bin_edges`, the same for all groups and models that are compared.
        weights: replicates; by default one with all weights 1.

    Raises:
        ValueError: as `checked_probabilities`; or the edges do not rise from 0 to 1.
    """
    positive, s = checked_probabilities(y, s)
    number = bin_numbers(s, edges)

    # Each image adds 1, its label and its score to the three columns of its bin.
    columns = np.zeros((len(s), 3, len(edges) - 1))  # (n 3 b)
    columns[np.arange(len(s)), :, number] = np.stack([np.ones(len(s)), positive, s], axis=1)

    sums = (weights or unit_weights(len(y))).sums(columns.reshape(len(s), 3 * (len(edges) - 1)))  # (r 3b)
    n, positives, scores = np.split(sums, 3, axis=1)
    return BinTotals(n=n, positives=positives, scores=scores)


def bin_numbers(s: Real[np.ndarray, "n"], edges: Float[np.ndarray, "e"]) -> Int[np.ndarray, "n"]:
    """Return the bin 0..B-1 of each score.

    Raises:
        ValueError: the edges do not rise from 0 to 1.
    """
    if len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or not (np.diff(edges) > 0).all():
        raise ValueError(f"edges must rise from 0 to 1, as those of bin_edges do; found {edges.tolist()}")
    return np.searchsorted(edges[1:-1], s, side="right").astype(np.int64)


class CalibrationError(NamedTuple):
    """The debiased calibration error and its interval."""

    squared: float
    """Debiased squared error; negative if the bins agree better than expected by chance"""
    root: float
    """√max(0, squared), in units of probability"""
    root_low: float
    root_high: float
    reason: str
    """Why there is no interval; "" if there is one"""


def debiased_error(estimate: BinTotals, replicates: BinTotals, *, level: float = 0.95) -> CalibrationError:
    """Return √max(0, debiased squared error) with an interval from the replicates.

    A replicate repeats the noise of the sample and adds its own. Replicates D* of the debiased error are thus centred
    on the plain squared error P of the sample, not on its debiased estimate D. The interval is D plus the percentiles
    of D* - P. The percentiles of D* alone exclude zero too often if calibration is perfect.

    Args:
        estimate: totals of the sample, one replicate with weights 1.
        replicates: totals of the patient bootstrap, same edges.
        level: of the interval.
    """
    squared, plain = float(estimate.debiased_squared_error()[0]), float(estimate.squared_error()[0])
    if np.isnan(squared):
        nan = float("nan")
        return CalibrationError(nan, nan, nan, nan, "no bin has two images")

    interval = percentile_interval(replicates.debiased_squared_error() - plain + squared, level=level)
    root, low, high = np.sqrt(np.maximum([squared, interval.low, interval.high], 0)).tolist()
    return CalibrationError(squared, root, low, high, interval.reason)


def _over_bins(share: Float[np.ndarray, "r b"], values: Float[np.ndarray, "r b"]) -> Float[np.ndarray, "r"]:
    """Sum, weighted by share, over the bins in which the value is defined; NaN without rows."""
    summed: Float[np.ndarray, "r"] = np.where(np.isnan(values), 0, share * np.nan_to_num(values)).sum(axis=1)
    return np.where(np.isnan(share).all(axis=1), np.nan, summed)
