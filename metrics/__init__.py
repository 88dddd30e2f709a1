"""Arrays in, numbers out: AUROC, decisions at thresholds, intervals from patients resampled by weights. No torch."""

from metrics.auroc import PairWins, auroc, auroc_matrix, auroc_replicates, one_class_reason, pair_wins
from metrics.calibration import BinTotals, CalibrationError, bin_edges, bin_totals, brier_score, debiased_error
from metrics.calibration_line import CalibrationLine, calibration_line
from metrics.comparison import PairedDifferences, bootstrap_p, compare_auroc, paired_differences
from metrics.delong import DeLongTest, auroc_covariance, compare_delong
from metrics.logistic import count_clipped, margin_of
from metrics.multiplicity import MaxT, holm, max_t
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
from metrics.recalibration import (
    Calibrator,
    Isotonic,
    Platt,
    Temperature,
    calibrator_from_json,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)
from metrics.reliability import BrierParts, ReliabilityTable, brier_parts, reliability_table, wilson_interval
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
    "BinTotals",
    "BrierParts",
    "CalibrationError",
    "CalibrationLine",
    "Calibrator",
    "Confusion",
    "DeLongTest",
    "Estimate",
    "Interval",
    "Isotonic",
    "MaxT",
    "PairWins",
    "PairedDifferences",
    "Platt",
    "ReaderComparison",
    "ReaderStudy",
    "ReliabilityTable",
    "ReplicateWeights",
    "Temperature",
    "Threshold",
    "ThresholdPolicy",
    "adjusted_auprc",
    "auprc",
    "auprc_matrix",
    "auprc_reason",
    "auprc_replicates",
    "auroc",
    "auroc_covariance",
    "auroc_matrix",
    "auroc_replicates",
    "bin_edges",
    "bin_totals",
    "bootstrap_p",
    "brier_parts",
    "brier_score",
    "calibration_line",
    "calibrator_from_json",
    "compare_auroc",
    "compare_delong",
    "compare_with_readers",
    "confusion",
    "count_clipped",
    "debiased_error",
    "decide",
    "first_hit_ranks",
    "fit_isotonic",
    "fit_platt",
    "fit_temperature",
    "fit_thresholds",
    "holm",
    "image_weights",
    "margin_of",
    "max_f1_threshold",
    "max_mcc_threshold",
    "max_t",
    "one_class_reason",
    "pair_wins",
    "paired_differences",
    "partial_auroc",
    "partial_auroc_replicates",
    "patient_weights",
    "percentile_interval",
    "prevalence_replicates",
    "recall_at",
    "reliability_table",
    "retrieval_figures",
    "roc_points",
    "threshold_at_fpr",
    "threshold_at_tpr",
    "thresholds_from_json",
    "thresholds_to_json",
    "unit_weights",
    "wilson_interval",
    "youden_threshold",
]
