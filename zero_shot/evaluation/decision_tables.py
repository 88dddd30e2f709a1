"""Tables of a decision rule applied to scored images: rates, calibration, reliability, and radiologists beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

import metrics
from metrics.calibration.calibration_error import bin_totals, debiased_error
from metrics.calibration.logistic import margin_of
from metrics.calibration.reliability import reliability_table
from metrics.evidence import not_evaluable
from metrics.rates import Confusion, confusion, decide
from metrics.resampling import interval_if_drawn
from zero_shot.auroc_table import few_patients
from zero_shot.evaluation.decision_rule import NUMERICAL, STAGES, DecisionRule, LabelledScores, scores_by_stage
from zero_shot.protocols import find_readings, read_readings

RATES = ("sensitivity", "specificity", "ppv", "npv", "f1", "mcc")


def decisions_table(rule: DecisionRule, scored: LabelledScores, weights: metrics.ReplicateWeights) -> pd.DataFrame:
    """Return one row per finding: its threshold, and the rates of the decisions `score >= threshold`.

    Args:
        rule: has the thresholds.
        scored: images other than those it was fitted on.
        weights: bootstrap of the patients of `scored`.

    Returns:
        finding, policy (with the rows that it was fitted on), threshold, fitted_n, n, n_pos; RATES, each with
        NAME_low and NAME_high (95 %); reason if there is no threshold. A rate without denominator is NaN.
    """
    rows = []
    for finding, threshold in rule.thresholds.items():
        known, y, s = scored.known(finding)
        row: dict[str, Any] = {
            "finding": finding,
            "policy": threshold.label,
            "threshold": threshold.value,
            "fitted_n": threshold.n,
            "n": len(y),
            "n_pos": int(y.sum()),
            **{f"{rate}{end}": np.nan for rate in RATES for end in ("", "_low", "_high")},
            "reason": "",
        }

        if np.isnan(threshold.value):
            row["reason"] = not_evaluable(f"no threshold, {threshold.reason} where it was fitted")
        elif not len(y):
            row["reason"] = not_evaluable("nobody labelled it")
        else:
            few = few_patients(np.asarray(scored.subject_ids)[known])
            row |= _rates(y, decide(s, threshold.value), weights.rows(known), draw=not few) | {"reason": few}
        rows.append(row)
    return pd.DataFrame(rows)


def _rates(
    y: Float[np.ndarray, "n"], decisions: Bool[np.ndarray, "n"], weights: metrics.ReplicateWeights, *, draw: bool
) -> dict[str, Any]:
    """Return every rate, with its interval if wanted."""
    one_group = np.zeros(len(y), dtype=np.int64)
    estimate, replicates = (
        confusion(y, decisions, one_group, 1, drawn) for drawn in (metrics.unit_weights(len(y)), weights)
    )

    row: dict[str, Any] = {}
    for name in RATES:
        (value,), draws = _rate(estimate, name), _rate(replicates, name)
        low, high, _, _ = interval_if_drawn(draws if draw else draws[:0])
        row |= {name: float(value), f"{name}_low": low, f"{name}_high": high}
    return row


def _rate(counts: Confusion, name: str) -> Float[np.ndarray, "r"]:
    """Return one rate in every replicate."""
    if name == "specificity":
        return 1 - counts.fpr()[:, 0]
    values: Float[np.ndarray, "r"] = getattr(counts, "tpr" if name == "sensitivity" else name)()[:, 0]
    return values


def calibration_table(rule: DecisionRule, scored: LabelledScores, weights: metrics.ReplicateWeights) -> pd.DataFrame:
    """Return two rows per finding, before and after calibration: how far scores are from probabilities.

    Args:
        rule: has the calibrators and bins.
        scored: images other than those it was fitted on.
        weights: bootstrap of the patients of `scored`.

    Returns:
        finding, stage, family, fitted_n, n; brier with its interval; ece, the plain error, biased upwards;
        calibration_error, the debiased root mean square error, with its interval; in_the_large, intercept and slope of
        `metrics.calibration_line`; reason if something is undefined.
    """
    rows = []
    for finding, calibrator in rule.calibrators.items():
        known, y, s = scored.known(finding)
        probabilities = dict(scores_by_stage(calibrator, s))
        for stage in STAGES:
            row: dict[str, Any] = {"finding": finding, "stage": stage, "family": type(calibrator).__name__.lower()}
            row |= {"fitted_n": calibrator.n, "n": len(y)}
            edges = rule.edges.get((finding, stage))

            # nobody labelled it here, or in the validation images
            if not len(y) or edges is None or stage not in probabilities:
                why = calibrator.reason if len(y) and calibrator.reason else "nobody labelled it"
                rows.append(row | {"reason": not_evaluable(why)})
                continue

            try:
                figures = _calibration(y, probabilities[stage], edges, weights.rows(known))
            except NUMERICAL as error:
                rows.append(row | {"reason": not_evaluable(f"the numbers do not allow it ({error})")})
                continue
            few = few_patients(np.asarray(scored.subject_ids)[known])
            if few:
                figures |= {name: np.nan for name in figures if name.endswith(("_low", "_high"))}
                figures["reason"] = "; ".join(filter(None, (few, figures["reason"])))
            rows.append(row | figures)
    return pd.DataFrame(rows)


def _calibration(
    y: Float[np.ndarray, "n"],
    s: Float[np.ndarray, "n"],
    edges: Float[np.ndarray, "e"],
    weights: metrics.ReplicateWeights,
) -> dict[str, Any]:
    """Return the calibration figures of one finding at one stage."""
    estimate, replicates = bin_totals(y, s, edges), bin_totals(y, s, edges, weights)
    error = debiased_error(estimate, replicates)
    brier_low, brier_high, _, _ = metrics.percentile_interval(metrics.brier_score(y, s, weights))
    line = metrics.calibration_line(y, s)

    return {
        "brier": float(metrics.brier_score(y, s)[0]),
        "brier_low": brier_low,
        "brier_high": brier_high,
        "ece": float(estimate.expected_calibration_error()[0]),
        "calibration_error": error.root,
        "calibration_error_low": error.root_low,
        "calibration_error_high": error.root_high,
        "in_the_large": float(line.in_the_large[0]),
        "intercept": float(line.intercept[0]),
        "slope": float(line.slope[0]),
        "reason": "; ".join(filter(None, (error.reason, line.reason))),
    }


def reliability_bins(rule: DecisionRule, scored: LabelledScores, weights: metrics.ReplicateWeights) -> pd.DataFrame:
    """Return one row per finding, stage and bin: what a reliability plot draws.

    Returns:
        finding, stage, low_edge, high_edge, n, mean_score, mean_label, and Wilson's interval low, high of the mean
        label, for as many independent images as the patients' images are worth.
    """
    parts = []
    for finding, calibrator in rule.calibrators.items():
        known, y, s = scored.known(finding)
        for stage, probabilities in scores_by_stage(calibrator, s):
            edges = rule.edges.get((finding, stage))
            if not len(y) or edges is None:
                continue

            try:
                table = reliability_table(y, probabilities, edges, weights.rows(known))
            except NUMERICAL:  # `calibration_table` has the reason
                continue
            columns = ("low_edge", "high_edge", "n", "mean_score", "mean_label", "low", "high")
            part = pd.DataFrame({name: getattr(table, name) for name in columns})
            part.insert(0, "finding", finding)
            part.insert(1, "stage", stage)
            parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["finding", "stage"])


def calibrated(rule: DecisionRule, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions after calibration; a finding without a calibrator is NaN."""
    table = predictions[["image_id"]].copy()
    for finding, calibrator in rule.calibrators.items():
        scores = predictions[finding].to_numpy(np.float64)
        table[finding] = np.nan if calibrator.reason else calibrator.apply(margin_of(scores))
    return table


def readers_table(
    folder: Path,
    rule: DecisionRule,
    scored: LabelledScores,
    studies: Sequence[str],
    weights: metrics.ReplicateWeights,
) -> pd.DataFrame:
    """Return MCC and F1 of the model's decisions beside the radiologists' mean, by finding and on average.

    Findings without a threshold are left out.

    Returns:
        measure, finding, n, n_pos; model, readers and difference (model minus readers), each with NAME_low and
        NAME_high; reason if it is not evaluable, or for the row `mean` what it is the mean of.

    Raises:
        FileNotFoundError, ValueError: see `find_readings`, `read_readings`.
    """
    findings = [finding for finding, threshold in rule.thresholds.items() if not np.isnan(threshold.value)]
    readings = read_readings(find_readings(folder), studies=studies, findings=findings)

    # the model's decisions, (n, c), beside the readers', (q, n, c)
    scores = scored.predictions[findings].to_numpy(np.float64)
    thresholds = [rule.thresholds[finding].value for finding in findings]
    decisions = np.stack([decide(s, t) for s, t in zip(scores.T, thresholds, strict=True)], axis=1)
    labels = scored.truth[findings].to_numpy(np.float64)

    few = few_patients(scored.subject_ids)
    rows = []
    for measure in ("mcc", "f1"):
        study = metrics.compare_with_readers(
            labels, decisions, readings.decisions, weights, findings=findings, measure=measure
        )
        for finding, found in {**study.by_finding, "mean": study.mean}.items():
            row: dict[str, Any] = {"measure": measure, "finding": finding, "n": found.n, "n_pos": found.n_pos}
            for name in ("model", "readers", "difference"):
                estimate = getattr(found, name)
                low, high = (np.nan, np.nan) if few else (estimate.interval.low, estimate.interval.high)
                row |= {name: estimate.value, f"{name}_low": low, f"{name}_high": high}
            rows.append(row | {"reason": "; ".join(filter(None, (few, found.reason)))})
    return pd.DataFrame(rows)
