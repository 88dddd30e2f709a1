"""Writes a simulated archive in PhysioNet's folders: MIMIC-CXR-JPG, MIMIC-CXR, MIMIC-IV, and the truth beside them."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from tqdm import tqdm

from common.atomic import write_json, write_text
from phantom.archive import mimic_tables as tables
from phantom.archive.hospital_tables import hospital_tables
from phantom.body import Body, Box, Exposure, Lesion, View
from phantom.film import Film, draw_film
from phantom.patients.population import Patient, simulate
from phantom.patients.scenario import Scenario
from phantom.reports.radiology_report import Report, write_report

VERSION = 1
"""Increased whenever the same parameters give other files"""

IMAGES = "mimic-cxr-jpg/2.1.0"
REPORTS = "mimic-cxr/2.1.0"
HOSPITAL = "mimiciv/3.1/hosp"

_SCENARIO_FILE = "scenario.json"
_JPEG_QUALITY = 95
_CHUNK = 8

Draw = Callable[..., Film]
"""`draw_film`, or a stand-in with its signature that can be pickled by name"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The folder of an archive, and its size."""

    root: Path
    """Folder of the archive"""
    n_patients: int
    """Number of patients"""
    n_studies: int
    """Number of studies, one report each"""
    n_images: int
    """Number of films"""
    reused: bool
    """Whether the same archive existed already and nothing was written"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _FilmJob:
    """Everything needed to draw one film, so that every worker draws the same bytes."""

    path: Path
    body: Body
    lesions: tuple[Lesion, ...]
    view: View
    exposure: Exposure
    image_size: int
    seed: tuple[int, ...]
    draw: Draw


@dataclass(frozen=True, slots=True, kw_only=True)
class _FilmFile:
    size: tuple[int, int]
    boxes: dict[str, Box]


def write_archive(
    out_dir: Path | str,
    *,
    scenario: Scenario,
    n_patients: int,
    seed: int,
    image_size: int,
    views: Literal["all", "frontal"] = "all",
    workers: int | None = None,
    draw: Draw = draw_film,
) -> Archive:
    """Write a simulated archive below `out_dir`; the same arguments give the same bytes, whatever `workers` is.

    The last step marks `scenario.json` as complete. A complete archive of the same parameters is left as it is; an
    interrupted one is written again.

    Args:
        out_dir: A new or empty folder, or one that holds a phantom of the same parameters.
        scenario: The planted numbers.
        n_patients: Number of patients, 1 or more.
        seed: Seed of the random numbers, 0 or more.
        image_size: Longest side of the films in pixels, 32 to 4096.
        views: "frontal" leaves the lateral films out; patients and reports stay the same.
        workers: Number of processes that draw; None: one per CPU core.
        draw: Draws one film.

    Raises:
        ValueError: If an argument is out of range, or `out_dir` holds anything else.
    """
    if not 32 <= image_size <= 4096:
        raise ValueError(f"image_size is the longest side in pixels: wanted 32 to 4096, found {image_size}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be 1 or more, or left out for one per CPU core; found {workers}")

    root = Path(out_dir)
    parameters = _parameters(scenario, n_patients, seed, image_size, views)
    patients = simulate(scenario, n_patients=n_patients, seed=seed)
    if views == "frontal":
        patients = tuple(_without_lateral(patient) for patient in patients)
    archive = Archive(
        root=root,
        n_patients=n_patients,
        n_studies=sum(len(patient.studies) for patient in patients),
        n_images=sum(1 for _ in tables.every_image(patients)),
        reused=_is_complete(root, parameters),
    )
    if archive.reused:
        return archive

    write_json(root / _SCENARIO_FILE, {"complete": False, **parameters})
    _write_records(root, patients, scenario=scenario, seed=seed)

    # Only drawing takes time, so only it is spread over processes.
    jobs = _jobs(root, patients, scenario=scenario, seed=seed, image_size=image_size, draw=draw)
    drawn = list(tqdm(_draw_all(jobs, workers or os.cpu_count() or 1), total=len(jobs), desc="drawing", unit="film"))
    _write_image_tables(root, patients, drawn, scenario=scenario, seed=seed)

    counts = {"n_studies": archive.n_studies, "n_images": archive.n_images}
    write_json(root / _SCENARIO_FILE, {"complete": True, **parameters, **counts})
    return archive


def _without_lateral(patient: Patient) -> Patient:
    """Return the patient as imaged from the front only."""
    studies = [
        replace(study, images=tuple(image for image in study.images if image.view != "LATERAL"))
        for study in patient.studies
    ]
    return replace(patient, studies=tuple(studies))


def _parameters(scenario: Scenario, n_patients: int, seed: int, image_size: int, views: str) -> dict[str, Any]:
    return {
        "version": VERSION,
        "seed": seed,
        "n_patients": n_patients,
        "image_size": image_size,
        "views": views,
        "scenario": scenario.to_json(),
    }


def _is_complete(root: Path, parameters: dict[str, Any]) -> bool:
    """Say whether the complete archive exists already.

    Raises:
        ValueError: If the folder holds anything else.
    """
    if root.exists() and not root.is_dir():
        raise ValueError(f"out_dir must be a folder, but {root} is a file")
    if not root.is_dir() or not any(root.iterdir()):
        return False

    path = root / _SCENARIO_FILE
    if not path.is_file():
        raise ValueError(f"{root} is not empty and holds no phantom (no {_SCENARIO_FILE}): choose another out_dir")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON ({error}): remove {root} or choose another out_dir") from error

    for name, wanted in json.loads(json.dumps(parameters)).items():
        if found.get(name) != wanted:
            both = f" {found.get(name)!r}, not {wanted!r}" if name != "scenario" else " another one"
            raise ValueError(f"{root} holds a phantom whose {name} is{both}: remove it or choose another out_dir")
    return bool(found["complete"])


def _write_records(root: Path, patients: Sequence[Patient], *, scenario: Scenario, seed: int) -> None:
    """Write reports and tables that do not depend on the images."""
    written = _reports(patients, scenario=scenario, seed=seed)
    tables.write_report_files(root / REPORTS, patients, written)
    tables.write_csv_gz(root / REPORTS / "cxr-record-list.csv.gz", tables.records(patients))
    tables.write_csv_gz(root / REPORTS / "cxr-study-list.csv.gz", tables.studies(patients))

    prefix = root / IMAGES / "mimic-cxr-2.0.0"
    chexpert = tables.report_labels(patients, [report.chexpert for report in written])
    negbio = tables.report_labels(patients, [report.negbio for report in written])
    tables.write_csv_gz(prefix.with_name(f"{prefix.name}-chexpert.csv.gz"), chexpert)
    tables.write_csv_gz(prefix.with_name(f"{prefix.name}-negbio.csv.gz"), negbio)
    tables.write_csv_gz(prefix.with_name(f"{prefix.name}-split.csv.gz"), tables.splits(patients))

    names = [tables.image_path(patient, study, image) for patient, study, image in tables.every_image(patients)]
    write_text(root / IMAGES / "IMAGE_FILENAMES", "\n".join(names) + "\n")

    hospital = hospital_tables(patients, scenario=scenario, seed=seed)
    tables.write_csv_gz(root / HOSPITAL / "patients.csv.gz", hospital.patients)
    tables.write_csv_gz(root / HOSPITAL / "admissions.csv.gz", hospital.admissions)


def _reports(patients: Sequence[Patient], *, scenario: Scenario, seed: int) -> list[Report]:
    written = []
    for patient in patients:
        for prior, study in zip((None, *patient.studies), patient.studies, strict=False):
            rng = np.random.default_rng([seed, 4, study.study_id])
            written.append(write_report(patient, study, prior=prior, scenario=scenario, rng=rng))
    return written


def _jobs(
    root: Path, patients: Sequence[Patient], *, scenario: Scenario, seed: int, image_size: int, draw: Draw
) -> list[_FilmJob]:
    return [
        _FilmJob(
            path=root / IMAGES / tables.image_path(patient, study, image),
            body=patient.body(study, scenario),
            lesions=study.visit.lesions,
            view=image.view,
            exposure=image.exposure,
            image_size=image_size,
            seed=(seed, 6, study.study_id, study.images.index(image)),
            draw=draw,
        )
        for patient, study, image in tables.every_image(patients)
    ]


def _draw_all(jobs: Sequence[_FilmJob], workers: int) -> Iterator[_FilmFile]:
    """Yield one result per job, in their order."""
    if workers == 1:
        yield from map(_draw_one, jobs)
        return
    # spawn works alike on every system, and inside a program that already runs threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(_draw_one, jobs, chunksize=_CHUNK)


def _draw_one(job: _FilmJob) -> _FilmFile:
    film = job.draw(
        job.body,
        job.lesions,
        view=job.view,
        exposure=job.exposure,
        image_size=job.image_size,
        rng=np.random.default_rng(job.seed),
    )
    ok, encoded = cv2.imencode(".jpg", film.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not ok:
        raise ValueError(f"the film for {job.path} of shape {film.image.shape} cannot be written as JPEG")
    job.path.parent.mkdir(parents=True, exist_ok=True)
    job.path.write_bytes(encoded.tobytes())
    height, width = film.image.shape
    return _FilmFile(size=(height, width), boxes=film.boxes)


def _write_image_tables(
    root: Path, patients: Sequence[Patient], drawn: Sequence[_FilmFile], *, scenario: Scenario, seed: int
) -> None:
    """Write the tables with sizes and boxes of the images."""
    metadata = tables.metadata(patients, [film.size for film in drawn], scenario=scenario, seed=seed)
    tables.write_csv_gz(root / IMAGES / "mimic-cxr-2.0.0-metadata.csv.gz", metadata)
    true = tables.truth(patients, [film.boxes for film in drawn])
    write_text(root / "truth.csv", true.to_csv(index=False, lineterminator="\n"))
