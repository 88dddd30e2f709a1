"""The area under the ROC curve: exact with ties and weights, for groups and thousands of replicates at once.

AUROC = P(s⁺ > s⁻) + ½ P(s⁺ = s⁻). The code counts weighted pairs: how many negatives of one group lie below the
positives of another. That small table gives the AUROC within a group, over all, over everybody else and across groups.
Integer weights are counted in integers, so that the result does not depend on the order of rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int, Real, Shaped

from metrics.resampling import ReplicateWeights, image_weights, ratio, unit_weights

CHUNK = 8
"""Replicates computed together; measured fastest between 5 and 20, because a chunk then stays in the cache"""


def one_class_reason(y: Shaped[np.ndarray, "n"]) -> str:
    """Return why a metric that needs both classes is undefined ("no positives", ...), or "" if it is defined."""
    y = np.asarray(y, dtype=bool)
    if y.size == 0:
        return "no rows"
    if not y.any():
        return "no positives"
    return "no negatives" if y.all() else ""


def checked(
    y: Shaped[np.ndarray, "n"], s: Shaped[np.ndarray, "n"]
) -> tuple[Bool[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return the labels as booleans and the scores as float64, after checks that a ranking needs.

    Every metric computes with what this returns. A score may be stored in any numeric type: unsigned integers cannot be
    negated, and narrow types are rounded or overflow in a sum.

    Raises:
        ValueError: lengths differ, a label is neither 0 nor 1, or a score is NaN.
    """
    if y.shape != s.shape or y.ndim != 1:
        raise ValueError(f"labels and scores must be two vectors of one length; found {y.shape} and {s.shape}")
    if not np.isin(y, (0, 1)).all():
        odd = sorted({str(value) for value in np.unique(y[~np.isin(y, (0, 1))]).tolist()})
        raise ValueError(f"labels must be 0 or 1; found {', '.join(odd[:3])}: leave out or map the other rows first")
    missing = int(np.isnan(s).sum())
    if missing:
        raise ValueError(f"{missing} of {s.size} scores are NaN: a missing score cannot be ranked")
    return y.astype(bool), s.astype(np.float64)


def auroc(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], weights: Real[np.ndarray, "n"] | None = None) -> float:
    """Return the area under the ROC curve, NaN if one class is absent or has no weight (see `one_class_reason`).

    AUROC = Σ_{i∈pos, j∈neg} w_i w_j ([s_i > s_j] + ½[s_i = s_j]) / (W_pos W_neg)

    Args:
        y: labels, 0 or 1.
        s: scores; higher means more likely positive.
        weights: non-negative weight per image; all 1 by default.

    Raises:
        ValueError: labels other than 0 and 1, NaN scores, negative weights, lengths that differ.
    """
    drawn = unit_weights(len(y)) if weights is None else image_weights(np.asarray(weights)[None, :])
    return float(auroc_replicates(y, s, drawn)[0])


def auroc_replicates(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], weights: ReplicateWeights
) -> Float[np.ndarray, "r"]:
    """Return the AUROC in each replicate; NaN where a replicate drew only one class."""
    one_group = np.zeros(len(y), dtype=np.int64)
    return pair_wins(y, s, one_group, 1, weights).overall()


def auroc_matrix(
    labels: Real[np.ndarray, "n c"], scores: Real[np.ndarray, "n c"], weights: ReplicateWeights
) -> Float[np.ndarray, "r c"]:
    """Return the AUROC of each finding in each replicate, all from one draw of patients; see `by_finding`."""
    return by_finding(auroc_replicates, labels, scores, weights)


def by_finding(
    metric: Callable[..., Float[np.ndarray, "r"]],
    labels: Real[np.ndarray, "n c"],
    scores: Real[np.ndarray, "n c"],
    weights: ReplicateWeights,
) -> Float[np.ndarray, "r c"]:
    """Return a metric of each finding in each replicate. A NaN label leaves that image out for that finding only.

    Args:
        metric: takes labels, scores and weights of the same images and returns a value per replicate.
        labels: 1, 0 or NaN.
        scores: higher means more likely positive.
        weights: one draw of patients, which all findings share.
    """
    columns = []
    for y, s in zip(labels.T, scores.T, strict=True):
        known = ~np.isnan(y) if np.issubdtype(y.dtype, np.floating) else np.ones(len(y), dtype=bool)
        columns.append(metric(y[known], s[known], weights.rows(known)))  # (r,)
    return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairWins:
    """Weighted pairs won, by replicate, group of the positive and group of the negative."""

    wins: Float[np.ndarray, "r g g"]
    """Σ w_i w_j ([s_i > s_j] + ½[s_i = s_j]) over positives i of the first group and negatives j of the second"""
    positives: Float[np.ndarray, "r g"]
    """Total weight of the positives"""
    negatives: Float[np.ndarray, "r g"]
    """Total weight of the negatives"""

    def within(self) -> Float[np.ndarray, "r g"]:
        """Return the AUROC inside each group."""
        return ratio(np.diagonal(self.wins, axis1=1, axis2=2), self.positives * self.negatives)

    def overall(self) -> Float[np.ndarray, "r"]:
        """Return the AUROC over the images of all groups."""
        return ratio(self.wins.sum(axis=(1, 2)), self.positives.sum(axis=1) * self.negatives.sum(axis=1))

    def rest(self) -> Float[np.ndarray, "r g"]:
        """Return, for each group, the AUROC over everybody else."""
        others = self._others()
        wins = np.einsum("ga,gb,rab->rg", others, others, self.wins)  # positives and negatives both outside the group
        return ratio(wins, (self.positives @ others) * (self.negatives @ others))

    def across(self) -> Float[np.ndarray, "r g"]:
        """Return P(a positive of the group scores above a negative outside it)."""
        others = self._others()
        wins = np.einsum("gb,rgb->rg", others, self.wins)  # only the negatives outside
        return ratio(wins, self.positives * (self.negatives @ others))

    def _others(self) -> Float[np.ndarray, "g g"]:
        # Summing over the others avoids "all minus own", which leaves a rounding error where nobody is left.
        return 1.0 - np.eye(self.positives.shape[1])


def pair_wins(
    y: Shaped[np.ndarray, "n"],
    s: Real[np.ndarray, "n"],
    groups: Int[np.ndarray, "n"],
    n_groups: int,
    weights: ReplicateWeights,
) -> PairWins:
    """Count weighted pairs for disjoint groups and all replicates.

    Images are sorted by (group, score) once, and binary search finds the place of each positive among the negatives of
    each group. A replicate then costs one cumulative sum over the negatives, and two look-ups per positive and group.

    Args:
        y: labels, 0 or 1.
        s: scores.
        groups: group number 0..n_groups-1 of each image; -1 leaves the image out.
        n_groups: number of groups g.
        weights: weights of the same n images.

    Raises:
        ValueError: labels other than 0 and 1, NaN scores, a group number out of range, lengths that differ.
    """
    positive, s = checked(y, s)
    check_groups(len(y), groups, n_groups, weights)

    # Sort once by (group, score): a group is a block of images with rising scores. m positives, k negatives.
    order = np.lexsort((s, groups))
    order = order[groups[order] >= 0]
    pos, neg = order[positive[order]], order[~positive[order]]  # (m,), (k,)
    pos_start = np.searchsorted(groups[pos], np.arange(n_groups))  # (g,)
    neg_start = np.searchsorted(groups[neg], np.arange(n_groups + 1))  # (g + 1,)

    # Where each positive falls among the negatives of each block: after those below it, and after those that tie.
    places = [
        [start + np.searchsorted(s[neg[start:stop]], s[pos], side=side) for side in ("left", "right")]  # 2 x (m,)
        for start, stop in pairwise(neg_start)
    ]

    number, r = _number_type(weights, len(order)), weights.n_replicates
    doubled, positives, negatives = np.zeros((r, n_groups, n_groups)), np.zeros((r, n_groups)), np.zeros((r, n_groups))
    for begin in range(0, r, CHUNK):
        chunk = slice(begin, min(begin + CHUNK, r))

        # Weight of the first j negatives, for every j: any run of negatives is then a difference of two entries.
        below = np.zeros((chunk.stop - begin, len(neg) + 1), dtype=number)  # (b k+1)
        np.cumsum(weights.take(chunk, neg), axis=1, out=below[:, 1:])

        w_pos = weights.take(chunk, pos)  # (b m)
        positives[chunk] = _sum_blocks(w_pos, pos_start)  # (b g)
        negatives[chunk] = np.diff(below[:, neg_start], axis=1)  # (b g)

        # "Below" plus "below or equal" is twice the win with ties as a half, without leaving the integers. Both count
        # from the first negative of all, so what lies before the block is subtracted.
        for block, (left, right) in enumerate(places):
            won = np.take(below, left, axis=1)  # (b m)
            won += np.take(below, right, axis=1)
            outside = 2.0 * below[:, neg_start[block], None] * positives[chunk]  # (b g)
            doubled[chunk, :, block] = _sum_blocks(won * w_pos, pos_start) - outside

    return PairWins(wins=doubled / 2, positives=positives, negatives=negatives)


def check_groups(n: int, groups: Int[np.ndarray, "n"], n_groups: int, weights: ReplicateWeights) -> None:
    """Check that groups and weights are for the same `n` images and that group numbers are in range.

    Raises:
        ValueError: lengths differ, or a group number is not in -1..n_groups-1.
    """
    if len(groups) != n or weights.n_images != n:
        raise ValueError(f"{n} labels, {len(groups)} groups and weights for {weights.n_images} images: lengths differ")
    if n and (groups.min() < -1 or groups.max() >= n_groups):
        raise ValueError(f"group numbers must be -1..{n_groups - 1}; found {groups.min()}..{groups.max()}")


def _number_type(weights: ReplicateWeights, n: int) -> type[np.number]:
    """Return the narrowest type in which sums of products of weights are exact (integers) or accurate (floats)."""
    if not np.issubdtype(weights.counts.dtype, np.integer):
        return np.float64
    largest = int(weights.counts.max(initial=0))
    return np.int32 if 2 * n * largest * largest < np.iinfo(np.int32).max else np.int64


def _sum_blocks(values: Real[np.ndarray, "b k"], start: Int[np.ndarray, "g"]) -> Float[np.ndarray, "b g"]:
    """Sum the columns of consecutive blocks; an empty block sums to 0 (`reduceat` would repeat its neighbour)."""
    sums = np.zeros((values.shape[0], len(start)))
    filled = np.diff(np.append(start, values.shape[1])) > 0
    if filled.any():
        wide = np.float64 if np.issubdtype(values.dtype, np.floating) else np.int64
        sums[:, filled] = np.add.reduceat(values, start[filled], axis=1, dtype=wide)
    return sums
