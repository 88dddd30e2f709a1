"""Thresholds and calibrators: fitted finding by finding on validation images, or read from an earlier run.

Zero-shot scores have no natural threshold and are not calibrated. Fitting both needs labels of the validation split, so
that the result is no longer purely zero-shot. AUROC and AUPRC do not need it.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

import metrics
from metrics.calibration.calibration_error import bin_edges
from metrics.calibration.calibrators import Calibrator, fit_isotonic, fit_platt, fit_temperature
from metrics.calibration.logistic import margin_of
from metrics.threshold_policy import Threshold, fit_thresholds, thresholds_from_json

Family = Literal["temperature", "platt", "isotonic"]
FIT: Mapping[Family, Callable[..., Calibrator]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}
NUMERICAL = (np.linalg.LinAlgError, ArithmeticError)
"""Failures of the numbers of one finding, which become its reason and end nothing else"""
BEFORE, AFTER = "before", "after"
STAGES = (BEFORE, AFTER)
"""Scores before and after calibration"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScores:
    """Scores, labels and patients of the same images in the same order."""

    predictions: pd.DataFrame
    """image_id and a probability per finding"""
    truth: pd.DataFrame
    """image_id and a label per finding in {1, 0, NaN}; NaN leaves an image out"""
    subject_ids: Sequence[str]
    """Patient of every row"""

    def __post_init__(self) -> None:
        same = self.predictions["image_id"].tolist() == self.truth["image_id"].tolist()
        if not same or len(self.predictions) != len(self.subject_ids):
            raise ValueError("predictions, labels and patients must be for the same images in the same order")

    def known(self, finding: str) -> tuple[Bool[np.ndarray, "n"], Float[np.ndarray, "m"], Float[np.ndarray, "m"]]:
        """Return which images have a label of the finding, these labels, and their scores."""
        labels = self.truth[finding].to_numpy(np.float64)
        known = ~np.isnan(labels)
        return known, labels[known], self.predictions[finding].to_numpy(np.float64)[known]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unfitted(Calibrator):
    """A calibrator whose fit failed."""

    def _probabilities(self, margins: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        return np.full(len(margins), np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRule:
    """How scores become decisions and probabilities, by finding."""

    thresholds: Mapping[str, Threshold]
    """Thresholds on the uncalibrated scores"""
    calibrators: Mapping[str, Calibrator]
    """From the margins of the scores to probabilities"""
    edges: Mapping[tuple[str, str], Float[np.ndarray, "e"]]
    """Finding and stage -> edges of bins with about equally many validation scores, shared by groups and models"""

    def to_json(self) -> dict[str, Any]:
        """Return the content of `calibration.json`: finding -> family, parameters, n, patients, reason."""
        return {finding: calibrator.to_json() for finding, calibrator in self.calibrators.items()}


def fit_decisions(
    validation: LabelledScores, *, findings: Sequence[str], policy: metrics.ThresholdPolicy, family: Family
) -> DecisionRule:
    """Return thresholds, calibrators and bins fitted on validation images; what cannot be fitted carries its reason.

    Args:
        validation: validation images; none of their patients may be evaluated.
        findings: columns to fit.
        policy: how thresholds are chosen.
        family: kind of calibrator.

    Raises:
        ValueError: a NaN score or one outside [0, 1].
    """
    labels, scores = (
        table[list(findings)].to_numpy(np.float64) for table in (validation.truth, validation.predictions)
    )
    subjects = np.asarray(list(validation.subject_ids), dtype=str)

    calibrators, edges = {}, {}
    for finding in findings:
        known, y, s = validation.known(finding)
        try:
            calibrators[finding] = FIT[family](y, margin_of(s), subjects[known])
        except NUMERICAL as error:
            calibrators[finding] = _Unfitted(n=len(y), patients=len(set(subjects[known])), reason=f"no fit ({error})")
        for stage, probabilities in scores_by_stage(calibrators[finding], s):
            if len(s):
                edges[finding, stage] = bin_edges(probabilities)

    thresholds = fit_thresholds(labels, scores, findings=findings, policy=policy, fitted_on="validation")
    return DecisionRule(thresholds=thresholds, calibrators=calibrators, edges=edges)


def scores_by_stage(
    calibrator: Calibrator, scores: Float[np.ndarray, "n"]
) -> Iterator[tuple[str, Float[np.ndarray, "n"]]]:
    """Yield the scores before calibration and, if there is a calibrator, after it."""
    yield BEFORE, scores
    if not calibrator.reason:
        yield AFTER, calibrator.apply(margin_of(scores))


def read_thresholds(path: Path, findings: Sequence[str]) -> dict[str, Threshold]:
    """Return the thresholds of `findings` from the thresholds.json of an earlier run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, or a finding is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no thresholds at {path}: wanted a thresholds.json that an earlier run wrote")
    try:
        known = thresholds_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path} is not a thresholds.json: {error}") from error
    missing = [finding for finding in findings if finding not in known]
    if missing:
        raise ValueError(f"{path} has no threshold for {', '.join(missing)}; it has {', '.join(known)}")
    return {finding: known[finding] for finding in findings}
