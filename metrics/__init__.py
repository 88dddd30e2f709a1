"""Arrays in, numbers out: AUROC, decisions at thresholds, intervals from patients resampled by weights. No torch."""

from metrics.auroc import PairWins, auroc, auroc_matrix, auroc_replicates, one_class_reason, pair_wins
from metrics.means import mean_replicates
from metrics.rates import Confusion, confusion, decide
from metrics.resampling import (
    Interval,
    ReplicateWeights,
    image_weights,
    patient_weights,
    percentile_interval,
    unit_weights,
)
from metrics.retrieval import (
    Ranks,
    first_hit_ranks,
    image_to_text_ranks,
    rank_figures,
    recall_at,
    recall_replicates,
    retrieval_figures,
    text_to_image_ranks,
)
from metrics.thresholds import roc_points, threshold_at_fpr, threshold_at_tpr, youden_threshold

__all__ = [
    "Confusion",
    "Interval",
    "PairWins",
    "Ranks",
    "ReplicateWeights",
    "auroc",
    "auroc_matrix",
    "auroc_replicates",
    "confusion",
    "decide",
    "first_hit_ranks",
    "image_to_text_ranks",
    "image_weights",
    "mean_replicates",
    "one_class_reason",
    "pair_wins",
    "patient_weights",
    "percentile_interval",
    "rank_figures",
    "recall_at",
    "recall_replicates",
    "retrieval_figures",
    "roc_points",
    "text_to_image_ranks",
    "threshold_at_fpr",
    "threshold_at_tpr",
    "unit_weights",
    "youden_threshold",
]
