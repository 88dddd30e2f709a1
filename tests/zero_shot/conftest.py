"""Small stand-ins: a tiny model, a store of random images, a cohort table."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import models
from cohort import COLUMNS, FINDINGS, write_cohort

SIDE = 64
"""Side of the stand-ins' images, pixels."""


@pytest.fixture(scope="session", autouse=True)
def _small(one_thread):
    """Ask for it."""


@pytest.fixture(scope="session")
def bundle():
    """Return the CPU-sized model with random weights."""
    return models.build("phantom-tiny", seed=0)


@pytest.fixture(scope="session")
def checkpoint(bundle, tmp_path_factory):
    """Return a folder with that model, as training leaves it."""
    folder = tmp_path_factory.mktemp("run") / "step_000001"
    models.save(bundle, folder)
    return folder


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory):
    """Return a folder with a second model."""
    folder = tmp_path_factory.mktemp("run") / "another"
    models.save(models.build("phantom-tiny", seed=1), folder)
    return folder


def write_store(path, pixels, ids, **attributes):
    """Write an image store of format 1."""
    with h5py.File(path, "w") as file:
        file.create_dataset("cxr", data=pixels)
        file.create_dataset("image_id", data=ids, dtype=h5py.string_dtype())
        file.attrs.update({"format_version": 1, "resolution": pixels.shape[1], "complete": True, **attributes})


@dataclass
class Archive:
    """Paths of a small archive whose labels are readable from the pixels' mean."""

    cxr: Path
    cohort: Path
    frame: pd.DataFrame
    pixels: np.ndarray


def make_archive(folder, n=48, seed=0):
    """Write cxr.h5 and cohort.csv: two images per patient, the last quarter of the patients is the training split."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 255, (n, SIDE, SIDE), dtype=np.uint8)
    patient = np.arange(n) // 2
    frame = pd.DataFrame({name: [""] * n for name in COLUMNS})
    frame["image_id"] = [f"image-{k:03d}" for k in rng.permutation(n)]
    frame["subject_id"] = [f"p{k}" for k in patient]
    frame["study_id"] = [f"s{k}" for k in patient]
    frame["view"] = np.where(np.arange(n) % 12 == 5, "LATERAL", "PA")
    frame["split"] = np.where(patient >= n * 3 // 8, "train", "test")
    frame["source"], frame["status"] = "phantom", "packed"
    frame["sex"] = np.where(patient % 2, "F", "M")
    frame["race"] = np.where(patient % 3 == 0, "Black", "White")
    frame["age_years"] = 20.0 + patient
    for finding in FINDINGS:
        frame[finding] = rng.choice([1.0, 0.0, np.nan], n)
    frame["h5_row"] = pd.array(np.arange(n), dtype="Int64")
    write_store(folder / "cxr.h5", pixels, frame["image_id"].tolist())
    write_cohort(frame, folder / "cohort.csv")
    return Archive(folder / "cxr.h5", folder / "cohort.csv", frame, pixels)


@pytest.fixture
def archive(tmp_path):
    """Return a fresh small archive."""
    return make_archive(tmp_path)
