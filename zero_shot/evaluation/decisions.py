"""Scores as decisions and probabilities: a rule fitted on validation images, and what it makes of the scored ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

import metrics
from zero_shot.evaluation.decision_rule import DecisionRule, LabelledScores, fit_decisions, read_thresholds
from zero_shot.evaluation.decision_tables import (
    calibrated,
    calibration_table,
    decisions_table,
    readers_table,
    reliability_bins,
)
from zero_shot.zero_shot_config import ZeroShotConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionTables:
    """Decisions and probabilities as tables; a table is None if nothing was fitted, and `notes` say why."""

    fitted: DecisionRule | None = None
    """Thresholds and calibrators"""
    decisions: pd.DataFrame | None = None
    """See `decisions_table`"""
    calibration: pd.DataFrame | None = None
    """See `calibration_table`"""
    reliability: pd.DataFrame | None = None
    """See `reliability_bins`"""
    calibrated: pd.DataFrame | None = None
    """The predictions after calibration"""
    readers: pd.DataFrame | None = None
    """See `readers_table`"""
    notes: tuple[str, ...] = ()
    """What is missing, and why"""

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that exist, by the name of their file."""
        names = ("decisions", "calibration", "reliability", "calibrated", "readers")
        return {name: table for name in names if (table := getattr(self, name)) is not None}

    def joined(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a metrics table with the columns `mcc` and `f1` of the decisions, if there are any."""
        if self.decisions is None:
            return table
        return table.merge(self.decisions[["finding", "mcc", "f1"]], on="finding", how="left")


def decide_scores(
    config: ZeroShotConfig,
    scored: LabelledScores,
    validation: LabelledScores | None,
    *,
    findings: Sequence[str],
    studies: Sequence[str],
    why_not: str,
) -> DecisionTables:
    """Return what thresholds and calibrators make of the scored images.

    Args:
        config: names policy, family, the files, and replicates and seed of the intervals.
        scored: the images that are evaluated.
        validation: the images to fit on; None if there are none.
        findings: columns.
        studies: study of every scored image, by which the readers' decisions are found.
        why_not: why there are no validation images; empty if the user wanted none.

    Raises:
        FileNotFoundError, ValueError: the file of thresholds or the readings are missing or do not fit.
    """
    rule = _rule(config, validation, findings)
    missing = "calibration" if rule is not None else "thresholds and no calibration"
    notes = (f"no {missing}: {why_not}",) if validation is None and why_not else ()
    if rule is None:
        if config.readers is not None:
            raise ValueError(
                f"--readers: radiologists are compared with decisions, but there are no thresholds: {why_not or 'none'}"
            )
        return DecisionTables(notes=notes)

    # one draw of patients for all tables
    weights = metrics.patient_weights(scored.subject_ids, config.n_replicates, np.random.default_rng(config.seed))
    has_calibrators = bool(rule.calibrators)
    return DecisionTables(
        fitted=rule,
        decisions=decisions_table(rule, scored, weights),
        calibration=calibration_table(rule, scored, weights) if has_calibrators else None,
        reliability=reliability_bins(rule, scored, weights) if has_calibrators else None,
        calibrated=calibrated(rule, scored.predictions) if has_calibrators else None,
        readers=None if config.readers is None else readers_table(config.readers, rule, scored, studies, weights),
        notes=notes,
    )


def _rule(config: ZeroShotConfig, validation: LabelledScores | None, findings: Sequence[str]) -> DecisionRule | None:
    """Return the rule fitted on validation images; thresholds of a file replace the fitted ones."""
    policy = metrics.ThresholdPolicy.parse(config.threshold_policy)
    rule = None
    if validation is not None:
        rule = fit_decisions(validation, findings=findings, policy=policy, family=config.calibration)
    if config.thresholds is None:
        return rule

    calibrators, edges = ({}, {}) if rule is None else (rule.calibrators, rule.edges)
    thresholds = read_thresholds(config.thresholds, findings)
    return DecisionRule(thresholds=thresholds, calibrators=calibrators, edges=edges)
