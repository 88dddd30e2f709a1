"""From validation images to tables of decisions: which images, what is fitted on them, or why nothing is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import metrics
from cohort import ImageStore
from metrics import rates
from metrics.threshold_policy import Threshold, thresholds_from_json
from zero_shot.evaluation.decisions import (
    DecisionRule,
    LabelledScores,
    calibrated,
    calibration_table,
    decisions_table,
    fit_decisions,
    reliability_bins,
)
from zero_shot.evaluation.spec import labels_fingerprint
from zero_shot.images import Images
from zero_shot.protocols import ProtocolPlan, find_readings, read_readings
from zero_shot.select import choose_labels, select_images
from zero_shot.zero_shot_config import ZeroShotConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationImages:
    """Images of the validation split, with labels of the same source as those that are judged."""

    cohort: pd.DataFrame
    """Cohort rows."""
    images: Images
    """Same order."""
    truth: pd.DataFrame
    """image_id and a label per finding in {1, 0, NaN}, same order."""

    def to_json(self) -> dict[str, Any]:
        """Return what a specification says of it."""
        return {
            "n": len(self.images),
            "fingerprint": self.images.fingerprint(),
            "labels": labels_fingerprint(self.truth),
        }


def labels_of(
    config: ZeroShotConfig, applied: ProtocolPlan | None, chosen: pd.DataFrame, findings: tuple[str, ...]
) -> pd.DataFrame:
    """Return image_id and a label per finding for cohort rows: the protocol's, a truth file's, or the cohort's own.

    Raises:
        ValueError: see `choose_labels`.
    """
    if applied is not None:
        return applied.truth(chosen, findings)
    return choose_labels(
        chosen,
        findings,
        truth_filepath=config.truth_filepath,
        uncertainty_policy=config.uncertainty_policy,
        blank_is_zero=config.blank_is_zero,
    )


def validation_of(
    config: ZeroShotConfig,
    applied: ProtocolPlan | None,
    cohort: pd.DataFrame,
    store: ImageStore,
    *,
    judged: pd.DataFrame,
    findings: tuple[str, ...],
) -> tuple[ValidationImages | None, str]:
    """Return the validation images, or None and the reason, which is empty where none were asked for.

    Args:
        config: names the split.
        applied: the protocol, if one is followed.
        cohort: the whole cohort table.
        store: of the images.
        judged: cohort rows of the images to be scored; none of their patients may be fitted on.
        findings: columns of the labels.
    """
    split = config.fit_split
    if not split:
        return None, ""
    if not cohort["split"].eq(split).any():
        return None, f"the cohort has no split {split!r}"
    if config.split in ("all", split):
        return None, f"the split {split!r} is among the images that are scored"
    left_out = applied.left_out if applied else None
    try:
        chosen, images, _ = select_images(cohort, store, split=split, views=config.views, left_out=left_out)
        truth = labels_of(config, applied, chosen, findings)
    except ValueError as error:
        return None, f"the split {split!r} cannot be used: {str(error).splitlines()[0]}"
    shared = set(chosen["subject_id"]) & set(judged["subject_id"])
    if shared:
        return None, f"{len(shared)} patients of the split {split!r} are among those that are scored"
    return ValidationImages(cohort=chosen, images=images, truth=truth), ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionTables:
    """Scores as decisions and probabilities; a table is None where nothing was fitted, and `notes` say why."""

    fitted: DecisionRule | None = None
    """Thresholds and calibrators."""
    decisions: pd.DataFrame | None = None
    """See `decisions.decisions_table`."""
    calibration: pd.DataFrame | None = None
    """See `decisions.calibration_table`."""
    reliability: pd.DataFrame | None = None
    """See `decisions.reliability_bins`."""
    calibrated: pd.DataFrame | None = None
    """The predictions after calibration."""
    readers: pd.DataFrame | None = None
    """See `readers_table`."""
    notes: tuple[str, ...] = ()
    """What is not there, and why."""

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that there are, by the name of their file."""
        names = ("decisions", "calibration", "reliability", "calibrated", "readers")
        return {name: table for name in names if (table := getattr(self, name)) is not None}

    def joined(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a metrics table with the columns `mcc` and `f1` of the decisions, if there are any."""
        if self.decisions is None:
            return table
        return table.merge(self.decisions[["finding", "mcc", "f1"]], on="finding", how="left")


def decide(
    config: ZeroShotConfig,
    judged: LabelledScores,
    on: LabelledScores | None,
    *,
    findings: Sequence[str],
    studies: Sequence[str],
    why_not: str,
) -> DecisionTables:
    """Return thresholds and calibration fitted on `on`, or thresholds of a file, and what they make of `judged`.

    Args:
        config: names policy, family, the files, and replicates and seed of the intervals.
        judged: the images that are scored.
        on: validation images; None where there are none.
        findings: columns.
        studies: study of every judged image, by which readers' decisions are found.
        why_not: why there are no validation images; empty where none were asked for.

    Raises:
        FileNotFoundError, ValueError: the file of thresholds or the readings are not there or do not fit.
    """
    policy = metrics.ThresholdPolicy.parse(config.threshold_policy)
    fitted = None if on is None else fit_decisions(on, findings=findings, policy=policy, family=config.calibration)
    if config.thresholds is not None:
        calibrators, edges = ({}, {}) if fitted is None else (fitted.calibrators, fitted.edges)
        thresholds = read_thresholds(config.thresholds, findings)
        fitted = DecisionRule(thresholds=thresholds, calibrators=calibrators, edges=edges)
    lacks = "calibration" if fitted is not None else "thresholds and no calibration"
    notes = (f"no {lacks}: {why_not}",) if on is None and why_not else ()
    if fitted is None:
        if config.readers is not None:
            raise ValueError(f"readers are compared with decisions, but there are no thresholds: {why_not or 'none'}")
        return DecisionTables(notes=notes)
    weights = metrics.patient_weights(judged.subject_ids, config.n_replicates, np.random.default_rng(config.seed))
    has_calibrators = bool(fitted.calibrators)
    return DecisionTables(
        fitted=fitted,
        decisions=decisions_table(fitted, judged, weights),
        calibration=calibration_table(fitted, judged, weights) if has_calibrators else None,
        reliability=reliability_bins(fitted, judged, weights) if has_calibrators else None,
        calibrated=calibrated(fitted, judged.predictions) if has_calibrators else None,
        readers=None if config.readers is None else readers_table(config.readers, fitted, judged, studies, weights),
        notes=notes,
    )


def read_thresholds(path: Path, findings: Sequence[str]) -> dict[str, Threshold]:
    """Return the thresholds of `findings` from a thresholds.json.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or a finding is not in it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no thresholds at {path}: wanted a thresholds.json that an earlier run wrote")
    try:
        known = thresholds_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path} is no thresholds.json: {error}") from error
    missing = [finding for finding in findings if finding not in known]
    if missing:
        raise ValueError(f"{path} has no threshold for {', '.join(missing)}; it has {', '.join(known)}")
    return {finding: known[finding] for finding in findings}


def readers_table(
    folder: Path,
    fitted: DecisionRule,
    judged: LabelledScores,
    studies: Sequence[str],
    weights: metrics.ReplicateWeights,
) -> pd.DataFrame:
    """Return MCC and F1 of the model's decisions beside the mean of the radiologists', by finding and on average.

    Findings without a threshold are left out.

    Returns:
        measure, finding, n, n_pos; model, readers and difference (model minus readers), each with NAME_low and
        NAME_high; reason where it is not evaluable, or for the row `mean` what it is of.

    Raises:
        FileNotFoundError, ValueError: see `find_readings`, `read_readings`.
    """
    findings = [finding for finding, threshold in fitted.thresholds.items() if not np.isnan(threshold.value)]
    readings = read_readings(find_readings(folder), studies=studies, findings=findings)
    scores = judged.predictions[findings].to_numpy(np.float64)
    cut = [fitted.thresholds[finding].value for finding in findings]
    decisions = np.stack([rates.decide(s, t) for s, t in zip(scores.T, cut, strict=True)], axis=1)
    labels = judged.truth[findings].to_numpy(np.float64)
    rows = []
    for measure in ("mcc", "f1"):
        study = metrics.compare_with_readers(
            labels, decisions, readings.decisions, weights, findings=findings, measure=measure
        )
        for finding, found in {**study.by_finding, "mean": study.mean}.items():
            row = {"measure": measure, "finding": finding, "n": found.n, "n_pos": found.n_pos}
            for name in ("model", "readers", "difference"):
                estimate = getattr(found, name)
                low, high = estimate.interval.low, estimate.interval.high
                row |= {name: estimate.value, f"{name}_low": low, f"{name}_high": high}
            rows.append(row | {"reason": found.reason})
    return pd.DataFrame(rows)
