"""A miniature MIMIC-CXR in a temporary folder: every table and file as PhysioNet distributes them."""

import gzip
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cohort import FINDINGS

REPORT = """\
                                 FINAL REPORT
 EXAMINATION:  CHEST ({view})

 INDICATION:  ___ year old with cough.

 FINDINGS:

 Findings of study {study}.

 IMPRESSION:

 Impression of
 study {study}.
"""


@dataclass
class MiniMimic:
    """Handles to the parts of the archive, for tests that damage one of them."""

    root: Path
    images: dict[str, Path] = field(default_factory=dict)
    reports: dict[str, Path] = field(default_factory=dict)

    def pixels(self, image_id: str) -> np.ndarray:
        return np.asarray(Image.open(self.images[image_id]).convert("L"))


def write_gz(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(lines) + "\n")


def picture(seed: int, *, width: int = 61, height: int = 83) -> np.ndarray:
    """Return smooth noise, which JPEG keeps well."""
    small = np.random.default_rng(seed).integers(20, 235, (7, 5), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def write_mini_mimic(root: Path, *, n_patients: int = 6, image_size: tuple[int, int] = (61, 83)) -> MiniMimic:
    """Write patients with one or two studies, each with a PA film and every second one with a lateral as well."""
    archive = MiniMimic(root)
    jpg, txt = root / "mimic-cxr-jpg/2.1.0", root / "mimic-cxr/2.1.0"
    metadata = [
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime"
    ]
    split, labels = ["dicom_id,study_id,subject_id,split"], [",".join(["subject_id", "study_id", *FINDINGS])]
    patients, admissions = (
        ["subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod"],
        ["subject_id,hadm_id,admittime,dischtime,insurance,race"],
    )
    for patient in range(n_patients):
        subject = f"{10000000 + 7 * patient}"
        patients.append(f"{subject},{'FM'[patient % 2]},{40 + patient},2150,2011 - 2013,")
        admissions.append(f"{subject},{20000000 + patient},2150-01-01 00:00:00,2150-01-09 00:00:00,Medicare,WHITE")
        for number in range(1 + patient % 2):
            study = f"{50000000 + 10 * patient + number}"
            folder = f"files/p{subject[:2]}/p{subject}/s{study}"
            report = txt / f"{folder}.txt"
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(REPORT.format(view="PA AND LAT", study=study), encoding="utf-8")
            archive.reports[study] = report
            labels.append(f"{subject},{study}," + ",".join(["1.0"] + [""] * 13))
            for view in ["PA", "LATERAL"][: 1 + (patient + number) % 2]:
                image_id = f"{study[::-1]}-{view.lower()}"
                image = jpg / folder / f"{image_id}.jpg"
                image.parent.mkdir(parents=True, exist_ok=True)
                width, height = image_size
                Image.fromarray(picture(len(archive.images), width=width, height=height)).save(image, quality=95)
                archive.images[image_id] = image
                metadata.append(f"{image_id},{subject},{study},CHEST,{view},{height},{width},21500105,101500.0")
                split.append(f"{image_id},{study},{subject},{'train' if patient else 'test'}")
    write_gz(jpg / "mimic-cxr-2.0.0-metadata.csv.gz", metadata)
    write_gz(jpg / "mimic-cxr-2.0.0-split.csv.gz", split)
    write_gz(jpg / "mimic-cxr-2.0.0-chexpert.csv.gz", labels)
    write_gz(root / "mimiciv/3.1/hosp/patients.csv.gz", patients)
    write_gz(root / "mimiciv/3.1/hosp/admissions.csv.gz", admissions)
    return archive


@pytest.fixture
def mimic(tmp_path) -> MiniMimic:
    return write_mini_mimic(tmp_path / "archive")


@pytest.fixture
def larger_mimic(tmp_path) -> MiniMimic:
    """Return an archive with more images than one worker process is started for."""
    return write_mini_mimic(tmp_path / "archive", n_patients=16)
