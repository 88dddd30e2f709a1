"""Decisions of the radiologists who read CheXpert's test set, as arrays to compare with a model.

`rajpurkarlab/cheXpert-test-set-labels` has one CSV per reader: a row per study, named in `Study`, and a column per
finding in {1, 0}. The order of Lung Lesion and Lung Opacity differs between its files, so columns are read by name and
rows by study.
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
"""Files of the three radiologists who are compared with models; the other five made the ground truth"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Decisions of several readers on the same studies."""

    readers: tuple[str, ...]
    """File stem of every reader"""
    studies: tuple[str, ...]
    """Study of every row"""
    findings: tuple[str, ...]
    """Finding of every column"""
    decisions: Int[np.ndarray, "q n c"]
    """1 if reader q saw finding c in study n, else 0"""


def find_readings(root: Path) -> tuple[Path, ...]:
    """Return the files of the benchmark readers in `root` or below.

    Raises:
        FileNotFoundError: one of them is missing.
    """
    found = {name: table_below(root, name) if root.is_dir() else None for name in BENCHMARK}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"radiologists of CheXpert's test set: wanted {', '.join(BENCHMARK)} in {root} or below, found no "
            f"{', '.join(missing)}; they are in rajpurkarlab/cheXpert-test-set-labels, radiologists/"
            "benchmark_radiologists/"
        )
    return tuple(path for path in found.values() if path is not None)


def read_readings(paths: Sequence[Path], *, studies: Sequence[str], findings: Sequence[str]) -> Readings:
    """Return the readers' decisions on `studies` (rows) and `findings` (columns), in this order.

    A study is recognised by its last two parts: "CheXpert-v1.0/test/patient64741/study1" is "patient64741/study1".

    Args:
        paths: one file per reader.
        studies: studies wanted, such as the cohort's `study_id` of the scored images.
        findings: columns wanted.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a study or finding is missing or repeated, a decision is neither 1 nor 0, or there is no reader.
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
    """Return one reader's decisions."""
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
