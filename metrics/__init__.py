"""Arrays in, numbers out: AUROC, decisions at thresholds, intervals from patients resampled by weights. No torch."""

from metrics.auroc import PairWins, auroc, auroc_matrix, auroc_replicates, one_class_reason, pair_wins
from metrics.comparison import PairedDifferences, bootstrap_p, compare_auroc, paired_differences
from metrics.delong import DeLongTest, auroc_covariance, compare_delong
from metrics.multiplicity import MaxT, holm, max_t
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
    "DeLongTest",
    "Interval",
    "MaxT",
    "PairWins",
    "PairedDifferences",
    "ReplicateWeights",
    "auroc",
    "auroc_covariance",
    "auroc_matrix",
    "auroc_replicates",
    "bootstrap_p",
    "compare_auroc",
    "compare_delong",
    "confusion",
    "decide",
    "first_hit_ranks",
    "holm",
    "image_weights",
    "max_t",
    "one_class_reason",
    "pair_wins",
    "paired_differences",
    "patient_weights",
    "percentile_interval",
    "recall_at",
    "retrieval_figures",
    "roc_points",
    "threshold_at_fpr",
    "threshold_at_tpr",
    "unit_weights",
    "youden_threshold",
]
