"""Arrays in, numbers out: AUROC, decisions at thresholds, intervals from patients resampled by weights. No torch."""

from metrics.auroc import PairWins, auroc, auroc_matrix, auroc_replicates, one_class_reason, pair_wins
from metrics.localisation import box_mask, energy_in_box, pointing_hits
from metrics.rates import Confusion, confusion, decide
from metrics.resampling import (
    Interval,
    ReplicateWeights,
    image_weights,
    patient_weights,
    percentile_interval,
    unit_weights,
)
from metrics.retrieval import first_hit_ranks, recall_at, retrieval_figures
from metrics.thresholds import roc_points, threshold_at_fpr, threshold_at_tpr, youden_threshold

__all__ = [
    "Confusion",
    "Interval",
    "PairWins",
    "ReplicateWeights",
    "auroc",
    "auroc_matrix",
    "auroc_replicates",
    "box_mask",
    "confusion",
    "decide",
    "energy_in_box",
    "first_hit_ranks",
    "image_weights",
    "one_class_reason",
    "pair_wins",
    "patient_weights",
    "percentile_interval",
    "pointing_hits",
    "recall_at",
    "retrieval_figures",
    "roc_points",
    "threshold_at_fpr",
    "threshold_at_tpr",
    "unit_weights",
    "youden_threshold",
]
