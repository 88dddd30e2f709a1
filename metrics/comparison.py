"""Two models on the same images: paired differences from one draw of patients, with intervals and p-values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from metrics.auroc import auroc_matrix
from metrics.evidence import too_few_for_interval
from metrics.multiplicity import holm, max_t
from metrics.resampling import SPARSE_SHARE, ReplicateWeights, percentile_interval, unit_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifferences:
    """Differences first - second of k metrics, which are one family; NaN and a reason if not evaluable."""

    difference: Float[np.ndarray, "k"]
    low: Float[np.ndarray, "k"]
    """Pointwise percentile interval"""
    high: Float[np.ndarray, "k"]
    p: Float[np.ndarray, "k"]
    """Two-sided, each comparison on its own; see `bootstrap_p`"""
    p_holm: Float[np.ndarray, "k"]
    """`p` adjusted for the family by Holm's method"""
    simultaneous_low: Float[np.ndarray, "k"]
    """Max-T interval, valid for the whole family at once"""
    simultaneous_high: Float[np.ndarray, "k"]
    p_max_t: Float[np.ndarray, "k"]
    """Adjusted p-value of max-T"""
    undefined: Int[np.ndarray, "k"]
    """Replicates in which the difference was undefined"""
    reason: tuple[str, ...]
    """Why a comparison is not evaluable; "" if it is"""


def bootstrap_p(replicates: Float[np.ndarray, "r"]) -> float:
    """Return the two-sided p-value of "no difference" that matches the percentile interval of a difference.

        p = min(1, 2 min(1 + #{d* <= 0}, 1 + #{d* >= 0}) / (r + 1))

    It is the level at which the percentile interval just reaches zero, and never below 2 / (r + 1). More replicates can
    show a smaller p, but replicates are not observations: a test that takes them for a sample of size r can be made to
    reject anything. NaN if more than SPARSE_SHARE of the replicates are undefined.

    Source: Davison & Hinkley, Bootstrap Methods and their Application, 1997, sections 4.4 and 5.2 (inversion; 1 + r).
    """
    defined = replicates[~np.isnan(replicates)]
    if defined.size == 0 or replicates.size - defined.size > SPARSE_SHARE * replicates.size:
        return float("nan")

    tail = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (1 + tail) / (1 + int(defined.size)))


def paired_differences(
    first: Float[np.ndarray, "k"],
    second: Float[np.ndarray, "k"],
    first_replicates: Float[np.ndarray, "r k"],
    second_replicates: Float[np.ndarray, "r k"],
    *,
    few: Sequence[str] | None = None,
    level: float = 0.95,
) -> PairedDifferences:
    """Compare two models in k metrics (findings, groups, gaps, ...) that were declared as one family.

    Args:
        first: the metrics of the first model.
        second: the metrics of the second model, for the same images.
        first_replicates: the first model's replicates.
        second_replicates: the second model's, from the same `ReplicateWeights`. Only then are the two paired, as an
            interval of the difference needs.
        few: why a metric has too few patients for an interval, "" if it has enough; None: all have enough.
        level: of both kinds of interval.

    Returns:
        A comparison that is undefined, or undefined in more than SPARSE_SHARE of the replicates, is not in the family.
        One that is equal in all replicates (the same scores twice) has p = 1 or 2 / (r + 1), and no max-T interval.

    Source: Field & Welsh, JRSS-B 2007 (cluster bootstrap); Holm 1979; Westfall & Young 1993.
    """
    difference, draws = first - second, first_replicates - second_replicates  # (k,), (r k)
    intervals = [percentile_interval(column, level=level) for column in draws.T]
    reason = tuple(
        "undefined for a model" if np.isnan(d) else too_few or interval.reason
        for d, too_few, interval in zip(difference, few or [""] * len(difference), intervals, strict=True)
    )

    # Each comparison on its own, then the family: what is not evaluable is NaN in both.
    out = np.array([text != "" for text in reason], dtype=bool)
    p = np.where(out, np.nan, np.array([bootstrap_p(column) for column in draws.T], dtype=np.float64))
    family = max_t(np.where(out, np.nan, difference), draws, alpha=1 - level)

    return PairedDifferences(
        difference=difference,
        low=np.where(out, np.nan, np.array([interval.low for interval in intervals], dtype=np.float64)),
        high=np.where(out, np.nan, np.array([interval.high for interval in intervals], dtype=np.float64)),
        p=p,
        p_holm=holm(p),
        simultaneous_low=family.low,
        simultaneous_high=family.high,
        p_max_t=family.p,
        undefined=np.array([interval.undefined for interval in intervals], dtype=np.int64),
        reason=reason,
    )


def compare_auroc(
    labels: Real[np.ndarray, "n c"],
    first: Real[np.ndarray, "n c"],
    second: Real[np.ndarray, "n c"],
    weights: ReplicateWeights,
    *,
    in_mean: Bool[np.ndarray, "c"] | None = None,
    level: float = 0.95,
) -> tuple[PairedDifferences, PairedDifferences]:
    """Compare two models by the AUROC of every finding, and by its mean over findings.

    Args:
        labels: 1, 0, or NaN for an image without a label of that finding.
        first: scores of the first model.
        second: scores of the second model.
        weights: one draw of patients, which both models share.
        in_mean: findings that the mean runs over; by default all whose AUROC is defined.
        level: of the intervals.

    Returns:
        The c findings, one family; and the mean, a family of one. A finding with too few patients in a class
        (`evidence.too_few_for_interval`) has neither interval nor p-value. The mean is taken within each replicate,
        so that its interval reflects how findings vary together. A replicate in which one of them is undefined has no
        mean.

    Raises:
        ValueError: as `auroc_matrix`; or `in_mean` holds a finding without an AUROC.
    """
    one = unit_weights(len(labels))
    estimates = [auroc_matrix(labels, scores, one)[0] for scores in (first, second)]
    replicates = [auroc_matrix(labels, scores, weights) for scores in (first, second)]

    # A class is absent for both models or for neither: the labels are the same.
    undefined = np.isnan(estimates[0])
    chosen = ~undefined if in_mean is None else in_mean
    if (undefined & chosen).any():
        lost = np.flatnonzero(undefined & chosen).tolist()
        raise ValueError(f"in_mean: column {lost[0]} has no AUROC, because a class is absent; leave it out of the mean")

    if chosen.any():
        means = [values[..., chosen].mean(axis=-1, keepdims=True) for values in (*estimates, *replicates)]
    else:
        means = [np.full((*values.shape[:-1], 1), np.nan) for values in (*estimates, *replicates)]
    few = [_too_few(y, weights) for y in labels.T]
    fewest = next((reason for reason, used in zip(few, chosen, strict=True) if used and reason), "")
    return (
        paired_differences(*estimates, *replicates, few=few, level=level),
        paired_differences(*means, few=[fewest], level=level),
    )


def _too_few(labels: Real[np.ndarray, "n"], weights: ReplicateWeights) -> str:
    """Return why an AUROC has no interval: too few patients in the rarer class; "" if there are enough."""
    return too_few_for_interval(min(len(np.unique(weights.unit[labels == label])) for label in (0, 1)))
