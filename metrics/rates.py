"""Decisions at a threshold: sensitivity, specificity, PPV, NPV, F1 and MCC by group and replicate.

A decision is positive if s >= t, never s > t.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real, Shaped

from metrics.auroc import check_groups, checked
from metrics.resampling import ReplicateWeights, ratio


def decide(s: Real[np.ndarray, "n"], threshold: float) -> Bool[np.ndarray, "n"]:
    """Return s >= threshold, compared in float64 whatever the type of the scores: a rounded threshold is another one.

    Raises:
        ValueError: the threshold is NaN, which would silently make all decisions negative.
    """
    if np.isnan(threshold):
        raise ValueError("the threshold is NaN: it was undefined where it was fitted")
    return np.asarray(s, dtype=np.float64) >= threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Weighted counts of right and wrong decisions, by replicate and group."""

    true_positives: Float[np.ndarray, "r g"]
    false_negatives: Float[np.ndarray, "r g"]
    false_positives: Float[np.ndarray, "r g"]
    true_negatives: Float[np.ndarray, "r g"]

    def tpr(self) -> Float[np.ndarray, "r g"]:
        """Return TP / (TP + FN), NaN without positives. FNR is 1 - TPR."""
        return _share(self.true_positives, self.false_negatives)

    def fpr(self) -> Float[np.ndarray, "r g"]:
        """Return FP / (FP + TN), NaN without negatives. TNR is 1 - FPR."""
        return _share(self.false_positives, self.true_negatives)

    def ppv(self) -> Float[np.ndarray, "r g"]:
        """Return TP / (TP + FP), NaN where nothing was called positive."""
        return _share(self.true_positives, self.false_positives)

    def npv(self) -> Float[np.ndarray, "r g"]:
        """Return TN / (TN + FN), NaN where everything was called positive."""
        return _share(self.true_negatives, self.false_negatives)

    def f1(self) -> Float[np.ndarray, "r g"]:
        """Return 2 TP / (2 TP + FP + FN), NaN where there are no positives and none was called.

        CheXzero counts that case as 1 (`chexzero_tables.compute_f1`), scikit-learn as 0. Without positives of which
        some were called it is 0, however many were called.
        """
        return _share(2 * self.true_positives, self.false_positives + self.false_negatives)

    def mcc(self) -> Float[np.ndarray, "r g"]:
        """Return Matthews' correlation of labels and decisions, NaN if either has one value only.

        MCC = (TP TN - FP FN) / √((TP + FP) (TP + FN) (TN + FP) (TN + FN))

        scikit-learn, and with it CheXzero (`chexzero_tables.compute_mcc`), counts the undefined case as 0.

        Source: Matthews, Biochim. Biophys. Acta 1975.
        """
        tp, fn, fp, tn = self.true_positives, self.false_negatives, self.false_positives, self.true_negatives
        squared = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        correlation: Float[np.ndarray, "r g"] = np.full(tp.shape, np.nan)
        np.divide(tp * tn - fp * fn, np.sqrt(squared), out=correlation, where=squared > 0)
        return correlation

    def overall(self) -> "Confusion":
        """Return the counts over all groups, as one group."""
        return self._mixed(np.ones((self.true_positives.shape[1], 1)))

    def rest(self) -> "Confusion":
        """Return, in place of each group, the counts over everybody else."""
        return self._mixed(1.0 - np.eye(self.true_positives.shape[1]))

    def _mixed(self, mixture: Float[np.ndarray, "g h"]) -> "Confusion":
        return Confusion(
            true_positives=self.true_positives @ mixture,
            false_negatives=self.false_negatives @ mixture,
            false_positives=self.false_positives @ mixture,
            true_negatives=self.true_negatives @ mixture,
        )


def confusion(
    y: Shaped[np.ndarray, "n"],
    decisions: Bool[np.ndarray, "n"],
    groups: Int[np.ndarray, "n"],
    n_groups: int,
    weights: ReplicateWeights,
) -> Confusion:
    """Count decisions for disjoint groups and all replicates.

    Images are counted per patient first. The replicates are then one matrix product with the drawn counts.

    Args:
        y: labels, 0 or 1.
        decisions: positive decisions (see `decide`).
        groups: group number 0..n_groups-1 of each image; -1 leaves the image out.
        n_groups: number of groups g.
        weights: weights of the same n images.

    Raises:
        ValueError: a label is neither 0 nor 1, or lengths differ.
    """
    positive, _ = checked(y, decisions)
    check_groups(len(y), groups, n_groups, weights)
    inside = groups >= 0

    # Each image falls into one of 4 g cells: label and decision (2 x 2), times the group.
    n_units, n_cells = weights.counts.shape[1], 4 * n_groups
    cell = (positive * 2 + decisions)[inside] * n_groups + groups[inside]
    per_unit = np.bincount(weights.unit[inside] * n_cells + cell, minlength=n_units * n_cells)

    totals = weights.totals(per_unit.reshape(n_units, n_cells).astype(np.float64))  # (p 4g) -> (r 4g)
    negative_no, negative_yes, positive_no, positive_yes = np.split(totals, 4, axis=1)
    return Confusion(
        true_positives=positive_yes,
        false_negatives=positive_no,
        false_positives=negative_yes,
        true_negatives=negative_no,
    )


def _share(part: Float[np.ndarray, "r g"], remainder: Float[np.ndarray, "r g"]) -> Float[np.ndarray, "r g"]:
    return ratio(part, part + remainder)
