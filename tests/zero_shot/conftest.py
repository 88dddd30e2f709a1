"""Small stand-ins: a tiny model, a store of random images, a cohort table."""

import json
import runpy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

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


planted = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("planted.py"))))


@dataclass
class PlantedArchive:
    """An archive of planted films, and what is true of them."""

    planted: SimpleNamespace
    flags: list[str]
    """Store and cohort, as flags of a job"""
    truth: Path
    """Labels, severities and boxes"""
    sizes: Path
    texts: Path
    sides: np.ndarray
    """Of the first film's on: 1 left, 0 right, NaN both or absent; one column per finding"""
    present: np.ndarray


@pytest.fixture
def planted_archive(tmp_path, monkeypatch):
    """Write 300 planted films of 150 patients; a model is loaded by the name of what its text tower does."""
    rng, n = np.random.default_rng(0), 300
    sides = rng.choice([1.0, 0.0, np.nan], (n, planted.N), p=[0.25, 0.25, 0.5])
    present = (~np.isnan(sides) | (rng.random(sides.shape) < 0.3)).astype(float)
    ids = [f"film-{k:03d}" for k in range(n)]
    write_store(tmp_path / "cxr.h5", planted.films(present, sides), ids)

    cohort = pd.DataFrame({name: [""] * n for name in COLUMNS})
    cohort = cohort.assign(image_id=ids, view="PA", split="test", source="phantom", status="packed")
    cohort["subject_id"] = cohort["study_id"] = [f"p{k // 2}" for k in range(n)]
    for finding in FINDINGS:
        cohort[finding] = present[:, planted.FINDINGS.index(finding)] if finding in planted.FINDINGS else np.nan
    cohort["age_years"], cohort["h5_row"] = 50.0, pd.array(np.arange(n), dtype="Int64")
    write_cohort(cohort, tmp_path / "cohort.csv")

    # boxes lie in the half of the picture that shows the side: the patient's left is on the right of the picture
    boxes = [
        {name: [60, 0, 90, 9] if side == 1 else [10, 0, 40, 9] for name, side in zip(planted.FINDINGS, own, strict=True)
         if not np.isnan(side)}
        for own in sides
    ]  # fmt: skip
    truth = pd.DataFrame({"image_id": ids} | {name: present[:, k] for k, name in enumerate(planted.FINDINGS)})
    for k, name in enumerate(planted.FINDINGS):
        truth[f"severity_{name}"] = present[:, k] * rng.uniform(0.1, 1.0, n)
    truth["boxes"] = [json.dumps(own) for own in boxes]
    truth.sample(frac=1, random_state=0).to_csv(tmp_path / "truth.csv", index=False)
    pd.DataFrame({"dicom_id": ids, "Columns": 100, "Rows": 80}).to_csv(tmp_path / "sizes.csv", index=False)

    words = {"Pleural Effusion": "effusion", "Pneumothorax": "pneumothorax", "Cardiomegaly": "cardiomegaly"}
    texts = [
        " ".join(f"There is {'' if has else 'no '}{word}." for word, has in zip(words.values(), own, strict=False))
        for own in present
    ]
    pd.DataFrame({"filename": ids, "impression": texts, "image_id": ids}).to_csv(tmp_path / "texts.csv", index=False)

    monkeypatch.setattr(models, "load", lambda name: planted.planted_bundle(getattr(planted, Path(name).name)))
    flags = ["--cxr_filepath", str(tmp_path / "cxr.h5"), "--cohort_filepath", str(tmp_path / "cohort.csv")]
    return PlantedArchive(
        planted=planted,
        flags=[*flags, "--device", "cpu", "--n_replicates", "40", "--out_dir", str(tmp_path / "out")],
        truth=tmp_path / "truth.csv",
        sizes=tmp_path / "sizes.csv",
        texts=tmp_path / "texts.csv",
        sides=sides,
        present=present,
    )


@pytest.fixture
def run_job(monkeypatch, capsys):
    """Return a function that runs `run_zero_shot.py WORD FLAGS` and returns exit code, output and errors."""
    import run_zero_shot  # noqa: PLC0415

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["run_zero_shot.py", *map(str, arguments)])
        code = run_zero_shot.cli()
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run
