"""Arrays in, numbers out: AUROC, decisions at thresholds, calibration, intervals from resampled patients; no torch.

To understand how a figure gets its interval, read these in this order:

    resampling      patients are drawn as a matrix of weights; a metric's replicates become an interval
    auroc           one metric for all groups and all replicates at once; `rates` does the same for decisions
    evidence        when there is enough data to believe a figure, and what the mean over findings is of
    multiplicity    intervals and p-values that hold for a whole family of comparisons
    comparison      two models on the same patients; `delong` does it without resampling

The names below are the public face. Everything else is imported from its module.
"""

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
from metrics.threshold_policy import ThresholdPolicy, fit_thresholds
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
    "fit_thresholds",
    "max_t",
    "patient_weights",
    "percentile_interval",
    "roc_points",
    "unit_weights",
]
