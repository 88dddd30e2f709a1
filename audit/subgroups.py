"""The subgroup table: each finding, group and metric with its evidence, interval and difference to everybody else.

To understand how a row is made, read these in this order:

    joined_tables   scores, truth and groups, joined by image and checked
    replicates      each metric of each cell, in the table itself and in resamples of its patients
    cells           one cell: enough evidence? its value, and the mean over findings
    contrasts       intervals of differences that are valid for a whole family
    subgroups       this file: from tables to one table
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

import metrics
from audit import contrasts
from audit.cells import Cell, cells_of_group
from audit.joined_tables import AuditTable, join_tables
from audit.replicates import METRICS, measure, outcomes
from audit.suppression import hidden_groups
from audit.thresholds import Thresholds
from metrics.evidence import MEAN, MIN_N, MIN_PATIENTS, EvidenceRule
from metrics.resampling import Interval, ratio
from metrics.share_intervals import MANY, NORMAL, difference_limits, enough_patients, ratio_limits, share_interval

COLUMNS = (
    *("finding", "attribute", "group", "metric"),
    *("n", "n_pos", "n_neg", "patients", "patients_pos", "patients_neg", "n_findings"),
    *("value", "low", "high", "rest", "difference", "difference_low", "difference_high"),
    *("pointwise_low", "pointwise_high", "ratio", "ratio_low", "ratio_high", "family", "flagged"),
    *("status", "reason", "threshold", "threshold_policy"),
)


def disaggregate(
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    findings: Sequence[str],
    thresholds: Thresholds | Mapping[str, float] | None = None,
    metric_names: Sequence[str] = METRICS,
    n_replicates: int = 1000,
    seed: int = 0,
    min_n: int = MIN_N,
    min_patients: int = MIN_PATIENTS,
) -> pd.DataFrame:
    """Return one row per finding x attribute x group x metric, and a "mean" over findings for each of them.

    `value` has a 95 % interval from the patient bootstrap; near 0 and 1, where resamples repeat each other, it is
    Wilson's (`metrics.share_intervals`). `difference` is value - rest, where `rest` is the metric over everybody
    outside the group. It has a pointwise interval, and a simultaneous one (`difference_low`, `difference_high`) over
    its family (`contrasts.simultaneous`). `flagged`: the simultaneous interval excludes zero. `ratio` is value / rest.

    A group of fewer than `min_patients` patients is suppressed, and so are the groups that would give it away by
    subtraction (`audit.suppression`).

    There are two families, each with a 5 % chance of any false flag in the whole table: "confirmatory" holds the means
    over findings, "exploratory" the single findings. A max-min gap is not given, because it is biased upwards and its
    percentile interval excludes zero even if nothing differs.

    The mean of a group averages the findings that are evaluable overall and have `min_patients` patients in the
    denominator both in the group and outside it (`n_findings` of them, without "No Finding"). Value, rest and
    difference thus refer to the same findings. Its n_pos and n_neg count image-finding pairs; `min_n` are needed.

    Args:
        predictions: image_id and one score column per finding, higher is more likely present.
        truth: image_id and the findings as 1, 0 or blank.
        groups: image_id, subject_id, and one column of group names per attribute; blank becomes "unknown".
        findings: columns to audit.
        thresholds: per finding for TPR and FPR (`score >= threshold`); by default Youden's on the audited rows, marked
            `fitted-on-test`. Intervals take thresholds as fixed.
        metric_names: some of auroc, tpr, fpr.
        n_replicates: bootstrap resamples of patients.
        seed: seed of the resampling.
        min_n: images in a metric's denominator below which a cell is `small`.
        min_patients: patients below which a denominator is `small`, without an interval, and a whole cell `suppressed`.

    Returns:
        A table with the columns of COLUMNS. An undefined number is NaN; `status` and `reason` say why.

    Raises:
        ValueError: see `join_tables`; or an unknown metric, too few replicates, or a missing threshold.

    Source: Field & Welsh, JRSS-B 2007 (cluster bootstrap); Westfall & Young 1993 (max-T); Newcombe, Stat. Med. 1998.
    """
    unknown = [name for name in metric_names if name not in METRICS]
    if unknown or not metric_names:
        raise ValueError(f"metric_names: wanted some of {METRICS}, found {list(metric_names)}")
    if n_replicates < 40:
        raise ValueError(f"n_replicates: wanted at least 40 for a 95 % interval, found {n_replicates}")

    table = join_tables(predictions, truth, groups, findings=findings)
    chosen = _resolve(thresholds, table)
    rule = EvidenceRule(min_n=min_n, min_patients=min_patients)

    # One draw of patients for all attributes, groups, findings and metrics.
    weights = metrics.patient_weights(table.subjects, n_replicates, np.random.default_rng(seed))
    once = metrics.unit_weights(len(table.subjects))

    shares, hidden = outcomes(table, chosen.by_finding), hidden_groups(table, rule)
    cells: list[Cell] = []
    for attribute in table.attributes:
        estimate = measure(table, attribute, chosen.by_finding, once)  # (1 c g m)
        resampled = measure(table, attribute, chosen.by_finding, weights)  # (r c g m)
        for g in range(len(attribute.groups)):
            cells += cells_of_group(
                table,
                attribute,
                g,
                estimate=estimate,
                resampled=resampled,
                metric_names=metric_names,
                rule=rule,
                outcomes=shares,
                hidden=hidden,
            )

    return _to_frame(cells, chosen, rule)


def read_subgroups(path: Path | str) -> pd.DataFrame:
    """Return a table of `disaggregate` that was saved as CSV. Blanks become NaN in columns of numbers only.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing.
    """
    words = {"finding", "attribute", "group", "metric", "family", "status", "reason", "threshold_policy"}
    blanks = {name: [""] for name in COLUMNS if name not in words}
    frame = pd.read_csv(path, dtype=dict.fromkeys(words, str), keep_default_na=False, na_values=blanks)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise ValueError(f"{path}: wanted the columns of a subgroup table, found none of {missing[:5]}")
    return frame


def _resolve(thresholds: Thresholds | Mapping[str, float] | None, table: AuditTable) -> Thresholds:
    """Return thresholds with their origin: given, given as plain numbers, or fitted on the audited rows themselves."""
    if thresholds is None:
        youden = metrics.ThresholdPolicy(rule="youden")
        fitted = metrics.fit_thresholds(
            table.truth, table.scores, findings=table.findings, policy=youden, fitted_on="test"
        )
        return Thresholds.of(fitted)

    if not isinstance(thresholds, Thresholds):
        thresholds = Thresholds(by_finding=thresholds, policy="declared", fitted_on="other-rows")
    missing = [finding for finding in table.findings if finding not in thresholds.by_finding]
    if missing:
        raise ValueError(f"thresholds: wanted one for every finding, found none for {missing[:5]}")
    return thresholds


def _to_frame(cells: Sequence[Cell], thresholds: Thresholds, rule: EvidenceRule) -> pd.DataFrame:
    """Return one row per cell, with the simultaneous intervals of the differences in each family."""
    frame = pd.DataFrame([_describe(cell, thresholds, rule) for cell in cells])
    frame["difference"] = frame["value"] - frame["rest"]

    # A family spans the whole table: all attributes, groups and metrics. A cell that is not testable is in none.
    frame[["difference_low", "difference_high"]] = np.nan
    for family in ("confirmatory", "exploratory"):
        rows = np.flatnonzero(frame["family"] == family).tolist()
        low, high = contrasts.simultaneous([cells[row].inside for row in rows], [cells[row].outside for row in rows])
        frame.loc[rows, "difference_low"], frame.loc[rows, "difference_high"] = low, high

    frame["flagged"] = (frame["difference_low"] > 0) | (frame["difference_high"] < 0)
    return frame[list(COLUMNS)]


def _describe(cell: Cell, thresholds: Thresholds, rule: EvidenceRule) -> dict[str, object]:
    """Return the row of one cell, with pointwise intervals of its value, its difference and its ratio to the rest."""
    interval = share_interval(cell.value, cell.draws, cell.support, min_patients=rule.min_patients)
    pointwise, ratio_interval = _compared(cell, rule)

    # A rate of zero has no multiple: the ratio is NaN where the rest is zero.
    ratio_value = float(ratio(np.array([cell.value]), np.array([cell.rest]))[0])

    family = "confirmatory" if cell.finding == MEAN else "exploratory"
    uses_threshold = cell.metric != "auroc"
    return {
        "finding": cell.finding,
        "attribute": cell.attribute,
        "group": cell.group,
        "metric": cell.metric,
        **asdict(cell.counts),
        "n_findings": cell.n_findings,
        # How large it is, and how it compares with everybody else.
        "value": cell.value,
        "low": interval.low,
        "high": interval.high,
        "rest": cell.rest,
        "pointwise_low": pointwise.low,
        "pointwise_high": pointwise.high,
        "ratio": ratio_value,
        "ratio_low": ratio_interval.low,
        "ratio_high": ratio_interval.high,
        # Whether it is tested, and what it rests on.
        "family": family if cell.testable else "",
        "status": cell.status,
        "reason": cell.reason,
        "threshold": thresholds.by_finding.get(cell.finding, np.nan) if uses_threshold else np.nan,
        "threshold_policy": thresholds.label if uses_threshold else "",
    }


def _compared(cell: Cell, rule: EvidenceRule) -> tuple[Interval, Interval]:
    """Return the pointwise intervals of difference and ratio: percentiles, or near 0 and 1 from those of both sides."""
    supports = (cell.support, cell.rest_support)
    patients = min(support.patients for support in supports)
    difference, multiple = (
        enough_patients(metrics.percentile_interval(draws), patients, rule.min_patients)
        for draws in (cell.draws - cell.rest_draws, ratio(cell.draws, cell.rest_draws))
    )

    if min(support.rare for support in supports) < MANY:
        if not difference.reason:
            ends = difference_limits(cell.inside, cell.outside, NORMAL)
            difference = difference._replace(low=ends[0], high=ends[1])
        if not multiple.reason:
            ends = ratio_limits(cell.inside, cell.outside, NORMAL)
            multiple = multiple._replace(low=ends[0], high=ends[1])
    return difference, multiple
