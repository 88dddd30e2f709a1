"""The reliability table: mean score and mean label per bin, with intervals; and the parts of the Brier score."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real, Shaped
from scipy.special import ndtri

from metrics.calibration.calibration_error import bin_numbers, bin_totals, brier_score
from metrics.resampling import ReplicateWeights
from metrics.share_intervals import wilson_limits


def wilson_interval(
    share: Float[np.ndarray, "k"], n: Real[np.ndarray, "k"], *, level: float = 0.95
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    """Return Wilson's interval of a share of n independent rows (`wilson_limits`); NaN where n is 0.

    Args:
        share: observed shares p.
        n: rows, or their effective number if rows are clustered.
        level: of the interval.
    """
    return wilson_limits(share, n, float(ndtri((1 + level) / 2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityTable:
    """One row per bin of a reliability plot; NaN in an empty bin."""

    low_edge: Float[np.ndarray, "b"]
    high_edge: Float[np.ndarray, "b"]
    n: Int[np.ndarray, "b"]
    """Images in the bin"""
    n_effective: Float[np.ndarray, "b"]
    """Effective number of independent images, for the interval; n without `weights`"""
    mean_score: Float[np.ndarray, "b"]
    mean_label: Float[np.ndarray, "b"]
    low: Float[np.ndarray, "b"]
    """Wilson interval of the mean label"""
    high: Float[np.ndarray, "b"]


def reliability_table(
    y: Shaped[np.ndarray, "n"],
    s: Real[np.ndarray, "n"],
    edges: Float[np.ndarray, "e"],
    weights: ReplicateWeights | None = None,
    *,
    level: float = 0.95,
) -> ReliabilityTable:
    """Return mean score, mean label and its Wilson interval in each bin.

    With replicates of the patient bootstrap, Wilson's n is n / deff. The design effect deff = var(ȳ*) / (ȳ (1 - ȳ) / n)
    is the variance of the bin's mean label relative to independent images, and at least 1. If the replicates have no
    spread, as with ȳ = 0 or 1, Wilson's n is the number of patients in the bin.

    Args:
        y: labels, 0 or 1.
        s: probabilities.
        edges: of `calibration_error.bin_edges`.
        weights: patient bootstrap; without it images are treated as independent.
        level: of the intervals.

    Raises:
        ValueError: as `calibration_error.bin_totals`.
    """
    totals = bin_totals(y, s, edges)
    n, share = totals.n[0], totals.mean_label[0]  # (b,)

    effective = (
        n
        if weights is None
        else _effective_images(bin_numbers(s, edges), n, share, weights, bin_totals(y, s, edges, weights).mean_label)
    )
    low, high = wilson_interval(share, effective, level=level)
    return ReliabilityTable(
        low_edge=edges[:-1],
        high_edge=edges[1:],
        n=n.astype(np.int64),
        n_effective=effective,
        mean_score=totals.mean_score[0],
        mean_label=share,
        low=low,
        high=high,
    )


class BrierParts(NamedTuple):
    """The terms of brier = reliability - resolution + uncertainty + within_bins; NaN without rows."""

    reliability: float
    """Σ_b (n_b / n) (ȳ_b - p̄_b)²: miscalibration, less is better"""
    resolution: float
    """Σ_b (n_b / n) (ȳ_b - ȳ)²: distance of the bins from the prevalence, more is better"""
    uncertainty: float
    """ȳ (1 - ȳ): depends on the sample only, not on the scores"""
    within_bins: float
    """Effect of scores that differ within a bin; 0 if scores are constant in each bin"""


def brier_parts(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], edges: Float[np.ndarray, "e"]) -> BrierParts:
    """Return the decomposition of the Brier score on fixed bins.

    Raises:
        ValueError: as `calibration_error.bin_totals`.

    Source: Murphy, J. Appl. Meteorol. 1973; Stephenson, Coelho & Jolliffe, Weather and Forecasting 2008 (within bins).
    """
    if not len(y):
        return BrierParts(*[float("nan")] * 4)

    totals, prevalence = bin_totals(y, s, edges), float(np.mean(y))
    reliability = float(totals.squared_error()[0])
    resolution = float(np.nansum(totals.share[0] * (totals.mean_label[0] - prevalence) ** 2))
    uncertainty = prevalence * (1 - prevalence)
    within = float(brier_score(y, s)[0]) - reliability + resolution - uncertainty
    return BrierParts(reliability, resolution, uncertainty, within)


def _effective_images(
    number: Int[np.ndarray, "n"],
    n: Float[np.ndarray, "b"],
    share: Float[np.ndarray, "b"],
    weights: ReplicateWeights,
    drawn: Float[np.ndarray, "r b"],
) -> Float[np.ndarray, "b"]:
    """Return, for each bin, how many independent images would have a mean label with the spread of `drawn`."""
    effective = np.zeros(len(n))
    for b in np.flatnonzero(n > 0):
        shares = drawn[~np.isnan(drawn[:, b]), b]
        patients = len(np.unique(weights.unit[number == b]))

        # Equal shares can differ by rounding.
        moved = shares.size > 1 and float(np.ptp(shares)) > 1e-9
        effective[b] = min(n[b], share[b] * (1 - share[b]) / shares.var(ddof=1)) if moved else patients
    return effective
