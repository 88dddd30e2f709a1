"""The ground truth of a protocol: the archive's own labels, by image id.

The readers of `cohort/sources/` keep an archive's own labels beside the 14 findings, as columns `own_LABEL` or as the
list `own_labels`, and preprocessing writes them into cohort.csv. So the truth is in the cohort table, or comes from the
archive's files through the same readers; only labels that no reader joins are read here.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cohort import FINDINGS, read_labels
from cohort.labels import to_labels
from cohort.sources import dataset_type_of
from cohort.sources.by_name import read_archive
from cohort.sources.label_map import OWN, listed_labels
from cohort.sources.words import whole_number
from zero_shot.protocols.frozen_list import read_image_list
from zero_shot.protocols.protocol import Protocol

LISTED = "own_labels"


def truth_table(
    protocol: Protocol, cohort: pd.DataFrame, findings: Sequence[str], *, truth_filepath: Path | None = None
) -> pd.DataFrame:
    """Return the labels in {1, 0, -1, NaN}: index `image_id`, columns `findings`; NaN is "not labelled".

    Of the cohort's 14 findings all are returned: whether an image was labelled at all is seen from the others too.

    Args:
        protocol: Says where its labels are.
        cohort: The cohort table, whose columns are the labels when `truth_filepath` is None.
        findings: The columns wanted.
        truth_filepath: A folder: the archive, read as it is distributed. A file: the protocol's label file, or for a
            protocol without one any CSV with `image_id` and the findings.

    Raises:
        FileNotFoundError: The protocol's labels are in a file that was not given, or nothing is there.
        ValueError: A column is missing, a value is no label, or a list is not the protocol's.
    """
    labels = protocol.labels
    if truth_filepath is None:
        if labels.needs_file:
            raise FileNotFoundError(
                f"protocol {protocol.name}: its labels ({labels.source}) are in no cohort table: wanted the file "
                f"{labels.file}, give it as --truth_filepath"
            )
        return native_labels(cohort, protocol, findings, where="the cohort table")
    if truth_filepath.is_dir() and not labels.needs_file:
        frame, _ = read_archive(protocol.datasets[0], truth_filepath, check_files=False)
        return native_labels(frame, protocol, findings, where=str(truth_filepath))
    if labels.form == "image list":
        return read_image_list(truth_filepath, labels, findings)
    if labels.study_column:
        return _by_study(truth_filepath, labels.study_column, cohort, findings)
    return read_labels(truth_filepath, findings)


def native_labels(frame: pd.DataFrame, protocol: Protocol, findings: Sequence[str], *, where: str) -> pd.DataFrame:
    """Return the labels that a cohort table holds, see `truth_table`.

    Args:
        frame: The cohort table, with the columns that the archive's reader adds.
        protocol: Says in which form the labels are.
        findings: The columns wanted.
        where: What the table is, for the message.

    Raises:
        ValueError: The table lacks the columns.
    """
    form = protocol.labels.form
    wanted = (*findings, *(name for name in FINDINGS if form == "findings" and name not in findings))
    spelt = {finding: protocol.labels.spellings.get(finding, finding) for finding in wanted}
    own = {name: OWN + raw for name, raw in spelt.items()}
    columns = {"findings": spelt, "listed": {LISTED: LISTED}}.get(form, own)
    missing = [column for column in columns.values() if column not in frame]
    if missing:
        raise ValueError(
            f"protocol {protocol.name}: {where} has no column {', '.join(missing[:5])}, which the reader of "
            f"{protocol.datasets[0]} writes; preprocess the archive with --dataset_type "
            f"{dataset_type_of(protocol.datasets[0])}, or name its folder as --truth_filepath"
        )
    if form == "listed":
        terms = frame[LISTED].map(lambda text: text.split("|") if text else None)
        found = listed_labels(terms, list(spelt.values())).set_axis(list(findings), axis=1)
    else:
        texts = {name: frame[column].astype("string").fillna("") for name, column in columns.items()}
        found = pd.DataFrame({name: to_labels(text, what=f"{where}, {name}") for name, text in texts.items()})
    return found.set_axis(pd.Index(frame["image_id"], name="image_id"), axis=0)


def _by_study(path: Path, column: str, cohort: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """Return labels that a file gives per study, for the images of those studies."""
    labels = read_labels(path, findings, id_column=column)
    labels.index = pd.Index(study_keys(labels.index.to_series()))
    if labels.index.has_duplicates:
        raise ValueError(f"{path}: the study {labels.index[labels.index.duplicated()][0]} has several rows")
    keys = study_keys(cohort["study_id"])
    known = keys.isin(labels.index).to_numpy(bool)
    if not known.any():
        raise ValueError(
            f"{path} names none of the cohort's {keys.nunique()} studies: it names {labels.index[0]}, the cohort "
            f"{keys.iloc[0]}"
        )
    return labels.loc[keys[known]].set_axis(pd.Index(cohort["image_id"][known], name="image_id"), axis=0)


def study_keys(names: pd.Series) -> pd.Series:
    """Return what the ways to name a study have in common.

    "CheXpert-v1.0/test/patient64741/study1" gives "patient64741/study1", and "50414267.0" gives "50414267".
    """
    return whole_number(names.str.split("/").str[-2:].str.join("/"))
