"""One cell of an audit: the evidence for it, whether that is enough, its value, and the mean over findings.

A cell is one finding (or the mean) x attribute x group x metric. The rule for enough evidence is `metrics.evidence`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

import metrics
from audit.joined_tables import OVERALL, Attribute, AuditTable
from audit.replicates import METRICS, CellReplicates
from metrics.evidence import MEAN, NOT_IN_MEAN, EvidenceCounts, EvidenceRule, count_evidence
from metrics.resampling import patient_numbers
from metrics.share_intervals import Share, Support, auroc_support, rate_support


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How much there is of one finding in a group, outside the group, and overall."""

    inside: EvidenceCounts
    outside: EvidenceCounts
    overall: EvidenceCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row of the audit table with its r replicates, before families are tested."""

    finding: str
    attribute: str
    group: str
    metric: str
    counts: EvidenceCounts
    n_findings: int
    """Findings that the value averages; 1 for a single finding"""
    value: float
    """In the group; NaN if undefined or suppressed"""
    rest: float
    """Outside the group"""
    draws: Float[np.ndarray, " r"]
    """Replicates of `value`"""
    rest_draws: Float[np.ndarray, " r"]
    """Replicates of `rest`, from the same draws of patients"""
    support: Support
    """What the interval of `value` rests on"""
    rest_support: Support
    """What the interval of `rest` rests on"""
    status: str
    reason: str
    testable: bool
    """Whether the difference belongs to a family that is tested"""
    in_mean: bool
    """Whether the finding enters the group's mean"""

    @property
    def inside(self) -> Share:
        """Return the share in the group."""
        return Share(self.value, self.draws, self.support)

    @property
    def outside(self) -> Share:
        """Return the share outside the group."""
        return Share(self.rest, self.rest_draws, self.rest_support)


def count_cell(table: AuditTable, finding: int, members: Bool[np.ndarray, " n"]) -> EvidenceCounts:
    """Count the labelled images of `members`, and their patients."""
    return count_evidence(table.truth[members, finding], table.subjects[members])


def cells_of_group(
    table: AuditTable,
    attribute: Attribute,
    g: int,
    *,
    estimate: CellReplicates,
    resampled: CellReplicates,
    metric_names: Sequence[str],
    rule: EvidenceRule,
    outcomes: Mapping[str, Float[np.ndarray, "n c"]],
    hidden: Sequence[Mapping[tuple[str, int], str]],
) -> list[Cell]:
    """Return the cells of one group, metric by metric: each finding, then their mean.

    Args:
        table: the joined tables.
        attribute: that the group belongs to.
        g: number of the group.
        estimate: the metrics themselves.
        resampled: their replicates.
        metric_names: metrics to return.
        rule: for enough evidence.
        outcomes: of `replicates.outcomes`.
        hidden: of `suppression.hidden_groups`.
    """
    members = attribute.codes == g
    everybody = np.ones_like(members)
    outsiders = everybody if attribute.name == OVERALL else ~members

    # The counts do not depend on the metric.
    evidence = [
        Evidence(
            inside=count_cell(table, c, members),
            # Nobody is outside the overall group: it is compared with itself, and never tested.
            outside=count_cell(table, c, outsiders),
            overall=count_cell(table, c, everybody),
        )
        for c in range(len(table.findings))
    ]

    unit, _ = patient_numbers(table.subjects)
    sides = {"members": members, "outsiders": outsiders}
    cells = []
    for metric in metric_names:
        m = METRICS.index(metric)
        supports = _Supports(metric=metric, outcomes=outcomes[metric], scores=table.scores, unit=unit, **sides)
        single = [
            _single(
                table,
                attribute,
                (c, g, m),
                evidence=evidence[c],
                estimate=estimate.at(c, g, m),
                draws=resampled.at(c, g, m),
                rule=rule,
                supports=supports,
                withheld=hidden[c].get((attribute.name, g), ""),
            )
            for c in range(len(table.findings))
        ]
        cells += [*single, _mean(table, attribute, g, single, rule=rule, supports=supports)]
    return cells


@dataclass(frozen=True, slots=True, kw_only=True)
class _Supports:
    """What the shares of one metric rest on, inside and outside a group."""

    metric: str
    outcomes: Float[np.ndarray, "n c"]
    scores: Float[np.ndarray, "n c"]
    unit: Int[np.ndarray, " n"]
    members: Bool[np.ndarray, " n"]
    outsiders: Bool[np.ndarray, " n"]

    def of(self, findings: Sequence[int], *, outside: bool = False) -> Support:
        """Return the support of a metric of one finding, or of its mean over several."""
        images = self.outsiders if outside else self.members
        outcomes, unit = self.outcomes[images][:, findings], self.unit[images]
        if self.metric == "auroc":
            return auroc_support(outcomes, self.scores[images][:, findings], unit)
        return rate_support(outcomes, unit)


def _single(
    table: AuditTable,
    attribute: Attribute,
    at: tuple[int, int, int],
    *,
    evidence: Evidence,
    estimate: tuple[Float[np.ndarray, " 1"], Float[np.ndarray, " 1"]],
    draws: tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]],
    rule: EvidenceRule,
    supports: _Supports,
    withheld: str,
) -> Cell:
    """Return the cell of one finding; `estimate` and `draws` are pairs of the group's values and the rest's.

    `withheld` is the reason why the group is suppressed though it is large enough.
    """
    c, g, m = at
    metric = METRICS[m]
    value, rest = float(estimate[0][0]), float(estimate[1][0])

    # 1. Is there enough evidence, in the group and outside it?
    status, reason = _judge(rule, evidence.inside, metric, value)
    if withheld and status != "suppressed":
        status, reason = "suppressed", withheld
    rest_status, rest_reason = rule.judge(evidence.outside, metric)
    if status == "ok" and rest_status != "ok":
        reason = f"no test, because outside the group: {rest_reason}"

    # 2. Withhold what could tell about single patients. The rest goes with a suppressed group: with two groups it is
    #    the other one, and a difference gives away the value that it was taken from.
    hidden = status == "suppressed"
    hidden_rest = "suppressed" in {status, rest_status}
    nothing = np.full_like(draws[0], np.nan)
    value, own_draws = (np.nan, nothing) if hidden else (value, draws[0])
    rest, rest_draws = (np.nan, nothing) if hidden_rest else (rest, draws[1])

    # 3. Say so if too many resamples leave the value without an interval.
    if not np.isnan(value):
        reason = "; ".join(filter(None, [reason, metrics.percentile_interval(own_draws).reason]))

    return Cell(
        finding=table.findings[c],
        attribute=attribute.name,
        group=attribute.groups[g],
        metric=metric,
        counts=evidence.inside,
        n_findings=1,
        value=value,
        rest=rest,
        draws=own_draws,
        rest_draws=rest_draws,
        support=supports.of([c]),
        rest_support=supports.of([c], outside=True),
        status=status,
        reason=reason,
        testable=status == rest_status == "ok" and attribute.name != OVERALL,
        in_mean=(
            table.findings[c] not in NOT_IN_MEAN and not np.isnan(value) and _enough_for_mean(rule, evidence, metric)
        ),
    )


def _judge(rule: EvidenceRule, counts: EvidenceCounts, metric: str, value: float) -> tuple[str, str]:
    """Return (status, reason) by the rule, or that there was no threshold to compute a rate with."""
    status, reason = rule.judge(counts, metric)
    if np.isnan(value) and status in {"ok", "small"}:
        return "undefined:no threshold", "the threshold was fitted on rows of one class"
    return status, reason


def _enough_for_mean(rule: EvidenceRule, evidence: Evidence, metric: str) -> bool:
    """Return whether a finding may enter a group's mean: enough of it overall, and enough patients on both sides.

    The mean pools evidence over findings, so `min_n` images are wanted of the pool and not of each finding.
    """
    sides = replace(rule, min_n=0)
    judged = (
        rule.judge(evidence.overall, metric),
        sides.judge(evidence.inside, metric),
        sides.judge(evidence.outside, metric),
    )
    return all(status == "ok" for status, _ in judged)


def _mean(
    table: AuditTable, attribute: Attribute, g: int, cells: Sequence[Cell], *, rule: EvidenceRule, supports: _Supports
) -> Cell:
    """Average the findings of which there is enough, both in the group and outside it.

    If there is no such finding, the counts of the row are those of all findings.
    """
    candidates = [cell for cell in cells if cell.finding not in NOT_IN_MEAN]
    used = [cell for cell in candidates if cell.in_mean]
    counts = _pooled_counts(table, attribute.codes == g, used or candidates)
    columns = [table.findings.index(cell.finding) for cell in used]

    status, reason = rule.judge(counts, cells[0].metric)
    if not used and status != "suppressed":
        status, reason = "undefined:no finding", "too few patients per finding"

    # Averaged within each replicate, so that the interval reflects how findings vary together.
    undefined = np.full_like(cells[0].draws, np.nan)  # (r,)
    value = float(np.mean([cell.value for cell in used])) if used else np.nan
    rest = float(np.mean([cell.rest for cell in used])) if used else np.nan
    return Cell(
        finding=MEAN,
        attribute=attribute.name,
        group=attribute.groups[g],
        metric=cells[0].metric,
        counts=counts,
        n_findings=len(used),
        value=value,
        rest=rest,
        draws=np.mean([cell.draws for cell in used], axis=0) if used else undefined,
        rest_draws=np.mean([cell.rest_draws for cell in used], axis=0) if used else undefined,
        support=supports.of(columns),
        rest_support=supports.of(columns, outside=True),
        status=status,
        reason=reason,
        testable=status == "ok" and attribute.name != OVERALL,
        in_mean=False,
    )


def _pooled_counts(table: AuditTable, members: Bool[np.ndarray, " n"], cells: Sequence[Cell]) -> EvidenceCounts:
    """Count image-finding pairs over several findings, and their patients; a patient can have both classes."""
    labels = table.truth[:, [table.findings.index(cell.finding) for cell in cells]]  # (n findings)
    return EvidenceCounts(
        n=int(members.sum()),
        n_pos=int((labels[members] == 1).sum()),
        n_neg=int((labels[members] == 0).sum()),
        patients=_count_patients(table, members),
        patients_pos=_count_patients(table, members & (labels == 1).any(axis=1)),
        patients_neg=_count_patients(table, members & (labels == 0).any(axis=1)),
    )


def _count_patients(table: AuditTable, images: Bool[np.ndarray, " n"]) -> int:
    """Return how many different patients the images belong to."""
    return len(np.unique(table.subjects[images]))
