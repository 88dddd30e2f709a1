"""Arrays in, numbers out: AUROC, decisions at thresholds, intervals from patients resampled by weights. No torch."""

from metrics.auroc import PairWins, auroc, auroc_matrix, auroc_replicates, one_class_reason, pair_wins
from metrics.precision_recall import (
    adjusted_auprc,
    auprc,
    auprc_matrix,
    auprc_reason,
    auprc_replicates,
    partial_auroc,
    partial_auroc_replicates,
    prevalence_replicates,
)
from metrics.rates import Confusion, confusion, decide
from metrics.readers import Estimate, ReaderComparison, ReaderStudy, compare_with_readers
from metrics.resampling import (
    Interval,
    ReplicateWeights,
    image_weights,
    patient_weights,
    percentile_interval,
    unit_weights,
)
from metrics.retrieval import first_hit_ranks, recall_at, retrieval_figures
from metrics.threshold_policy import (
    Threshold,
    ThresholdPolicy,
    fit_thresholds,
    thresholds_from_json,
    thresholds_to_json,
)
from metrics.thresholds import (
    max_f1_threshold,
    max_mcc_threshold,
    roc_points,
    threshold_at_fpr,
    threshold_at_tpr,
    youden_threshold,
)

__all__ = [
    "Confusion",
    "Estimate",
    "Interval",
    "PairWins",
    "ReaderComparison",
    "ReaderStudy",
    "ReplicateWeights",
    "Threshold",
    "ThresholdPolicy",
    "adjusted_auprc",
    "auprc",
    "auprc_matrix",
    "auprc_reason",
    "auprc_replicates",
    "auroc",
    "auroc_matrix",
    "auroc_replicates",
    "compare_with_readers",
    "confusion",
    "decide",
    "first_hit_ranks",
    "fit_thresholds",
    "image_weights",
    "max_f1_threshold",
    "max_mcc_threshold",
    "one_class_reason",
    "pair_wins",
    "partial_auroc",
    "partial_auroc_replicates",
    "patient_weights",
    "percentile_interval",
    "prevalence_replicates",
    "recall_at",
    "retrieval_figures",
    "roc_points",
    "threshold_at_fpr",
    "threshold_at_tpr",
    "thresholds_from_json",
    "thresholds_to_json",
    "unit_weights",
    "youden_threshold",
]
