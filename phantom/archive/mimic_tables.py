"""Tables of a simulated archive: as in MIMIC-CXR and MIMIC-CXR-JPG, and truth.csv with what the films show."""

import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from common.atomic import write_whole
from phantom.body import FINDINGS, Box
from phantom.findings.registry import AIRSPACE
from phantom.patients.population import Image, Patient, Study
from phantom.patients.scenario import Scenario
from phantom.reports.radiology_report import Report, examination

METADATA_COLUMNS = (
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
    "StudyDate",
    "StudyTime",
    "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)

_VIEW_MEANINGS = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral"}


def every_image(patients: Sequence[Patient]) -> Iterator[tuple[Patient, Study, Image]]:
    """Yield the images in the order of the archive's tables: by subject, study and time."""
    for patient in patients:
        for study in patient.studies:
            for image in study.images:
                yield patient, study, image


def study_folder(patient: Patient, study: Study) -> str:
    """Return a study's place below the archive: files/p10/p10000032/s50414267."""
    subject = str(patient.subject_id)
    return f"files/p{subject[:2]}/p{subject}/s{study.study_id}"


def image_path(patient: Patient, study: Study, image: Image, suffix: str = ".jpg") -> str:
    """Return an image's place below the archive."""
    return f"{study_folder(patient, study)}/{image.dicom_id}{suffix}"


def true_findings(study: Study) -> frozenset[str]:
    """Return what the films of `study` show.

    "Lung Opacity" covers every opacity of the air spaces; "No Finding" is the absence of all but support devices.
    """
    drawn = set(study.visit.findings)
    if drawn & AIRSPACE:
        drawn.add("Lung Opacity")
    if not drawn - {"Support Devices"}:
        drawn.add("No Finding")
    return frozenset(drawn)


def metadata(
    patients: Sequence[Patient], sizes: Sequence[tuple[int, int]], *, scenario: Scenario, seed: int
) -> pd.DataFrame:
    """Return `mimic-cxr-2.0.0-metadata.csv`; `sizes` holds rows and columns of each image."""
    rng = np.random.default_rng([seed, 5])
    rows = []
    for (patient, study, image), (height, width) in zip(every_image(patients), sizes, strict=True):
        procedure = examination(study)
        upright = image.view != "AP" or rng.random() < 0.3
        view = "LL" if image.view == "LATERAL" and rng.random() < 0.05 else image.view
        time = study.time
        rows.append(
            (
                image.dicom_id,
                patient.subject_id,
                study.study_id,
                procedure,
                "" if rng.random() < scenario.share_view_missing else view,
                height,
                width,
                int(f"{time:%Y%m%d}"),
                # As in MIMIC, a number: the leading zeros of the early morning are gone.
                f"{int(f'{time:%H%M%S}')}.{time.microsecond // 1000:03d}",
                procedure,
                _VIEW_MEANINGS[image.view],
                "Erect" if upright else "Recumbent" if rng.random() < 0.7 else "",
            )
        )
    return pd.DataFrame(rows, columns=list(METADATA_COLUMNS))


def splits(patients: Sequence[Patient]) -> pd.DataFrame:
    """Return `mimic-cxr-2.0.0-split.csv`."""
    rows = [(i.dicom_id, s.study_id, p.subject_id, p.split) for p, s, i in every_image(patients)]
    return pd.DataFrame(rows, columns=["dicom_id", "study_id", "subject_id", "split"])


def report_labels(patients: Sequence[Patient], labels: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """Return `mimic-cxr-2.0.0-chexpert.csv` or `-negbio.csv`: one row per study, blank for findings not mentioned."""
    studies = [(patient.subject_id, study.study_id) for patient in patients for study in patient.studies]
    frame = pd.DataFrame(studies, columns=["subject_id", "study_id"])
    for finding in FINDINGS:
        frame[finding] = np.array([said.get(finding, np.nan) for said in labels], dtype=np.float64)
    return frame


def records(patients: Sequence[Patient]) -> pd.DataFrame:
    """Return MIMIC-CXR's `cxr-record-list.csv`, which names the DICOM files."""
    rows = [(p.subject_id, s.study_id, i.dicom_id, image_path(p, s, i, ".dcm")) for p, s, i in every_image(patients)]
    return pd.DataFrame(rows, columns=["subject_id", "study_id", "dicom_id", "path"])


def studies(patients: Sequence[Patient]) -> pd.DataFrame:
    """Return MIMIC-CXR's `cxr-study-list.csv`, which names the reports."""
    rows = [(p.subject_id, s.study_id, f"{study_folder(p, s)}.txt") for p in patients for s in p.studies]
    return pd.DataFrame(rows, columns=["subject_id", "study_id", "path"])


def truth(patients: Sequence[Patient], boxes: Sequence[Mapping[str, Box]]) -> pd.DataFrame:
    """Return what the films show, reported or not: one row per image, in the order of the archive.

    Columns: image_id, subject_id, study_id, view, age_years, sex, race, insurance (all true, also where the hospital
    does not know them), the 14 findings as 0 and 1, severity_<finding> (0 where absent) and boxes, JSON of
    finding -> [x0, y0, x1, y1] in pixels.
    """
    rows = []
    for (patient, study, image), found in zip(every_image(patients), boxes, strict=True):
        person, shown = study.person, true_findings(study)
        row: dict[str, object] = {
            "image_id": image.dicom_id,
            "subject_id": patient.subject_id,
            "study_id": study.study_id,
            "view": image.view,
            "age_years": person.age_years,
            "sex": person.sex,
            "race": person.race,
            "insurance": person.insurance,
        }
        row |= {finding: int(finding in shown) for finding in FINDINGS}
        row |= {f"severity_{finding}": value for finding, value in _severities(study).items()}
        row["boxes"] = json.dumps({finding: list(box) for finding, box in sorted(found.items())})
        rows.append(row)
    return pd.DataFrame(rows)


def _severities(study: Study) -> dict[str, float]:
    worst = {finding: 0.0 for finding in FINDINGS if finding != "No Finding"}
    for lesion in study.visit.lesions:
        covers = {lesion.finding} | ({"Lung Opacity"} if lesion.finding in AIRSPACE else set())
        for finding in covers:
            worst[finding] = max(worst[finding], round(lesion.severity, 3))
    return worst


def write_csv_gz(path: Path, frame: pd.DataFrame) -> None:
    """Write a compressed table, whole, without a time stamp: equal tables are equal files."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as stream:
        stream.write(frame.to_csv(index=False, lineterminator="\n").encode())
    with write_whole(path) as temporary:
        temporary.write_bytes(packed.getvalue())


def write_report_files(folder: Path, patients: Sequence[Patient], reports: Sequence[Report]) -> None:
    """Write one text file per study below `folder`."""
    written = iter(reports)
    for patient in patients:
        for study in patient.studies:
            path = folder / f"{study_folder(patient, study)}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(next(written).text, encoding="utf-8", newline="\n")
