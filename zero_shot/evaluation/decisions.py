"""Scores as decisions and as probabilities: thresholds and calibration fitted on some patients, judged on others.

Zero-shot scores have no natural threshold and are not calibrated. Both are fitted finding by finding on the validation
split, which costs labels there and makes the result no longer purely zero-shot: AUROC and AUPRC do not need it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

import metrics
from metrics.calibration.calibration_error import bin_edges, bin_totals, debiased_error
from metrics.calibration.calibrators import Calibrator, fit_isotonic, fit_platt, fit_temperature
from metrics.calibration.logistic import margin_of
from metrics.calibration.reliability import reliability_table
from metrics.evidence import not_evaluable
from metrics.rates import Confusion, confusion, decide
from metrics.threshold_policy import FittedOn, Threshold, fit_thresholds

Family = Literal["temperature", "platt", "isotonic"]
FIT: Mapping[Family, Callable[..., Calibrator]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}
RATES = ("sensitivity", "specificity", "ppv", "npv", "f1", "mcc")
BEFORE, AFTER = "before", "after"
STAGES = (BEFORE, AFTER)
"""As scored, and after the calibrator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScores:
    """Scores, labels and patients of the same images in the same order."""

    predictions: pd.DataFrame
    """image_id and a probability per finding."""
    truth: pd.DataFrame
    """image_id and a label per finding in {1, 0, NaN}; NaN leaves an image out."""
    subject_ids: Sequence[str]
    """Patient of every row."""

    def __post_init__(self) -> None:
        same = self.predictions["image_id"].tolist() == self.truth["image_id"].tolist()
        if not same or len(self.predictions) != len(self.subject_ids):
            raise ValueError("predictions, labels and patients must be for the same images in the same order")

    def known(self, finding: str) -> tuple[np.ndarray, Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """Return which images have a label of the finding, these labels, and their scores."""
        labels = self.truth[finding].to_numpy(np.float64)
        known = ~np.isnan(labels)
        return known, labels[known], self.predictions[finding].to_numpy(np.float64)[known]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRule:
    """What was fitted on validation images, by finding."""

    thresholds: Mapping[str, Threshold]
    """On the scores as they are."""
    calibrators: Mapping[str, Calibrator]
    """From the scores' margins to probabilities."""
    edges: Mapping[tuple[str, str], Float[np.ndarray, "e"]]
    """Finding and stage -> bins of about equal mass among the validation scores, shared by all groups and models."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of `calibration.json`: finding -> family, parameters, n, patients, reason."""
        return {finding: calibrator.to_json() for finding, calibrator in self.calibrators.items()}


def fit_decisions(
    on: LabelledScores,
    *,
    findings: Sequence[str],
    policy: metrics.ThresholdPolicy,
    family: Family,
    fitted_on: FittedOn = "validation",
) -> DecisionRule:
    """Return thresholds, calibrators and bins fitted on `on`; what cannot be fitted carries its reason.

    Args:
        on: validation images; patients other than those that will be judged.
        findings: columns to fit.
        policy: of the thresholds.
        family: of the calibrators.
        fitted_on: "test" where these are the rows that will be judged, which every table then says.

    Raises:
        ValueError: a NaN score or one outside [0, 1].
    """
    labels, scores = (table[list(findings)].to_numpy(np.float64) for table in (on.truth, on.predictions))
    subjects = np.asarray(list(on.subject_ids), dtype=str)
    calibrators, edges = {}, {}
    for finding in findings:
        known, y, s = on.known(finding)
        margins = margin_of(s)
        calibrators[finding] = FIT[family](y, margins, subjects[known])
        for stage, probabilities in _stages(calibrators[finding], s):
            if len(s):
                edges[finding, stage] = bin_edges(probabilities)
    return DecisionRule(
        thresholds=fit_thresholds(labels, scores, findings=findings, policy=policy, fitted_on=fitted_on),
        calibrators=calibrators,
        edges=edges,
    )


def decisions_table(fitted: DecisionRule, judged: LabelledScores, weights: metrics.ReplicateWeights) -> pd.DataFrame:
    """Return one row per finding: its threshold, and the rates of the decisions `score >= threshold`.

    Args:
        fitted: thresholds.
        judged: images that they were not fitted on.
        weights: bootstrap of the patients of `judged`.

    Returns:
        finding, policy (with the rows that it was fitted on), threshold, fitted_n, n, n_pos; RATES, each with
        NAME_low and NAME_high (95 %); reason where there is no threshold. A rate without denominator is NaN.
    """
    rows = []
    for finding, threshold in fitted.thresholds.items():
        known, y, s = judged.known(finding)
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
            row |= _rates(y, decide(s, threshold.value), weights.rows(known))
        rows.append(row)
    return pd.DataFrame(rows)


def _rates(y: Float[np.ndarray, "n"], decided: np.ndarray, weights: metrics.ReplicateWeights) -> dict[str, float]:
    one_group = np.zeros(len(y), dtype=np.int64)
    estimate, replicates = (
        confusion(y, decided, one_group, 1, drawn) for drawn in (metrics.unit_weights(len(y)), weights)
    )
    row: dict[str, float] = {}
    for name in RATES:
        (value,), draws = _rate(estimate, name), _rate(replicates, name)
        low, high, _, _ = metrics.percentile_interval(draws)
        row |= {name: float(value), f"{name}_low": low, f"{name}_high": high}
    return row


def _rate(counts: Confusion, name: str) -> Float[np.ndarray, "r"]:
    if name == "specificity":
        return 1 - counts.fpr()[:, 0]
    values: Float[np.ndarray, "r"] = getattr(counts, "tpr" if name == "sensitivity" else name)()[:, 0]
    return values


def calibration_table(fitted: DecisionRule, judged: LabelledScores, weights: metrics.ReplicateWeights) -> pd.DataFrame:
    """Return two rows per finding, before and after its calibrator: how far scores are from being probabilities.

    Args:
        fitted: calibrators and bins.
        judged: images that they were not fitted on.
        weights: bootstrap of the patients of `judged`.

    Returns:
        finding, stage, family, fitted_n, n; brier with its interval; ece, the plain error, biased upwards;
        calibration_error, the debiased root mean square error, with its interval; in_the_large, intercept and slope of
        `metrics.calibration_line`; reason where something is undefined.
    """
    rows = []
    for finding, calibrator in fitted.calibrators.items():
        known, y, s = judged.known(finding)
        stages = dict(_stages(calibrator, s))
        for stage in STAGES:
            row: dict[str, Any] = {"finding": finding, "stage": stage, "family": type(calibrator).__name__.lower()}
            row |= {"fitted_n": calibrator.n, "n": len(y)}
            edges = fitted.edges.get((finding, stage))
            if not len(y) or edges is None or stage not in stages:
                why = calibrator.reason if len(y) and calibrator.reason else "nobody labelled it"
                rows.append(row | {"reason": not_evaluable(why)})
                continue
            rows.append(row | _calibration(y, stages[stage], edges, weights.rows(known)))
    return pd.DataFrame(rows)


def _calibration(
    y: Float[np.ndarray, "n"],
    s: Float[np.ndarray, "n"],
    edges: Float[np.ndarray, "e"],
    weights: metrics.ReplicateWeights,
) -> dict[str, Any]:
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


def reliability_bins(fitted: DecisionRule, judged: LabelledScores, weights: metrics.ReplicateWeights) -> pd.DataFrame:
    """Return one row per finding, stage and bin: what a reliability plot draws.

    Returns:
        finding, stage, low_edge, high_edge, n, mean_score, mean_label, and Wilson's interval low, high of the mean
        label for as many independent images as the patients' images are worth.
    """
    parts = []
    for finding, calibrator in fitted.calibrators.items():
        known, y, s = judged.known(finding)
        for stage, probabilities in _stages(calibrator, s):
            edges = fitted.edges.get((finding, stage))
            if not len(y) or edges is None:
                continue
            table = reliability_table(y, probabilities, edges, weights.rows(known))
            columns = ("low_edge", "high_edge", "n", "mean_score", "mean_label", "low", "high")
            part = pd.DataFrame({name: getattr(table, name) for name in columns})
            part.insert(0, "finding", finding)
            part.insert(1, "stage", stage)
            parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["finding", "stage"])


def calibrated(fitted: DecisionRule, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions after their calibrators; a finding without one is NaN."""
    table = predictions[["image_id"]].copy()
    for finding, calibrator in fitted.calibrators.items():
        scores = predictions[finding].to_numpy(np.float64)
        table[finding] = np.nan if calibrator.reason else calibrator.apply(margin_of(scores))
    return table


def _stages(calibrator: Calibrator, scores: Float[np.ndarray, "n"]) -> Iterator[tuple[str, Float[np.ndarray, "n"]]]:
    """Yield the scores before and, where there is a calibrator, after it."""
    yield BEFORE, scores
    if not calibrator.reason:
        yield AFTER, calibrator.apply(margin_of(scores))
