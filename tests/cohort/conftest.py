"""A miniature of MIMIC-CXR-JPG, MIMIC-CXR and MIMIC-IV with exactly the published columns, and phantom's of others."""

import csv
import gzip
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from phantom.film import Film
from phantom.miniatures.miniature_population import MiniaturePopulation
from phantom.miniatures.writers import write_miniature

FINDINGS_OF_MIMIC = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
METADATA = """\
dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,\
ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning
a1,10000032,50000001,CHEST (PA AND LAT),PA,3056,2544,21800506,213014.531,CHEST (PA AND LAT),postero-anterior,Erect
a2,10000032,50000001,CHEST (PA AND LAT),LATERAL,3056,2544,21800506,213016.0,CHEST (PA AND LAT),lateral,Erect
b1,10000764,50000002,CHEST (PORTABLE AP),AP,2544,3056,21320101,91500.0,CHEST (PORTABLE AP),antero-posterior,Recumbent
c1,11000011,50000003,CHEST (PORTABLE AP),,2544,3056,21500615,,CHEST (PORTABLE AP),,
d1,11000022,50000004,CHEST (PORTABLE AP),STRANGE,2544,3056,21500615,120000.0,CHEST (PORTABLE AP),,
"""
SPLIT = """\
dicom_id,study_id,subject_id,split
a1,50000001,10000032,train
a2,50000001,10000032,train
b1,50000002,10000764,validate
c1,50000003,11000011,test
"""
CHEXPERT = f"""\
subject_id,study_id,{FINDINGS_OF_MIMIC}
10000032,50000001,,,,,,,,,1.0,,,,,
10000764,50000002,,1.0,-1.0,,,,,,,0.0,,,,1.0
11000011,50000003,,,,,,,,,,,,,,
"""
PATIENTS = """\
subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod
10000032,F,52,2180,2014 - 2016,2180-09-09
10000764,M,91,2130,2014 - 2016,
11000011,F,17,2151,2011 - 2013,
99999999,F,40,2150,2011 - 2013,
"""
ADMISSIONS = """\
subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admission_location,discharge_location,insurance,\
language,marital_status,race,edregtime,edouttime,hospital_expire_flag
10000032,22595853,2180-05-06 22:23:00,2180-05-07 17:15:00,,URGENT,TRANSFER,HOME,Other,ENGLISH,WIDOWED,WHITE,2180-05-06 19:17:00,2180-05-06 23:30:00,0
10000032,22841357,2180-06-26 18:27:00,2180-06-27 18:49:00,,EW EMER.,EMERGENCY ROOM,HOME,Medicaid,ENGLISH,WIDOWED,UNKNOWN,2180-06-26 15:54:00,2180-06-26 21:31:00,0
10000764,27897940,2132-10-14 23:31:00,2132-10-19 16:30:00,,EW EMER.,EMERGENCY ROOM,HOME,Medicare,?,MARRIED,WHITE,2132-10-14 19:31:00,2132-10-14 23:59:00,0
10000764,27897941,2131-12-30 23:31:00,2132-01-02 16:30:00,,EW EMER.,EMERGENCY ROOM,HOME,,?,MARRIED,BLACK/AFRICAN AMERICAN,,,0
11000011,27897942,2150-06-10 10:00:00,2150-06-20 10:00:00,,ELECTIVE,CLINIC,HOME,Barter,?,SINGLE,MARTIAN,,,0
"""


def write(path: Path, text: str) -> Path:
    """Write a text file, compressed where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def write_images(files: Path) -> None:
    """Write the five images of the miniature in PhysioNet's folders."""
    for line in METADATA.splitlines()[1:]:
        dicom, subject, study = line.split(",")[:3]
        write(files / f"p{subject[:2]}" / f"p{subject}" / f"s{study}" / f"{dicom}.jpg", "no real picture")


def write_reports(files: Path) -> None:
    """Write three reports; study 50000004 has none."""
    for subject, study in (("10000032", "50000001"), ("10000764", "50000002"), ("11000011", "50000003")):
        write(files / f"p{subject[:2]}" / f"p{subject}" / f"s{study}.txt", " FINAL REPORT\n IMPRESSION: Normal.\n")


def write_archive(
    root: Path,
    *,
    jpg: str = "mimic-cxr-jpg/2.1.0",
    cxr: str = "mimic-cxr/2.1.0",
    hosp: str = "mimiciv/3.1/hosp",
) -> Path:
    """Write the whole miniature below `root`; an empty name leaves that part out."""
    for kind, text in (("metadata", METADATA), ("split", SPLIT), ("chexpert", CHEXPERT), ("negbio", CHEXPERT)):
        write(root / jpg / f"mimic-cxr-2.0.0-{kind}.csv.gz", text)
    write_images(root / jpg / "files")
    if cxr:
        write_reports(root / cxr / "files")
    if hosp:
        write(root / hosp / "patients.csv.gz", PATIENTS)
        write(root / hosp / "admissions.csv.gz", ADMISSIONS)
    return root


@pytest.fixture
def archive() -> Callable[..., Path]:
    """Return the function that writes the miniature archive."""
    return write_archive


def quick_film(body, lesions, *, view, exposure, image_size, rng):
    """Draw noise: the tables are what is tested."""
    return Film(image=rng.integers(0, 256, (image_size, image_size * 5 // 6), dtype=np.uint8), boxes={})


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Callable[[str], tuple[Path, MiniaturePopulation]]:
    """Return a function that gives the folder and the people of an archive's miniature, written once."""
    root = tmp_path_factory.mktemp("miniatures")

    @cache
    def write_once(name: str) -> tuple[Path, MiniaturePopulation]:
        return root / name, write_miniature(name, root / name, n_patients=12, seed=16, image_size=32, draw=quick_film)

    return write_once


@pytest.fixture
def copied(miniature, tmp_path) -> Callable[[str], Path]:
    """Return a function that gives a copy of an archive's miniature, to be damaged."""
    return lambda name: Path(shutil.copytree(miniature(name)[0], tmp_path / name))


def _lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="session")
def lines_of() -> Callable[[Path], list[dict[str, str]]]:
    """Return a reader of tables that knows nothing but the standard library: the oracle's eyes."""
    return _lines_of


@pytest.fixture(scope="session")
def edit() -> Callable[[Path, str, str], None]:
    """Return a function that replaces a text in a file, which must be there."""
    return _edit


@pytest.fixture(scope="session")
def noted() -> Callable[..., list[int]]:
    """Return a function that gives the rows of all lines of a flow that contain the words."""
    return lambda flow, words: [step.rows for step in flow.steps if words in step.reason]
