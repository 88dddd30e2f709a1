"""AUROC, TPR and FPR of every cell, in the table itself and in each resample of its patients."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

import metrics
from audit.joined_tables import Attribute, AuditTable
from metrics.auroc import pair_wins
from metrics.rates import confusion, decide

METRICS = ("auroc", "tpr", "fpr")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellReplicates:
    """One attribute in r replicates, by finding c, group g and metric m (order of METRICS); NaN where undefined."""

    group: Float[np.ndarray, "r c g m"]
    rest: Float[np.ndarray, "r c g m"]
    """The same metric over everybody outside the group"""

    def at(self, c: int, g: int, m: int) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
        """Return one cell's values inside and outside the group."""
        return self.group[:, c, g, m], self.rest[:, c, g, m]


def outcomes(table: AuditTable, thresholds: Mapping[str, float]) -> dict[str, Float[np.ndarray, "n c"]]:
    """Return what each metric is a share of, NaN for images outside its denominator.

    For the AUROC these are the labels; for TPR and FPR, whether a positive or a negative was called positive.
    """
    cutoffs = np.array([thresholds[finding] for finding in table.findings])
    called = np.where(np.isnan(cutoffs), np.nan, table.scores >= cutoffs)
    return {
        "auroc": table.truth,
        "tpr": np.where(table.truth == 1, called, np.nan),
        "fpr": np.where(table.truth == 0, called, np.nan),
    }


def measure(
    table: AuditTable, attribute: Attribute, thresholds: Mapping[str, float], weights: metrics.ReplicateWeights
) -> CellReplicates:
    """Return AUROC, TPR and FPR of an attribute's groups, and of everybody outside each group, in each replicate.

    With `metrics.unit_weights` the only replicate is the estimate itself. With `metrics.patient_weights` all findings,
    groups, metrics and attributes share one matrix, so their differences and means are paired at no extra cost.
    """
    shape = (weights.n_replicates, len(table.findings), len(attribute.groups), len(METRICS))
    group, rest = np.full(shape, np.nan), np.full(shape, np.nan)  # (r c g m)
    for c, finding in enumerate(table.findings):
        known = ~np.isnan(table.truth[:, c])
        if not known.any():
            continue

        # Only images with a label of this finding; the draw of patients stays the same for all findings.
        y, s, codes = table.truth[known, c], table.scores[known, c], attribute.codes[known]  # (n known,)
        drawn, n_groups = weights.rows(known), len(attribute.groups)

        # One count of pairs gives the AUROC inside each group and outside it.
        wins = pair_wins(y, s, codes, n_groups, drawn)
        group[:, c, :, 0], rest[:, c, :, 0] = wins.within(), wins.rest()  # (r g)

        # Without a threshold TPR and FPR stay NaN.
        if not np.isnan(thresholds[finding]):
            counts = confusion(y, decide(s, thresholds[finding]), codes, n_groups, drawn)
            others = counts.rest()
            group[:, c, :, 1], rest[:, c, :, 1] = counts.tpr(), others.tpr()
            group[:, c, :, 2], rest[:, c, :, 2] = counts.fpr(), others.fpr()

    return CellReplicates(group=group, rest=rest)
