"""The tables of CheXzero's `eval.py`: same columns, same resamples, same interval convention.

Use them to compare with numbers that were published that way. Rows are resampled as if independent, and intervals are
order statistics with undefined replicates sorted last. For your own intervals use `patient_weights` and
`percentile_interval`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Real, Shaped

from metrics.auroc import auroc, auroc_replicates, checked
from metrics.rates import Confusion, confusion, decide
from metrics.resampling import image_weights

COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
"""The labels of the CheXpert competition; the column `Mean` averages them"""
MIN_REPLICATES = 40
"""With fewer, the reference's rule takes element -1, the largest, as the lower end"""


def evaluate(
    y_pred: Shaped[np.ndarray, "n c"],
    y_true: Shaped[np.ndarray, "n l"],
    labels: Sequence[str],
    label_idx_map: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Return one row of AUROCs with columns `{label}_auc`; NaN if a label has one class only.

    Args:
        y_pred: scores, one column per label.
        y_true: 0/1 labels, columns as `labels`, or as `label_idx_map` says.
        labels: names of the score columns.
        label_idx_map: for alternative labels, the column of `y_true` that belongs to each name in `labels`.

    Raises:
        ValueError: shapes, names and columns do not fit, a label is not 0 or 1, or a score is NaN.
    """
    columns = _true_columns(y_pred, y_true, labels, label_idx_map)
    row = {f"{name}_auc": auroc(y, s) for name, y, s in zip(labels, columns, y_pred.T, strict=True)}
    return pd.DataFrame([row])


def bootstrap(
    y_pred: Shaped[np.ndarray, "n c"],
    y_true: Shaped[np.ndarray, "n l"],
    labels: Sequence[str],
    n_samples: int = 1000,
    label_idx_map: Mapping[str, int] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the AUROCs on `n_samples` resamples of the rows, and their interval table (see `compute_cis`).

    Resample i draws rows by `RandomState(i).randint(0, n, n)`, the same for all labels. The draws become weights, so no
    table is copied.

    Raises:
        ValueError: as `evaluate`; or fewer than 40 samples were asked for.

    Source: rajpurkarlab/CheXzero, eval.py, `bootstrap`.
    """
    columns = _true_columns(y_pred, y_true, labels, label_idx_map)
    n = len(y_pred)

    counts = np.empty((n_samples, n), dtype=np.uint16)
    for seed, row in enumerate(counts):
        # The legacy generator on purpose: the reference's resamples come from its streams.
        row[:] = np.bincount(np.random.RandomState(seed).randint(0, n, n), minlength=n)

    weights = image_weights(counts)
    table = pd.DataFrame(
        {f"{name}_auc": auroc_replicates(y, s, weights) for name, y, s in zip(labels, columns, y_pred.T, strict=True)}
    )
    return table, compute_cis(table)


def compute_cis(df: pd.DataFrame, confidence_level: float = 0.05) -> pd.DataFrame:
    """Return rows `mean`, `lower`, `upper`, rounded to 4 digits.

    In a column sorted ascending, NaN last, lower is element int(a/2 · r) - 1 and upper is int((1 - a/2) · r) - 1 (24
    and 974 of 1000). The mean leaves NaN out.

    Raises:
        ValueError: fewer than 40 replicates, for which the lower index would be negative.

    Source: rajpurkarlab/CheXzero, eval.py, `compute_cis`.
    """
    r = len(df)
    lower, upper = int(confidence_level / 2 * r) - 1, int((1 - confidence_level / 2) * r) - 1
    if r < MIN_REPLICATES or lower < 0:
        raise ValueError(f"{r} replicates are too few for a {1 - confidence_level:.0%} interval by order statistics")

    ascending = np.sort(df.to_numpy(dtype=np.float64), axis=0)
    rows = np.stack([_mean(ascending), ascending[lower], ascending[upper]])
    return pd.DataFrame(rows, index=["mean", "lower", "upper"], columns=df.columns).round(4)


def compute_f1(
    y_pred: Real[np.ndarray, "n c"],
    y_true: Shaped[np.ndarray, "n l"],
    cxr_labels: Sequence[str],
    thresholds: Mapping[str, float],
    label_idx_map: Mapping[str, int] | None = None,
    *,
    rng: np.random.Generator,
    n_samples: int = 1000,
) -> pd.DataFrame:
    """Return the interval table of F1: one column per label and `Mean` over the five competition labels.

    F1 is 1 in a resample without positives and without positive decisions; `Confusion.f1` leaves it undefined.

    Args:
        y_pred: scores, one column per label; positive is score >= threshold.
        y_true: 0/1 labels, columns as `cxr_labels`, or as `label_idx_map` says.
        cxr_labels: names of the score columns; the five competition labels must be among them.
        thresholds: of every label, chosen on validation (the reference's rule is `max_mcc_threshold`).
        label_idx_map: for alternative labels, the column of `y_true` that belongs to each name.
        rng: draws the rows; the reference draws unseeded, so its own numbers cannot be repeated.
        n_samples: resamples.

    Raises:
        ValueError: as `bootstrap`; or a competition label or a threshold is missing.

    Source: rajpurkarlab/CheXzero, metrics.py, `compute_f1`.
    """
    columns = _true_columns(y_pred, y_true, cxr_labels, label_idx_map)
    counts = _resampled_counts(y_pred, columns, cxr_labels, thresholds, rng=rng, n_samples=n_samples)
    return _with_mean({name: np.nan_to_num(table.f1()[:, 0], nan=1.0) for name, table in counts.items()})


def compute_mcc(
    y_pred: Real[np.ndarray, "n c"],
    y_true: Shaped[np.ndarray, "n l"],
    cxr_labels: Sequence[str],
    thresholds: Mapping[str, float],
    label_idx_map: Mapping[str, int] | None = None,
    *,
    rng: np.random.Generator,
    n_samples: int = 1000,
) -> pd.DataFrame:
    """Return the interval table of Matthews' correlation. Arguments and layout are those of `compute_f1`.

    The correlation is 0 in a resample with one class or one decision only, as in scikit-learn; `Confusion.mcc` leaves
    it undefined.

    Raises:
        ValueError: as `compute_f1`.

    Source: rajpurkarlab/CheXzero, metrics.py, `compute_mcc`.
    """
    columns = _true_columns(y_pred, y_true, cxr_labels, label_idx_map)
    counts = _resampled_counts(y_pred, columns, cxr_labels, thresholds, rng=rng, n_samples=n_samples)
    return _with_mean({name: np.nan_to_num(table.mcc()[:, 0], nan=0.0) for name, table in counts.items()})


def _resampled_counts(
    y_pred: Real[np.ndarray, "n c"],
    columns: Sequence[Shaped[np.ndarray, "n"]],
    labels: Sequence[str],
    thresholds: Mapping[str, float],
    *,
    rng: np.random.Generator,
    n_samples: int,
) -> dict[str, Confusion]:
    """Return right and wrong decisions of each label in each resample; all labels share the drawn rows."""
    for wanted, there, what in ((COMPETITION, labels, "scores"), (labels, thresholds, "threshold")):
        missing = [name for name in wanted if name not in there]
        if missing:
            raise ValueError(f"no {what} for {', '.join(missing[:3])}")
    for y, s in zip(columns, y_pred.T, strict=True):
        checked(y, s)

    n = len(y_pred)
    drawn = np.empty((n_samples, n), dtype=np.uint16)
    for row in drawn:
        row[:] = np.bincount(rng.integers(0, n, n), minlength=n)
    weights, everybody = image_weights(drawn), np.zeros(n, dtype=np.int64)
    return {
        name: confusion(y, decide(s, thresholds[name]), everybody, 1, weights)
        for name, y, s in zip(labels, columns, y_pred.T, strict=True)
    }


def _with_mean(columns: Mapping[str, Float[np.ndarray, "r"]]) -> pd.DataFrame:
    """Return the interval table of the columns and of their mean over the competition labels."""
    table = pd.DataFrame(columns)
    table["Mean"] = table[list(COMPETITION)].mean(axis=1)
    return compute_cis(table)


def _mean(values: Float[np.ndarray, "r c"]) -> Float[np.ndarray, "c"]:
    """Return column means without NaN; NaN if a column has no other value."""
    defined = ~np.isnan(values)
    counts = defined.sum(axis=0)
    means: Float[np.ndarray, "c"] = np.full(counts.shape, np.nan)
    np.divide(np.where(defined, values, 0.0).sum(axis=0), counts, out=means, where=counts > 0)
    return means


def _true_columns(
    y_pred: Shaped[np.ndarray, "n c"],
    y_true: Shaped[np.ndarray, "n l"],
    labels: Sequence[str],
    label_idx_map: Mapping[str, int] | None,
) -> list[Shaped[np.ndarray, "n"]]:
    """Return the column of true labels for each score column."""
    if y_pred.shape[1] != len(labels) or len(y_pred) != len(y_true):
        raise ValueError(f"{len(labels)} labels do not fit scores {y_pred.shape} and true labels {y_true.shape}")
    if label_idx_map is None:
        if y_true.shape[1] != len(labels):
            raise ValueError(f"{y_true.shape[1]} columns of true labels for {len(labels)} labels: give label_idx_map")
        return list(y_true.T)
    unknown = [name for name in labels if name not in label_idx_map]
    if unknown:
        raise ValueError(f"label_idx_map has no column for {', '.join(unknown[:3])}")
    return [y_true[:, label_idx_map[name]] for name in labels]
