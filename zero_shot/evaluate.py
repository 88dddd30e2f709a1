"""The table of AUROCs with patient-clustered intervals; undefined numbers carry their reason."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

import metrics
from zero_shot.prompts import NO_FINDING

MEAN = "mean"
COUNTS = ("n", "n_pos", "n_neg", "patients", "patients_pos")
COLUMNS = ("finding", *COUNTS, "auroc", "low", "high", "status", "reason")


def metrics_table(
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    subject_ids: Sequence[str],
    *,
    findings: Sequence[str],
    n_replicates: int = 1000,
    seed: int = 0,
    min_n: int = 30,
    min_patients: int = 10,
) -> pd.DataFrame:
    """Return one row per finding and a row `mean`, with 95 % percentile intervals from one draw of patients.

    The mean runs over findings with status `ok` except "No Finding", which is the absence of the others; its
    interval comes from the mean within every replicate, so that it knows how findings vary together.

    Args:
        predictions: image_id and one score column per finding.
        truth: image_id and the same columns in {1, 0, NaN}, same images in the same order; NaN leaves an image out.
        subject_ids: patient of every row.
        findings: columns to evaluate.
        n_replicates: bootstrap resamples of patients; 0 gives estimates without intervals.
        seed: of the resampling.
        min_n: positives and negatives below which a finding is `small`: shown, but not in the mean.
        min_patients: patients with and without the finding below which it is `small`.

    Returns:
        Columns as COLUMNS. `status` is `ok`, `small`, `sparse` (no interval) or `undefined` (no AUROC); `reason` says
        why it is not `ok`, or for the mean which findings it is of; its counts are of image-finding pairs.

    Raises:
        ValueError: ids that differ between the tables, or a NaN score, with the finding and the image.
    """
    if predictions["image_id"].tolist() != truth["image_id"].tolist() or len(predictions) != len(subject_ids):
        raise ValueError("predictions, labels and patients must be for the same images in the same order")
    _refuse_nan(predictions, findings)
    subjects = np.asarray(list(subject_ids), dtype=str)
    scores, labels = (table[list(findings)].to_numpy(dtype=np.float64) for table in (predictions, truth))
    estimates = metrics.auroc_matrix(labels, scores, metrics.unit_weights(len(subjects)))[0]
    replicates = np.zeros((0, len(findings)))
    if n_replicates:
        weights = metrics.patient_weights(subjects, n_replicates, np.random.default_rng(seed))
        replicates = metrics.auroc_matrix(labels, scores, weights)
    rows = [
        _row(
            finding,
            labels[:, c],
            subjects,
            estimate=float(estimates[c]),
            replicates=replicates[:, c],
            min_n=min_n,
            min_patients=min_patients,
        )
        for c, finding in enumerate(findings)
    ]
    rows.append(_mean_row(rows, estimates, replicates))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(COUNTS, "Int64"))


def _refuse_nan(predictions: pd.DataFrame, findings: Sequence[str]) -> None:
    for finding in findings:
        missing = predictions.loc[predictions[finding].isna(), "image_id"]
        if len(missing):
            raise ValueError(f"{len(missing)} scores of {finding!r} are NaN, first for image {missing.iloc[0]}")


def _row(
    finding: str,
    labels: Float[np.ndarray, "n"],
    subjects: np.ndarray,
    *,
    estimate: float,
    replicates: Float[np.ndarray, "r"],
    min_n: int,
    min_patients: int,
) -> dict[str, Any]:
    """Count one finding and say whether its AUROC can be read."""
    positive, negative = labels == 1, labels == 0
    patients_pos, patients_neg = len(set(subjects[positive])), len(set(subjects[negative]))
    row: dict[str, Any] = {
        "finding": finding,
        "n": int(positive.sum() + negative.sum()),
        "n_pos": int(positive.sum()),
        "n_neg": int(negative.sum()),
        "patients": len(set(subjects[positive | negative])),
        "patients_pos": patients_pos,
        "auroc": estimate,
    }
    undefined = metrics.one_class_reason(labels[positive | negative])
    if undefined:
        why = "nobody labelled it" if undefined == "no rows" else undefined
        return row | {"low": np.nan, "high": np.nan, "status": "undefined", "reason": f"not evaluable: {why}"}
    low, high, sparse = np.nan, np.nan, ""
    if len(replicates):
        low, high, _, sparse = metrics.percentile_interval(replicates)
    few = [
        f"{found} {what} (wanted {wanted})"
        for found, what, wanted in (
            (row["n_pos"], "positives", min_n),
            (row["n_neg"], "negatives", min_n),
            (patients_pos, "patients with it", min_patients),
            (patients_neg, "patients without it", min_patients),
        )
        if found < wanted
    ]
    status = "sparse" if sparse else "small" if few else "ok"
    return row | {"low": low, "high": high, "status": status, "reason": "; ".join([sparse, *few] if sparse else few)}


def _mean_row(
    rows: Sequence[dict[str, Any]], estimates: Float[np.ndarray, "c"], replicates: Float[np.ndarray, "r c"]
) -> dict[str, Any]:
    """Average the findings that are `ok`, in the estimate and within every replicate."""
    chosen = [c for c, row in enumerate(rows) if row["status"] == "ok" and row["finding"] != NO_FINDING]
    pairs = {count: sum(rows[c][count] for c in chosen) for count in ("n", "n_pos", "n_neg")}
    row: dict[str, Any] = {"finding": MEAN, **pairs, "auroc": np.nan, "low": np.nan, "high": np.nan}
    if not chosen:
        return row | {"status": "undefined", "reason": "not evaluable: no finding has status ok"}
    sparse = ""
    row["auroc"] = float(estimates[chosen].mean())
    if len(replicates):
        row["low"], row["high"], _, sparse = metrics.percentile_interval(replicates[:, chosen].mean(axis=1))
    names = f"of {len(chosen)} findings: " + ", ".join(rows[c]["finding"] for c in chosen)
    return row | {"status": "sparse" if sparse else "ok", "reason": f"{sparse}; {names}" if sparse else names}
