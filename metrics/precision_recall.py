"""Areas for rare findings: the precision-recall curve (AUPRC), and the ROC curve up to a largest false positive rate.

Both go down the distinct scores and count the weight of positives and negatives at or above each. Equal scores are one
step, so ties have no order. With integer weights the result does not depend on the order of rows.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

from metrics.auroc import CHUNK, by_finding, checked
from metrics.rates import confusion
from metrics.resampling import ReplicateWeights, image_weights, unit_weights


def auprc_reason(y: Shaped[np.ndarray, "n"]) -> str:
    """Return why the AUPRC is undefined ("no rows", "no positives"), or "" if it is defined.

    Without negatives it is always 1. `adjusted_auprc` is then undefined, see `one_class_reason`.
    """
    if y.size == 0:
        return "no rows"
    return "" if np.asarray(y, dtype=bool).any() else "no positives"


def auprc(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], weights: Real[np.ndarray, "n"] | None = None) -> float:
    """Return the average precision, NaN if there are no positives or they have no weight (see `auprc_reason`).

    AUPRC = Σ_t (R(t) - R(t')) P(t) over the distinct scores t falling, t' the one before, R recall, P precision

    A random score gets about the prevalence, so values from sets of different prevalence are not comparable; see
    `adjusted_auprc`.

    Args:
        y: labels, 0 or 1.
        s: scores; higher means more likely positive.
        weights: non-negative weight per image; all 1 by default.

    Raises:
        ValueError: labels other than 0 and 1, NaN scores, negative weights, lengths that differ.
    """
    drawn = unit_weights(len(y)) if weights is None else image_weights(np.asarray(weights)[None, :])
    return float(auprc_replicates(y, s, drawn)[0])


def auprc_replicates(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], weights: ReplicateWeights
) -> Float[np.ndarray, "r"]:
    """Return the average precision in each replicate; NaN where a replicate drew no positives.

    Raises:
        ValueError: as `auprc`.
    """
    positive, s = checked(y, s)
    areas = np.full(weights.n_replicates, np.nan)

    # Recall rises only at the scores of positives, so only these are steps.
    for chunk, hits, false_alarms in _walk(positive, s, np.unique(s[positive])[::-1], weights):
        called = hits + false_alarms  # (b k)
        precision = np.divide(hits, called, out=np.zeros(hits.shape), where=called > 0)
        gained = np.diff(hits, axis=1, prepend=0)

        # Σ gained recall x precision, (b,)
        total = hits[:, -1] if hits.shape[1] else np.zeros(len(hits))
        np.divide((gained * precision).sum(axis=1), total, out=areas[chunk], where=total > 0)
    return areas


def auprc_matrix(
    labels: Real[np.ndarray, "n c"], scores: Real[np.ndarray, "n c"], weights: ReplicateWeights
) -> Float[np.ndarray, "r c"]:
    """Return the average precision of each finding in each replicate, from one draw of patients; see `by_finding`."""
    return by_finding(auprc_replicates, labels, scores, weights)


def prevalence_replicates(y: Shaped[np.ndarray, "n"], weights: ReplicateWeights) -> Float[np.ndarray, "r"]:
    """Return the share of positives in each replicate; NaN where a replicate drew no image.

    Raises:
        ValueError: labels other than 0 and 1, or lengths that differ.
    """
    everybody = np.zeros(len(y), dtype=np.int64)
    # If everybody is called positive, the precision is the prevalence.
    return confusion(y, np.ones(len(y), dtype=bool), everybody, 1, weights).ppv()[:, 0]


def adjusted_auprc(
    auprc: float | Float[np.ndarray, "..."], prevalence: float | Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """Return the AUPRC on a scale where 0 is a random score and 1 a perfect one; worse than random is negative.

    adjusted = 1 - ln(AUPRC) / ln(prevalence)

    NaN where the AUPRC is NaN, and where the prevalence is 0 or 1 (`one_class_reason` says so). For replicates, give
    the prevalence of the same replicates.

    Args:
        auprc: average precision, in (0, 1]; it is never 0 if there is a positive.
        prevalence: share of positives among the same images.

    Raises:
        ValueError: an AUPRC outside (0, 1] or a prevalence outside [0, 1].
    """
    area, share = np.asarray(auprc, dtype=np.float64), np.asarray(prevalence, dtype=np.float64)

    # With fractional weights, rounding can put a perfect area slightly above 1.
    if (area <= 0).any() or (area > 1 + 1e-9).any():
        raise ValueError(f"an AUPRC lies in (0, 1]; found {np.nanmin(area):g}..{np.nanmax(area):g}")
    if (share < 0).any() or (share > 1).any():
        raise ValueError(f"a prevalence lies in [0, 1]; found {np.nanmin(share):g}..{np.nanmax(share):g}")

    inside = np.where((share > 0) & (share < 1), share, np.nan)
    adjusted: Float[np.ndarray, "..."] = np.asarray(1 - np.log(area) / np.log(inside))
    return adjusted


def adjusted_auprc_matrix(
    labels: Real[np.ndarray, "n c"], scores: Real[np.ndarray, "n c"], weights: ReplicateWeights
) -> Float[np.ndarray, "r c"]:
    """Return `adjusted_auprc` of each finding in each replicate, each with the prevalence of its replicate."""
    return by_finding(_adjusted_replicates, labels, scores, weights)


def _adjusted_replicates(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], weights: ReplicateWeights
) -> Float[np.ndarray, "r"]:
    return adjusted_auprc(auprc_replicates(y, s, weights), prevalence_replicates(y, weights))


def partial_auroc(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], max_fpr: float) -> float:
    """Return the standardised area under the ROC curve up to `max_fpr`; see `partial_auroc_replicates`."""
    return float(partial_auroc_replicates(y, s, unit_weights(len(y)), max_fpr)[0])


def partial_auroc_replicates(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], weights: ReplicateWeights, max_fpr: float
) -> Float[np.ndarray, "r"]:
    """Return the standardised area under the ROC curve up to `max_fpr`, in each replicate.

        A        = ∫ TPR d(FPR) from 0 to f = max_fpr, with straight lines between the points of the curve
        returned = ½ (1 + (A - f²/2) / (f - f²/2))

    Chance is ½ and perfect is 1 for any f; f = 1 gives the AUROC. NaN if one class is absent or has no weight (see
    `one_class_reason`).

    Raises:
        ValueError: `max_fpr` not in (0, 1]; labels other than 0 and 1, NaN scores, lengths that differ.

    Source: McClish, Analyzing a portion of the ROC curve, Med. Decis. Making 1989.
    """
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr is the largest false positive rate that counts, in (0, 1]; found {max_fpr:g}")

    positive, s = checked(y, s)
    areas = np.full(weights.n_replicates, np.nan)
    for chunk, hits, false_alarms in _walk(positive, s, np.unique(s)[::-1], weights):
        fpr, tpr = _from_zero_to_one(false_alarms), _from_zero_to_one(hits)  # (b k+1)

        # Each line segment up to max_fpr: the last may be cut short. A segment along which FPR is constant has width 0.
        left, right = fpr[:, :-1], np.minimum(fpr[:, 1:], max_fpr)
        step = np.diff(fpr, axis=1)
        share = np.divide(right - left, step, out=np.zeros_like(step), where=step > 0)
        height = tpr[:, :-1] + np.diff(tpr, axis=1) * share / 2

        areas[chunk] = (np.maximum(right - left, 0) * height).sum(axis=1)
        areas[chunk][np.isnan(fpr[:, 0]) | np.isnan(tpr[:, 0])] = np.nan

    chance = max_fpr**2 / 2
    return 0.5 * (1 + (areas - chance) / (max_fpr - chance))


def _walk(
    positive: Shaped[np.ndarray, "n"],
    s: Real[np.ndarray, "n"],
    thresholds: Real[np.ndarray, "k"],
    weights: ReplicateWeights,
) -> Iterator[tuple[slice, Real[np.ndarray, "b k"], Real[np.ndarray, "b k"]]]:
    """Yield the weight of positives and of negatives with a score at or above each threshold, chunk by chunk."""
    if weights.n_images != len(s):
        raise ValueError(f"{len(s)} scores and weights for {weights.n_images} images: lengths differ")
    sides = [_ranked(np.flatnonzero(side), s, thresholds) for side in (positive, ~positive)]

    # Integer sums are exact, and twice as fast.
    number = np.int64 if np.issubdtype(weights.counts.dtype, np.integer) else np.float64
    for begin in range(0, weights.n_replicates, CHUNK):
        chunk = slice(begin, min(begin + CHUNK, weights.n_replicates))

        # Weight of the first j images by falling score, read off at each threshold.
        sums = []
        for rows, above in sides:
            running = np.zeros((chunk.stop - begin, len(rows) + 1), dtype=number)  # (b m+1)
            np.cumsum(weights.take(chunk, rows), axis=1, out=running[:, 1:])
            sums.append(np.take(running, above, axis=1))  # (b k)
        yield chunk, sums[0], sums[1]


def _ranked(
    rows: Int[np.ndarray, "m"], s: Real[np.ndarray, "n"], thresholds: Real[np.ndarray, "k"]
) -> tuple[Int[np.ndarray, "m"], Int[np.ndarray, "k"]]:
    """Return the rows by falling score, and the number at or above each threshold."""
    rising = rows[np.argsort(s[rows])]
    return rising[::-1], len(rows) - np.searchsorted(s[rising], thresholds, side="left")


def _from_zero_to_one(sums: Real[np.ndarray, "b k"]) -> Float[np.ndarray, "b k+1"]:
    """Return running sums as shares of the last, with a 0 in front; a row without weight is NaN."""
    begun = np.pad(sums, ((0, 0), (1, 0)))
    whole = begun[:, -1:]
    shares: Float[np.ndarray, "b k+1"] = begun / np.where(whole > 0, whole, np.nan)
    return shares
