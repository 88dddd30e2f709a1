"""Arrays in, numbers out: AUROC, decisions at thresholds, calibration, intervals from patients resampled by weights."""

from metrics.auroc import auroc, auroc_matrix, auroc_replicates
from metrics.calibration.calibration_error import brier_score
from metrics.calibration.calibration_line import calibration_line
from metrics.comparison import compare_auroc
from metrics.delong import compare_delong
from metrics.evidence import MEAN, EvidenceRule
from metrics.multiplicity import max_t
from metrics.precision_recall import auprc
from metrics.readers import compare_with_readers
from metrics.resampling import ReplicateWeights, patient_weights, percentile_interval, unit_weights
from metrics.threshold_policy import ThresholdPolicy
from metrics.threshold_rules import roc_points

__all__ = [
    "MEAN",
    "EvidenceRule",
    "ReplicateWeights",
    "ThresholdPolicy",
    "auprc",
    "auroc",
    "auroc_matrix",
    "auroc_replicates",
    "brier_score",
    "calibration_line",
    "compare_auroc",
    "compare_delong",
    "compare_with_readers",
    "max_t",
    "patient_weights",
    "percentile_interval",
    "roc_points",
    "unit_weights",
]
