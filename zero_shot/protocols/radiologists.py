"""The radiologists who read CheXpert's test set, as arrays for a comparison with a model.

`rajpurkarlab/cheXpert-test-set-labels` has one CSV per reader: a row per study, named in `Study`, and a column per
finding in {1, 0}. Lung Lesion and Lung Opacity change places between its files, so columns are taken by name and rows
by study.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from cohort import read_labels
from cohort.sources.archive_files import table_below
from zero_shot.protocols.truth import study_keys

STUDY = "Study"
BENCHMARK = ("bc4.csv", "bc6.csv", "bc8.csv")
"""The three whose decisions are compared with models; the other five made the ground truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What several readers decided on the same studies."""

    readers: tuple[str, ...]
    """File stem of every reader."""
    studies: tuple[str, ...]
    """Study of every row, as it was asked for."""
    findings: tuple[str, ...]
    """Finding of every column."""
    decisions: Int[np.ndarray, "q n c"]
    """1 where reader q saw finding c in study n, else 0."""


def find_readings(root: Path) -> tuple[Path, ...]:
    """Return the files of the benchmark readers in `root` or below.

    Raises:
        FileNotFoundError: One of them is not there.
    """
    found = {name: table_below(root, name) if root.is_dir() else None for name in BENCHMARK}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"radiologists of CheXpert's test set: wanted {', '.join(BENCHMARK)} in {root} or below, found no "
            f"{', '.join(missing)}. They are in rajpurkarlab/cheXpert-test-set-labels, radiologists/"
            "benchmark_radiologists/"
        )
    return tuple(path for path in found.values() if path is not None)


def read_readings(paths: Sequence[Path], *, studies: Sequence[str], findings: Sequence[str]) -> Readings:
    """Return the readers' decisions on `studies`, in their order, and on `findings`, in theirs.

    A study is recognised by its last two parts: "CheXpert-v1.0/test/patient64741/study1" is "patient64741/study1".

    Args:
        paths: One file per reader.
        studies: Studies wanted, such as the cohort's `study_id` of the scored images.
        findings: Columns wanted.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A study or finding is missing or repeated, a decision is blank or none of 1, 0, or no reader.
    """
    if not paths:
        raise ValueError("radiologists: wanted one file per reader, found none")
    wanted = study_keys(pd.Series(list(studies), dtype=str))
    decisions = np.stack([_decisions(path, wanted, findings) for path in paths])
    return Readings(
        readers=tuple(path.name.split(".")[0] for path in paths),
        studies=tuple(studies),
        findings=tuple(findings),
        decisions=decisions,
    )


def _decisions(path: Path, wanted: pd.Series, findings: Sequence[str]) -> Int[np.ndarray, "n c"]:
    table = read_labels(path, findings, id_column=STUDY)
    table.index = pd.Index(study_keys(table.index.to_series()))
    missing = sorted(set(wanted) - set(table.index))
    if missing:
        raise ValueError(f"{path} has no row for {len(missing)} of {len(wanted)} studies, first {missing[0]}")
    if table.index.has_duplicates:
        raise ValueError(f"{path} has several rows for study {table.index[table.index.duplicated()][0]}")
    rows = table.loc[wanted]
    undecided = rows.index[~rows.isin([0.0, 1.0]).all(axis=1)]
    if len(undecided):
        raise ValueError(f"{path}: wanted 1 or 0, found something else for study {undecided[0]}")
    return rows.to_numpy(dtype=np.int64)
