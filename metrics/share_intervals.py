"""Intervals of shares (rates and AUROCs) that keep their ends: never of width zero, and right near 0 and 1.

Resamples say how far a share varies only if they can move it. If no patient of forty was missed, none is missed in any
resample. A `Support` says how many patients there are, and how many of them have the rarer outcome:

    MANY and more     the interval is the percentiles of the resamples
    fewer             Wilson's interval, for as many independent rows as the spread of the resamples says
    below ENOUGH      Wilson's interval, the more as if a patient were one row the fewer there are; at 0 entirely
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.special import ndtr, ndtri, stdtrit

from metrics.evidence import MIN_PATIENTS, too_few_for_interval
from metrics.resampling import Interval, percentile_interval

ENOUGH = 10
"""Patients with the rarer outcome from which on the spread of the resamples is believed, for one 95 % interval"""
MANY = 40
"""Patients with the rarer outcome from which on the percentiles of the resamples are the interval"""
NORMAL = float(ndtri(0.975))
"""Quantile of one 95 % interval"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """What the interval of a share rests on."""

    patients: int
    """Patients in the denominator; of an AUROC, of the rarer class"""
    effective: float
    """Independent rows that they are worth if all images of a patient agree: the fewest"""
    rows: float
    """Independent rows that they are worth if images of a patient have nothing in common: the most"""
    rare: float
    """Patients among whom the rarer outcome is spread; fewer than have it if a few of them have most of it"""

    def trust(self, z: float = NORMAL) -> float:
        """Return how far the spread of the resamples is believed, from 0 to 1, for limits at the normal quantile z.

        A count of k is about normal up to √k standard deviations from its mean, so k has to grow with z².
        """
        return min(1.0, self.rare / ENOUGH * (NORMAL / z) ** 2)

    def rows_worth(self, value: float, variance: float, z: float = NORMAL) -> float:
        """Return the number of independent rows n whose share has this support, between `effective` and `rows`.

            1/n = trust variance / (value (1 - value)) + (1 - trust) / effective

        Args:
            value: the share.
            variance: of its resamples.
            z: quantile of the limits.
        """
        trust = self.trust(z)
        if not 0 < value < 1 or not variance > 0 or trust == 0:
            return self.effective
        inverse = trust * variance / (value * (1 - value)) + (1 - trust) / self.effective
        return min(1 / inverse, self.rows)


def rate_support(outcomes: Real[np.ndarray, "n c"], unit: Int[np.ndarray, "n"]) -> Support:
    """Return the support of the mean of c rates over the same patients; of one rate with c = 1.

    `effective` is Kish's number of patients, (Σ w)² / Σ w² with w the weight of a patient in the mean: their number if
    all have equally many images, and fewer if a few patients have most of the images. `rare` is the same with w a
    patient's part of the rarer outcome: of 25 patients with a false alarm, five can have most of them.

    Args:
        outcomes: 1 or 0 for an image in the denominator of a rate, NaN for one outside it. A rate without any image is
            left out.
        unit: number of each image's patient, as `ReplicateWeights.unit`.

    Source: Kish, Survey Sampling, 1965.
    """
    inside = ~np.isnan(outcomes)
    outcomes, inside = outcomes[:, inside.any(axis=0)], inside[:, inside.any(axis=0)]
    if not inside.size:
        return Support(patients=0, effective=0.0, rows=0.0, rare=0.0)

    counts = inside.sum(axis=0)  # (c,)
    # Each patient's part of the mean: of all its images, and of those with either outcome. (p,)
    weights, hits, misses = (
        np.bincount(unit, (chosen / counts).sum(axis=1)) for chosen in (inside, outcomes == 1, outcomes == 0)
    )
    return Support(
        patients=int((weights > 0).sum()),
        effective=_kish(weights),
        rows=float(len(counts) ** 2 / (1 / counts).sum()),
        rare=min(_kish(hits), _kish(misses)),
    )


def auroc_support(
    labels: Real[np.ndarray, "n c"], scores: Real[np.ndarray, "n c"], unit: Int[np.ndarray, "n"]
) -> Support:
    """Return the support of the mean of c AUROCs over the same patients; of one AUROC with c = 1.

    `effective` is the number of rows whose share would have Hanley and McNeil's standard error, if images of a patient
    correlate by 1/2. `rare` is Kish's number of patients, on the side that has fewer, among whom the pairs that
    are in the wrong order are spread; below an AUROC of 1/2, those in the right order.

    Args:
        labels: 1, 0, or NaN for an image without a label. A finding without both classes is left out.
        scores: higher means more likely positive.
        unit: number of each image's patient, as `ReplicateWeights.unit`.
    """
    both = (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
    labels, scores = labels[:, both], scores[:, both]
    sides = [rate_support(np.where(labels == label, 1.0, np.nan), unit) for label in (1, 0)]
    fewest = min(side.patients for side in sides)
    if not labels.size:
        return Support(patients=fewest, effective=0.0, rows=0.0, rare=0.0)

    # Each patient's part of the pairs in the wrong order, and of those in the right order, by class: (2 p).
    wrong, right = (np.zeros((2, unit.max() + 1)) for _ in range(2))
    aurocs = []
    for y, s in zip(labels.T, scores.T, strict=True):
        for side, own, others in ((0, y == 1, y == 0), (1, y == 0, y == 1)):
            below = _share_below(s[own], s[others])
            above, below = (1 - below, below) if side == 0 else (below, 1 - below)
            wrong[side] += np.bincount(unit[own], above / own.sum(), wrong.shape[1])
            right[side] += np.bincount(unit[own], below / own.sum(), wrong.shape[1])
            aurocs.append(float(below.mean()))

    auroc, (n_pos, n_neg) = float(np.mean(aurocs)), (2 / (1 / side.effective + 1 / side.rows) for side in sides)
    moved = towards_half(auroc, min(n_pos, n_neg))
    return Support(
        patients=fewest,
        effective=float(moved * (1 - moved) / auroc_error(auroc, n_pos, n_neg) ** 2),
        rows=np.inf,
        rare=min(_kish(part) for part in (wrong if auroc >= 0.5 else right)),
    )


def _share_below(own: Float[np.ndarray, "m"], others: Float[np.ndarray, "k"]) -> Float[np.ndarray, "m"]:
    """Return for each score the share of the others that it exceeds; equal ones count half."""
    ranked = np.sort(others)
    places = [np.searchsorted(ranked, own, side) for side in ("left", "right")]
    below: Float[np.ndarray, "m"] = (places[0] + places[1]) / (2 * len(others))
    return below


def _kish(weights: Float[np.ndarray, "p"]) -> float:
    """Return Kish's effective number of patients, (Σ w)² / Σ w²; 0 if all weights are 0."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def towards_half(auroc: float, n: float) -> float:
    """Return an AUROC A (or its mirror image above 1/2) moved a little towards 1/2: (A n + 1) / (n + 2)."""
    return (max(auroc, 1 - auroc) * n + 1) / (n + 2)


def auroc_error(auroc: float, n_pos: float, n_neg: float) -> float:
    """Return Hanley and McNeil's standard error of an AUROC A, after moving A a little towards 1/2.

        A   <- `towards_half`, with min(m, n) patients, so that A = 1 is not taken for certain
        var = [A(1-A) + (m-1)(A/(2-A) - A²) + (n-1)(2A²/(1+A) - A²)] / (mn)

    An AUROC below 1/2 has the error of its mirror image.

    Source: Hanley & McNeil, Radiology 1982.
    """
    a = towards_half(auroc, min(n_pos, n_neg))
    spread = (n_pos - 1) * (a / (2 - a) - a**2) + (n_neg - 1) * (2 * a**2 / (1 + a) - a**2)
    return float(np.sqrt((a * (1 - a) + spread) / (n_pos * n_neg)))


def wilson_limits(
    share: Float[np.ndarray, "k"], n: Real[np.ndarray, "k"], z: Float[np.ndarray, "k"] | float
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    """Return Wilson's limits of a share of n independent rows; NaN where n is 0.

        centre = (p + z² / 2n) / (1 + z² / n),  half-width = z √(p (1 - p) / n + z² / 4n²) / (1 + z² / n)

    Args:
        share: observed shares p.
        n: rows, or the number of independent rows that clustered ones are worth.
        z: quantile.

    Source: Wilson, JASA 1927.
    """
    rows = np.where(n > 0, n, np.nan)
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half_width = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)

    # At shares of 0 and 1 rounding can put an end slightly outside, or inside.
    low, high = np.clip(centre - half_width, 0, 1), np.clip(centre + half_width, 0, 1)
    return np.minimum(low, share), np.maximum(high, share)


def students_quantile(z: float, support: Support) -> float:
    """Return Student's quantile that has the tail of the normal quantile z, for the patients that vary.

    The spread is itself estimated, from `effective` patients: with a few dozen of them it is often too small.
    """
    return float(stdtrit(max(support.effective - 1, 1.0), ndtr(z)))


class Share(NamedTuple):
    """A share with its resamples, and what both rest on."""

    value: float
    replicates: Float[np.ndarray, "r"]
    support: Support

    def limits(self, z: float) -> tuple[float, float]:
        """Return limits that hold with the two-sided probability of the normal quantile z."""
        n = self.support.rows_worth(self.value, float(np.nanvar(self.replicates, ddof=1)), z)
        low, high = wilson_limits(np.array([self.value]), np.array([n]), students_quantile(z, self.support))
        return float(low[0]), float(high[0])


def difference_limits(first: Share, second: Share, z: float) -> tuple[float, float]:
    """Return limits of first - second from the limits l, u of two shares of different patients.

        low = d - √((p1 - l1)² + (u2 - p2)²),  high = d + √((u1 - p1)² + (p2 - l2)²)

    They follow a share into its end: a low rate can lie far above what was seen, but hardly below it.

    Source: Newcombe, Stat. Med. 1998 (method 10).
    """
    (l1, u1), (l2, u2) = first.limits(z), second.limits(z)
    p1, p2 = first.value, second.value
    return p1 - p2 - float(np.hypot(p1 - l1, u2 - p2)), p1 - p2 + float(np.hypot(u1 - p1, p2 - l2))


def ratio_limits(first: Share, second: Share, z: float) -> tuple[float, float]:
    """Return limits of first / second from the limits of two shares of different patients; NaN for an end without one.

    They are the roots R of (p1 - R p2)² = (p1 - l1)² + R² (u2 - p2)², and of the same with u1 and l2.

    Source: Donner & Zou, Closed-form confidence intervals for functions of the normal mean and standard deviation,
    Stat. Methods Med. Res. 2012 (the MOVER).
    """
    (l1, u1), (l2, u2) = first.limits(z), second.limits(z)
    p1, p2, product = first.value, second.value, first.value * second.value

    ends = []
    for own, other, sign in ((l1, u2, -1), (u1, l2, 1)):
        divisor = other * (2 * p2 - other)
        inside = product**2 - own * other * (2 * p1 - own) * (2 * p2 - other)
        ends.append((product + sign * np.sqrt(max(inside, 0.0))) / divisor if divisor else np.nan)
    return float(ends[0]), float(ends[1])


def share_interval(
    value: float,
    replicates: Float[np.ndarray, "r"],
    support: Support,
    *,
    min_patients: int = MIN_PATIENTS,
    level: float = 0.95,
) -> Interval:
    """Return the interval of a share, by the rules at the top of this file.

    With fewer than `min_patients` patients it is withheld (`evidence.too_few_for_interval`), and so it is if too many
    resamples leave the share undefined. The reason says which.

    Args:
        value: the share.
        replicates: its resamples.
        support: of `rate_support` or `auroc_support`.
        min_patients: patients below which there is no interval.
        level: of the interval.
    """
    percentiles = enough_patients(percentile_interval(replicates, level=level), support.patients, min_patients)
    if percentiles.reason or np.isnan(value) or support.rare >= MANY:
        return percentiles

    low, high = Share(value, replicates, support).limits(float(ndtri((1 + level) / 2)))
    return Interval(low, high, percentiles.undefined, "")


def enough_patients(interval: Interval, patients: int, min_patients: int = MIN_PATIENTS) -> Interval:
    """Return the interval of any figure, withheld with a reason if it rests on fewer than `min_patients` patients."""
    reason = too_few_for_interval(patients, min_patients)
    return interval._replace(low=np.nan, high=np.nan, reason=reason) if reason else interval
