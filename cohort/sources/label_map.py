"""An archive's own labels as the 14 findings, by tables kept as data: `cohort/tables/labels/`.

Each row says how an own label relates to a finding:

    same     the label is the finding under another name: its absence is the finding's absence
    part     together with the other parts it is the finding: Mass and Nodule are Lung Lesion
    implies  the label is one kind of the finding: its presence says that the finding is there, its absence nothing

So a finding is present if any related label is, absent only if all that are "same" or "part" are absent, and blank if
that cannot be told. A finding that no label is related to stays blank: an archive that never labels fractures does not
say that there are none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cohort._csv import read_strings, some
from cohort.names import FINDINGS
from cohort.value_tables import TABLES

RELATIONS = ("same", "part", "implies")
OWN = "own_"
"""Prefix of an archive's own labels in a cohort table: `own_Infiltration`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMap:
    """How the labels of one archive relate to the findings."""

    name: str
    """File name, for the record."""
    related: Mapping[str, Mapping[str, str]]
    """Finding -> own label -> relation."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All own labels that are related to a finding, once each, in the table's order."""
        return tuple(dict.fromkeys(label for labels in self.related.values() for label in labels))


def read_label_map(name: str) -> LabelMap:
    """Return a table of `cohort/tables/labels/` with the columns raw, finding and relation.

    Raises:
        ValueError: A finding or relation that does not exist.
    """
    frame = read_strings(TABLES / "labels" / name, columns=["raw", "finding", "relation"], what="label map")
    wrong = frame[~frame["finding"].isin(FINDINGS) | ~frame["relation"].isin(RELATIONS)]
    if len(wrong):
        raise ValueError(
            f"label map {name}: wanted one of the 14 findings and one of {some(RELATIONS)}; "
            f"look at {some(wrong['raw'])}"
        )
    related: dict[str, dict[str, str]] = {}
    for raw, finding, relation in zip(frame["raw"], frame["finding"], frame["relation"], strict=True):
        related.setdefault(finding, {})[raw] = relation
    return LabelMap(name=name, related=related)


def add_findings(frame: pd.DataFrame, own: pd.DataFrame, table: LabelMap) -> pd.DataFrame:
    """Return the images with the 14 findings, each 1, 0, -1 or blank by the rule at the top of this file.

    Args:
        frame: The images, (n,).
        own: The archive's labels, one column each, float in {1, 0, -1, NaN}, under the index of `frame`.
        table: `read_label_map`.
    """
    blank = pd.Series(np.nan, index=frame.index)
    findings = {name: _finding(own, table.related[name]) if name in table.related else blank for name in FINDINGS}
    return frame.assign(**findings)


def own_columns(own: pd.DataFrame) -> pd.DataFrame:
    """Return the archive's labels as extra columns of a cohort table: whole numbers, named `own_LABEL`."""
    return own.astype("Int8").add_prefix(OWN)


def add_own_labels(frame: pd.DataFrame, own: pd.DataFrame, table: str) -> pd.DataFrame:
    """Return the images with the 14 findings, and the archive's labels as `own_LABEL`.

    Args:
        frame: The images, (n,).
        own: See `add_findings`.
        table: Name of the table in `cohort/tables/labels/`.
    """
    found = add_findings(frame, own, read_label_map(table))
    return pd.concat([found, own_columns(own)], axis=1)


def listed_labels(lists: pd.Series, names: Sequence[str]) -> pd.DataFrame:
    """Return one column per name: 1 where the row's list holds it, 0 where not, NaN where the row has no list.

    A list may qualify a label, as in "Cardiomegaly/borderline": it counts for "Cardiomegaly" and for
    "Cardiomegaly/borderline", if these are asked for.

    Args:
        lists: A list of labels, or None for a row that was never labelled, (n,).
        names: The columns, in the order wanted.
    """
    holders: dict[str, list[int]] = {name: [] for name in names}
    for row, labels in enumerate(lists):
        for name in {prefix for label in labels or () for prefix in _prefixes(label)} & holders.keys():
            holders[name].append(row)
    labelled = np.where(lists.isna(), np.nan, 0.0)
    columns = {}
    for name, rows in holders.items():
        columns[name] = labelled.copy()
        columns[name][rows] = 1.0
    return pd.DataFrame(columns, index=lists.index)


def _prefixes(label: str) -> list[str]:
    parts = label.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _finding(own: pd.DataFrame, relations: Mapping[str, str]) -> pd.Series:
    related = own[list(relations)]
    whole = own[[label for label, relation in relations.items() if relation != "implies"]]
    absent = whole.eq(0.0).all(axis=1) & bool(len(whole.columns))
    values = np.select([related.eq(1.0).any(axis=1), related.eq(-1.0).any(axis=1), absent], [1.0, -1.0, 0.0], np.nan)
    return pd.Series(values, index=own.index)
