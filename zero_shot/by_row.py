"""Images without ids and their labels by row, as CheXzero pairs its cxr.h5 with groundtruth.csv."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cohort import COLUMNS, FINDINGS, ImageStore, open_images, read_cohort, read_labels
from cohort._csv import read_strings
from zero_shot.zero_shot_config import ZeroShotConfig

NAMES = ("image_id", "Path", "Study")
"""Columns that may name an image, the first that is there"""
PATIENT = r"(patient\d+)"


def cohort_of(config: ZeroShotConfig) -> tuple[ZeroShotConfig, pd.DataFrame, tuple[str, ...]]:
    """Return the cohort table, or one made for images without ids; then every row is scored, and nothing fitted."""
    if config.cohort_filepath is not None:
        return config, read_cohort(config.cohort_filepath), ()
    if config.protocol:
        raise ValueError(f"--cohort_filepath None: protocol {config.protocol} wants a cohort table")
    with open_images(config.cxr_filepath) as store:
        cohort, notes = cohort_by_row(store, config.truth_filepath)
    return replace(config, split="all", views="all", fit_split=""), cohort, notes


def cohort_by_row(store: ImageStore, truth_filepath: Path | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a cohort table for the rows of a store without ids, and notes on what is not known.

    A patient is recognised in a name such as "CheXpert-v1.0/test/patient64741/study1"; otherwise every image counts as
    a patient of its own.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the store has ids, there is no file of labels, or not one row of it for each image.
    """
    if store.image_ids is not None:
        raise ValueError(f"--cohort_filepath None: {store.path} has image ids; give the cohort.csv written with it")
    if truth_filepath is None:
        raise ValueError("--cohort_filepath None: wanted labels as --truth_filepath, a row for each image; found none")
    table = read_strings(truth_filepath, columns=[], what="the labels")
    if len(table) != len(store):
        raise ValueError(
            f"--truth_filepath {truth_filepath} has {len(table)} rows, but {store.path} has {len(store)} images: "
            "without ids they are joined by row"
        )

    named = next((table[name] for name in NAMES if name in table and not table[name].duplicated().any()), None)
    ids = [f"row {row}" for row in range(len(table))] if named is None else named.tolist()
    patients = pd.Series(ids).str.extract(PATIENT, expand=False)
    known = bool(patients.notna().all())
    notes = [f"{store.path} and {truth_filepath} have no common ids: their {len(store)} rows are joined by position"]
    if not known:
        notes.append(
            "No patients are known: every image counts as a patient of its own, and intervals may be too narrow"
        )

    cohort = pd.DataFrame({name: [""] * len(ids) for name in COLUMNS})
    cohort = cohort.assign(image_id=ids, study_id=ids, subject_id=patients if known else ids, status="packed")
    cohort["h5_row"] = pd.array(np.arange(len(ids)), dtype="Int64")
    cohort["age_years"] = np.nan
    cohort[list(FINDINGS)] = np.nan
    return cohort, tuple(notes)


def labels_by_row(truth_filepath: Path, findings: Sequence[str], image_ids: Sequence[str]) -> pd.DataFrame:
    """Return labels by row as labels of these images, index `image_id`."""
    labels = read_labels(truth_filepath, findings, id_column=None)
    return labels.set_axis(pd.Index(list(image_ids), name="image_id"), axis=0)
