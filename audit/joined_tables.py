"""The tables of an audit, joined by image and checked: scores, truth, and the groups of each attribute."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from common.plain_values import one_spelling

OVERALL = "overall"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute and its groups. Each image is in exactly one group."""

    name: str
    groups: tuple[str, ...]
    codes: Int[np.ndarray, " n"]
    """The group of each image, an index into `groups`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTable:
    """Scores, truth and groups, sorted by image_id, so that the caller's row order does not matter."""

    findings: tuple[str, ...]
    scores: Float[np.ndarray, "n c"]
    truth: Float[np.ndarray, "n c"]
    """1 present, 0 absent, NaN not labelled (left out of that finding only)"""
    subjects: Shaped[np.ndarray, " n"]
    """The patient of each image"""
    attributes: tuple[Attribute, ...]
    """`OVERALL`, whose only group is everybody, then the caller's"""


def join_tables(
    predictions: pd.DataFrame, truth: pd.DataFrame, groups: pd.DataFrame, *, findings: Sequence[str]
) -> AuditTable:
    """Join the three tables by image_id, after the checks that metrics need.

    Args:
        predictions: image_id and one finite score column per finding.
        truth: image_id and one column per finding: 1, 0, or blank where the image carries no label.
        groups: image_id, subject_id, and one column of group names per attribute; blank becomes "unknown", and
            names that differ only in case are one group.
        findings: the columns to audit.

    Raises:
        ValueError: a column is missing, an id is missing, repeated or left over, a score is not finite, or a label is
            neither 0, 1 nor blank. The message names the first offenders.
    """
    findings = tuple(findings)
    if not findings:
        raise ValueError("findings: wanted at least one column to audit, found none")
    scored = _by_image(predictions, ["image_id", *findings], "predictions")
    labelled = _by_image(truth, ["image_id", *findings], "truth")
    grouped = _by_image(groups, ["image_id", "subject_id"], "groups")
    _same_ids(scored.index, labelled.index, "predictions", "truth")
    _same_ids(scored.index, grouped.index, "predictions", "groups")

    scores = scored[list(findings)].to_numpy(dtype=np.float64)
    labels = labelled[list(findings)].to_numpy(dtype=np.float64)
    _check_values(scores, labels, findings, list(scored.index))

    # Each further column of `groups` is an attribute.
    names = [column for column in groups.columns if column not in {"image_id", "subject_id"}]
    return AuditTable(
        findings=findings,
        scores=scores,
        truth=labels,
        subjects=_subjects(grouped["subject_id"]),
        attributes=(_everybody(len(scored)), *(_attribute(grouped[name]) for name in names)),
    )


def _by_image(frame: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
    """Return a table indexed and sorted by image_id, after checking its columns and ids."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name}: wanted the columns {missing}, found {list(frame.columns)[:20]}")
    if frame.empty:
        raise ValueError(f"{name}: the table has no rows, so there is nothing to audit")
    ids = frame["image_id"].astype(str)
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise ValueError(f"{name}: {len(repeated)} image_ids occur more than once, first {list(repeated[:3])}")
    return frame.set_axis(pd.Index(ids, name="image_id"), axis=0).sort_index()


def _same_ids(left: pd.Index, right: pd.Index, left_name: str, right_name: str) -> None:
    lacking, extra = left.difference(right), right.difference(left)
    if len(lacking) or len(extra):
        raise ValueError(
            f"{left_name} and {right_name} must hold the same images: {len(lacking)} only in {left_name} (first "
            f"{list(lacking[:3])}), {len(extra)} only in {right_name} (first {list(extra[:3])}); select the rows "
            "first and count those you leave out"
        )


def _check_values(
    scores: Float[np.ndarray, "n c"], labels: Float[np.ndarray, "n c"], findings: Sequence[str], ids: list[str]
) -> None:
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"predictions: {len(bad)} scores are not finite, first {findings[column]!r} of image {ids[row]!r}"
        )

    bad = np.argwhere(~np.isnan(labels) & (labels != 0) & (labels != 1))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"truth: {len(bad)} labels are neither 0, 1 nor blank, first {labels[row, column]:g} for "
            f"{findings[column]!r} of image {ids[row]!r}; decide on uncertain labels (-1) before the audit"
        )


def _subjects(column: "pd.Series[str]") -> Shaped[np.ndarray, " n"]:
    missing = column.index[column.isna() | (column.astype(str) == "")]
    if len(missing):
        raise ValueError(
            f"groups: {len(missing)} images have no subject_id, first {list(missing[:3])}; intervals resample patients"
        )
    return column.astype(str).to_numpy(dtype=str)


def _everybody(n: int) -> Attribute:
    return Attribute(name=OVERALL, groups=(OVERALL,), codes=np.zeros(n, np.int64))


def _attribute(column: "pd.Series[str]") -> Attribute:
    if column.name == OVERALL:
        raise ValueError(f"groups: {OVERALL!r} is the name of the row over everybody; rename this attribute")
    words = one_spelling(column.astype(object).where(column.notna(), "").astype(str))
    names = words.mask(words.eq("") | words.str.casefold().eq(UNKNOWN), UNKNOWN).to_numpy(dtype=str)
    ordered = tuple(sorted({str(name) for name in names}, key=_natural_order))
    codes = np.array([ordered.index(str(name)) for name in names], dtype=np.int64)
    return Attribute(name=str(column.name), groups=ordered, codes=codes)


def _natural_order(name: str) -> tuple[bool, list[tuple[int, str]]]:
    """Sort "5-18" before "18-40" and "unknown" last."""
    parts = re.findall(r"\d+|\D+", name)
    return name == UNKNOWN, [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
