"""Ids that a table has more than once: which row counts, and what is said of the others.

Rows that agree in everything that is read are one row, written twice: the first one counts. Where they disagree, the
right one is unknown, and taking the first would be a guess that looks like data. An image with such rows keeps
one line in the cohort table, that of the first row, excluded, with the reason; an entry of a table that is joined to
the images (a split, labels, a patient) is taken for missing. All of it is counted in the flow as faults.
"""

from collections.abc import Sequence

import pandas as pd

from cohort.flow import Flow

REPEATS = "row repeats an image id"
DISAGREE = "rows with the same image id disagree"
_NO_ID = {"image_id": "row without an image id", "subject_id": "row without a patient id"}


def one_row_per_image(frame: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """Return the first row of every image, with `DISAGREE` as `status_reason` where its other rows say otherwise.

    A `status_reason` that is already there stays. Rows without an image or patient id name nothing and are left out.

    Args:
        frame: `image_id`, `subject_id`, `study_id` and everything else in which rows can disagree.
        flow: Receives the counts.
    """
    for column, words in _NO_ID.items():
        named = frame[column].str.strip().ne("")
        frame = frame if named.all() else flow.keep(frame, named, words, fault=True)
    torn = disagreeing(frame, ["image_id"])
    reasons = frame["status_reason"] if "status_reason" in frame else pd.Series("", index=frame.index)
    frame = frame.assign(status_reason=reasons.mask(torn & reasons.eq(""), DISAGREE))
    return flow.keep(frame, ~frame["image_id"].duplicated(), REPEATS, fault=True)


def one_row_per_key(
    table: pd.DataFrame, key: Sequence[str], *, images: pd.DataFrame, flow: Flow, name: str
) -> pd.DataFrame:
    """Return the rows of a table that is joined to the images, one per key; keys whose rows disagree have none.

    Args:
        table: The key's columns and everything else in which rows can disagree.
        key: Columns that should identify a row.
        images: The images that the table will be joined to, for the flow.
        flow: Receives the counts.
        name: The table's, for the flow.
    """
    torn, repeats = disagreeing(table, key), table.duplicated(list(key))
    flow.note(images, f"{name}: row repeats another one", rows=int((repeats & ~torn).sum()), fault=True)
    flow.note(images, f"{name}: rows with the same id disagree, none is used", rows=int(torn.sum()), fault=True)
    return table[~torn & ~repeats].reset_index(drop=True)


def disagreeing(table: pd.DataFrame, key: Sequence[str]) -> "pd.Series[bool]":
    """Return which rows have a key under which the table says different things."""
    distinct = table.drop_duplicates()
    keys = pd.MultiIndex.from_frame(table[list(key)])
    torn = pd.MultiIndex.from_frame(distinct.loc[distinct.duplicated(list(key)), list(key)])
    return pd.Series(keys.isin(torn), index=table.index)
