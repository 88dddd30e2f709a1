"""Under-reporting by group: the share of truly present findings that the reports mention, where the truth is known."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pandas as pd

from audit.subgroups import disaggregate
from metrics.evidence import MEAN, MIN_N, MIN_PATIENTS, NOT_IN_MEAN

POOLED = "all findings"


def report_sensitivity(
    labels: pd.DataFrame,
    truth: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    findings: Sequence[str],
    n_replicates: int = 1000,
    seed: int = 0,
    min_n: int = MIN_N,
    min_patients: int = MIN_PATIENTS,
) -> pd.DataFrame:
    """Return the share of truly present findings that the report mentions, per group, and how far it falls short.

        value     = (image, finding) pairs that are mentioned / pairs that are present
        shortfall = 1 - value / rest: the share of mentions that the group lacks, compared with everybody else

    A mention is a label of 1 or -1 (uncertain): the radiologist saw something. The pooled rows ("all findings") are the
    confirmatory family, the single findings the exploratory one. Columns, intervals and `flagged` are those of
    `disaggregate`, with three more for the shortfall. "No Finding" is left out, as the absence of the others.

    Args:
        labels: image_id and the report labels: 1, 0, -1 or blank (not mentioned).
        truth: image_id and what the image really shows: 1, 0 or blank.
        groups: image_id, subject_id, and one column of group names per attribute.
        findings: columns to compare.
        n_replicates: bootstrap resamples of patients.
        seed: seed of the resampling.
        min_n: present pairs below which a cell is `small`.
        min_patients: patients below which a cell is `small` or `suppressed`.

    Raises:
        ValueError: see `disaggregate`; or a label is not 1, 0, -1 or blank; or no finding is present in any image.
    """
    findings = [finding for finding in findings if finding not in NOT_IN_MEAN]
    said, present = _mentions(labels, findings), truth[["image_id", *findings]].replace(0, np.nan)
    options: _Options = {
        "metric_names": ["tpr"],
        "n_replicates": n_replicates,
        "seed": seed,
        "min_n": min_n,
        "min_patients": min_patients,
    }

    # The mentions are audited like a model that answers 0 or 1: its sensitivity is the share mentioned. The single
    # findings come first, because `disaggregate` checks the ids there, while they are still those of images.
    cutoffs = dict.fromkeys([*findings, POOLED], 0.5)
    single = disaggregate(said, present, groups, findings=findings, thresholds=cutoffs, **options)

    # Pooled: one row per present (image, finding), as if it were an image of one finding.
    pairs = _pairs(said, present, groups)
    pooled = disaggregate(
        pairs[["image_id", "said"]].rename(columns={"said": POOLED}),
        pairs[["image_id", POOLED]],
        pairs[groups.columns],
        findings=[POOLED],
        thresholds=cutoffs,
        **options,
    )

    pooled = pooled[pooled["finding"] == MEAN].assign(finding=POOLED)
    table = pd.concat([pooled, single[single["finding"] != MEAN]], ignore_index=True)
    return table.assign(
        shortfall=1 - table["ratio"], shortfall_low=1 - table["ratio_high"], shortfall_high=1 - table["ratio_low"]
    )


class _Options(TypedDict):
    metric_names: list[str]
    n_replicates: int
    seed: int
    min_n: int
    min_patients: int


def _mentions(labels: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    missing = [column for column in ("image_id", *findings) if column not in labels.columns]
    if missing:
        raise ValueError(f"labels: wanted the columns {missing}, found {list(labels.columns)[:20]}")
    values = labels[list(findings)]
    if not (values.isna() | values.isin([0, 1, -1])).to_numpy().all():
        raise ValueError("labels: wanted 1, 0, -1 (uncertain) or blank for each finding, found other values")
    return pd.concat([labels[["image_id"]], values.isin([1, -1]).astype(float)], axis=1)


def _pairs(said: pd.DataFrame, present: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Return one row per image and finding that is present in it, with whether it was said and the image's groups."""
    pairs = present.melt("image_id", var_name="finding", value_name=POOLED).dropna()
    if pairs.empty:
        raise ValueError("truth: no image shows any of the findings, so no report can miss one")
    pairs = pairs.merge(said.melt("image_id", var_name="finding", value_name="said"), on=["image_id", "finding"])
    pairs = pairs.merge(groups, on="image_id")
    return pairs.assign(image_id=pairs["image_id"].astype(str) + " " + pairs["finding"])
