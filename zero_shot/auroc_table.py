"""The table of AUROCs: one row per finding and their mean, with intervals over patients and a reason if undefined."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float

import metrics
from metrics.auroc import one_class_reason
from metrics.evidence import (
    MEAN,
    MIN_N,
    MIN_PATIENTS,
    NOT_IN_MEAN,
    EvidenceRule,
    count_evidence,
    evidence_status,
    mean_of,
    not_evaluable,
)
from metrics.resampling import interval_if_drawn, patient_numbers
from metrics.share_intervals import auroc_support, share_interval
from zero_shot.images import refuse_repeated

COUNTS = ("n", "n_pos", "n_neg", "patients", "patients_pos")
COLUMNS = ("finding", *COUNTS, "auroc", "low", "high", "status", "reason")
VERSIONS = {"auroc": 1, "auprc": 1, "auprc_adjusted": 1, "decisions": 1, "calibration": 1, "interval": 1, "mean": 1}
"""Versions of the figures, in every specification: raise one if the same scores and labels give another figure"""

Metric: TypeAlias = Callable[
    [Float[np.ndarray, "n c"], Float[np.ndarray, "n c"], metrics.ReplicateWeights], Float[np.ndarray, "r c"]
]
"""From labels in {1, 0, NaN}, scores and weights to a figure per replicate and finding, as `metrics.auroc_matrix`"""


def metrics_table(
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    subject_ids: Sequence[str],
    *,
    findings: Sequence[str],
    n_replicates: int = 1000,
    seed: int = 0,
    min_n: int = MIN_N,
    min_patients: int = MIN_PATIENTS,
    further: Mapping[str, Metric] | None = None,
) -> pd.DataFrame:
    """Return one row per finding and a row `mean`, with 95 % percentile intervals from one draw of patients.

    The mean is over findings with status `ok` except "No Finding", which is the absence of the others. Its interval
    comes from the mean within every replicate, and so includes how findings vary together.

    Args:
        predictions: image_id and one score column per finding.
        truth: image_id and the same columns in {1, 0, NaN}, same images in the same order; NaN leaves an image out.
        subject_ids: patient of every row.
        findings: columns to evaluate.
        n_replicates: bootstrap resamples of patients; 0 gives estimates without intervals.
        seed: seed of the resampling.
        min_n: positives and negatives below which a finding is `small`: shown, but not in the mean.
        min_patients: patients with and without the finding below which it is `small`.
        further: name -> another metric on the same draw, in the columns NAME, NAME_low and NAME_high.

    Returns:
        Columns as COLUMNS, those of `further` before `status`. `status` is `ok`, `small`, `sparse` (no interval of the
        AUROC) or `undefined` (no AUROC); `reason` says why it is not `ok`, or for the mean over which findings
        it is; the counts of the mean are image-finding pairs.

    Raises:
        ValueError: ids that are repeated or differ between the tables, or a NaN score, with the finding and the image.
    """
    if predictions["image_id"].tolist() != truth["image_id"].tolist() or len(predictions) != len(subject_ids):
        raise ValueError("predictions, labels and patients must be for the same images in the same order")
    refuse_repeated(predictions["image_id"].tolist(), "the predictions")
    _refuse_nan(predictions, findings)

    subjects = np.asarray(list(subject_ids), dtype=str)
    scores, labels = (table[list(findings)].to_numpy(dtype=np.float64) for table in (predictions, truth))  # (n, c)

    # each metric on all images, (c,), and on one draw of patients, (r, c), that all metrics share
    measured: dict[str, Metric] = {"auroc": metrics.auroc_matrix, **(further or {})}
    whole = metrics.unit_weights(len(subjects))
    drawn = metrics.patient_weights(subjects, n_replicates, np.random.default_rng(seed)) if n_replicates else None
    figures = {
        name: (
            metric(labels, scores, whole)[0],
            np.zeros((0, len(findings))) if drawn is None else metric(labels, scores, drawn),
        )
        for name, metric in measured.items()
    }

    rule = EvidenceRule(min_n=min_n, min_patients=min_patients)
    rows = []
    for c, finding in enumerate(findings):
        of_finding = {name: (estimates[c], replicates[:, c]) for name, (estimates, replicates) in figures.items()}
        row = _row(finding, labels[:, c], subjects, of_finding, rule=rule)
        rows.append(row | _ends_kept(row, labels[:, c], scores[:, c], figures["auroc"][1][:, c], subjects))
    rows.append(_mean_row(rows, figures))

    own = [column for name in measured for column in _columns(name)]
    columns = ["finding", *COUNTS, *own, "status", "reason"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(COUNTS, "Int64"))


def few_patients(subjects: Iterable[str], least: int = MIN_PATIENTS) -> str:
    """Return why no interval over patients is given: there are too few of them; "" if there are enough.

    With one patient all resamples are equal, and the interval would be the estimate itself.
    """
    found = len(set(subjects))
    return "" if found >= least else f"no interval: {found} {'patient' if found == 1 else 'patients'} (wanted {least})"


def _columns(name: str) -> tuple[str, str, str]:
    """Return the columns of a metric: its value and the ends of its interval."""
    return (name, "low", "high") if name == "auroc" else (name, f"{name}_low", f"{name}_high")


def _figure(name: str, estimate: float, replicates: Float[np.ndarray, "r"]) -> tuple[dict[str, float], str]:
    """Return a metric's columns, and why its interval is withheld."""
    low, high, _, sparse = interval_if_drawn(replicates)
    return dict(zip(_columns(name), (float(estimate), low, high), strict=True)), sparse


def _ends_kept(
    row: Mapping[str, Any],
    labels: Float[np.ndarray, "n"],
    scores: Float[np.ndarray, "n"],
    replicates: Float[np.ndarray, "r"],
    subjects: np.ndarray,
) -> dict[str, float]:
    """Return the interval of an AUROC whose resamples repeat each other, near 1; nothing if there is no interval."""
    if np.isnan(row.get("low", np.nan)):
        return {}
    unit, _ = patient_numbers(subjects)
    support = auroc_support(labels[:, None], scores[:, None], unit)
    interval = share_interval(row["auroc"], replicates, support, min_patients=0)
    return {"low": interval.low, "high": interval.high}


def _refuse_nan(predictions: pd.DataFrame, findings: Sequence[str]) -> None:
    """Refuse scores that are not numbers."""
    for finding in findings:
        missing = predictions.loc[predictions[finding].isna(), "image_id"]
        if len(missing):
            raise ValueError(f"{len(missing)} scores of {finding!r} are NaN, first for image {missing.iloc[0]}")


def _row(
    finding: str,
    labels: Float[np.ndarray, "n"],
    subjects: np.ndarray,
    figures: Mapping[str, tuple[float, Float[np.ndarray, "r"]]],
    *,
    rule: EvidenceRule,
) -> dict[str, Any]:
    """Count one finding and say whether its figures can be read."""
    counts = count_evidence(labels, subjects)
    row: dict[str, Any] = {"finding": finding, **{count: getattr(counts, count) for count in COUNTS}}
    undefined = one_class_reason(labels[(labels == 1) | (labels == 0)])
    if undefined:
        why = "nobody labelled it" if undefined == "no rows" else undefined
        return row | {"status": "undefined", "reason": not_evaluable(why)}

    no_interval = few_patients(subjects[(labels == 1) | (labels == 0)], rule.min_patients)
    withheld = {}
    for name, (estimate, replicates) in figures.items():
        columns, withheld[name] = _figure(name, estimate, replicates[:0] if no_interval else replicates)
        row |= columns

    few = rule.shortfalls(
        images={"positives": counts.n_pos, "negatives": counts.n_neg},
        patients={"patients with it": counts.patients_pos, "patients without it": counts.patients_neg},
    )
    status = evidence_status(few, withheld["auroc"])
    return row | {
        "status": status,
        "reason": "; ".join(filter(None, [no_interval, *_interval_reasons(withheld), *few])),
    }


def _interval_reasons(withheld: Mapping[str, str]) -> list[str]:
    """Return why intervals are withheld, with the name of the metric unless it is the AUROC."""
    return [reason if name == "auroc" else f"{name}: {reason}" for name, reason in withheld.items() if reason]


def _mean_row(
    rows: Sequence[dict[str, Any]], figures: Mapping[str, tuple[Float[np.ndarray, "c"], Float[np.ndarray, "r c"]]]
) -> dict[str, Any]:
    """Average the findings that are `ok`, in the estimate and within every replicate."""
    chosen = [c for c, row in enumerate(rows) if row["status"] == "ok" and row["finding"] not in NOT_IN_MEAN]
    pairs = {count: sum(rows[c][count] for c in chosen) for count in ("n", "n_pos", "n_neg")}
    row: dict[str, Any] = {"finding": MEAN, **pairs}
    if not chosen:
        return row | {"status": "undefined", "reason": not_evaluable("no finding has status ok")}

    withheld = {}
    for name, (estimates, replicates) in figures.items():
        columns, withheld[name] = _figure(name, estimates[chosen].mean(), replicates[:, chosen].mean(axis=1))
        row |= columns

    reasons = [*_interval_reasons(withheld), mean_of([rows[c]["finding"] for c in chosen])]
    return row | {"status": evidence_status([], withheld["auroc"]), "reason": "; ".join(reasons)}
