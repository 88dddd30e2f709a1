"""Miniatures of the archives, packed as preprocessing would, and a model that takes no time."""

import csv
import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import models
from cohort import read_cohort, write_cohort
from cohort.sources.by_name import read_archive
from phantom.archive.physionet_layout import write_archive
from phantom.film import Film
from phantom.miniatures.writers import write_miniature
from phantom.patients import scenario_presets as presets
from zero_shot import ZeroShotConfig
from zero_shot.protocols.protocol import DATA

N_PATIENTS, SEED, SIDE = 12, 16, 32


def quick_film(body, lesions, *, view, exposure, image_size, rng):
    """Draw noise: labels are what is tested."""
    return Film(image=rng.integers(1, 256, (image_size, image_size), dtype=np.uint8), boxes={})


@dataclass
class Packed:
    """An archive's folder and what preprocessing leaves of it."""

    root: Path
    cxr: Path
    cohort: Path
    frame: pd.DataFrame


def _write(dataset, root):
    size = {"n_patients": N_PATIENTS, "seed": SEED, "image_size": SIDE, "draw": quick_film}
    if dataset == "mimic-cxr-jpg":
        write_archive(root, scenario=presets.default(), workers=1, **size)
    else:
        write_miniature(dataset, root, **size)
    return root / "CheXpert-v1.0" / "test" if dataset == "chexpert-test" else root


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """Return a function that gives an archive's miniature, written and packed once."""
    place = tmp_path_factory.mktemp("packed")

    @cache
    def pack(dataset):
        root = _write(dataset, place / dataset)
        frame, _ = read_archive(dataset, root, check_files=False)
        frame = frame.assign(h5_row=pd.array(np.arange(len(frame)), dtype="Int64"))
        frame["status"] = frame["status"].replace("listed", "packed")
        cxr, cohort = place / f"{dataset}.h5", place / f"{dataset}.csv"
        with h5py.File(cxr, "w") as file:
            pixels = np.random.default_rng(0).integers(1, 255, (len(frame), SIDE, SIDE), dtype=np.uint8)
            file.create_dataset("cxr", data=pixels)
            file.create_dataset("image_id", data=frame["image_id"].tolist(), dtype=h5py.string_dtype())
            file.attrs.update({"format_version": 1, "resolution": SIDE, "complete": True})
        write_cohort(frame, cohort)
        return Packed(root, cxr, cohort, read_cohort(cohort))

    return pack


@pytest.fixture(scope="session")
def toy(toy_architecture, tmp_path_factory):
    """Return the folder of the smallest model."""
    folder = tmp_path_factory.mktemp("toy") / "step_000001"
    models.save(models.build("toy", seed=0), folder)
    return folder


@pytest.fixture
def config(packed, tmp_path):
    """Return a function that gives the configuration of a protocol on a miniature."""

    def make(protocol, dataset, **options):
        archive = packed(dataset)
        defaults = {"checkpoints": ("none",), "cxr_filepath": archive.cxr, "cohort_filepath": archive.cohort}
        defaults |= {"n_replicates": 40, "device": "cpu", "out_dir": tmp_path / "out", "groups": ("sex",)}
        return ZeroShotConfig(**defaults | {"protocol": str(protocol)} | options)

    return make


@pytest.fixture
def altered(tmp_path):
    """Return a function that writes a shipped protocol with other fields and gives its path."""

    def alter(name, **fields):
        content = json.loads((DATA / f"{name}.json").read_text())
        for key, value in fields.items():
            content[key] = content[key] | value if isinstance(value, dict) else value
        path = tmp_path / f"{name}-altered.json"
        path.write_text(json.dumps(content))
        return path

    return alter


@pytest.fixture(scope="session")
def lines_of():
    """Return a reader of tables that knows nothing but the standard library: the oracle's eyes."""

    def read(path):
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        return list(csv.DictReader(text.splitlines()))

    return read


@pytest.fixture(scope="session")
def write_lines():
    """Return a writer of tables, likewise."""

    def write(path, rows):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write
