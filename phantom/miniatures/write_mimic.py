"""A miniature of MIMIC-CXR as DICOM files, with its reports and MIMIC-IV, but without MIMIC-CXR-JPG's tables."""

from pathlib import Path

from phantom.archive import mimic_tables as tables
from phantom.archive.hospital_tables import hospital_tables
from phantom.archive.physionet_layout import HOSPITAL, REPORTS
from phantom.miniatures.cast import Cast
from phantom.miniatures.tiny_files import write_dicom


def write_mimic_dicom(root: Path, cast: Cast) -> None:
    """Write DICOM files with view, date and time in their headers, reports beside them, and the two record lists."""
    patients, shots = cast.patients, list(cast.shots())
    for shot in shots:
        place = tables.image_path(shot.patient, shot.study, shot.image, ".dcm")
        fields = {
            "PatientID": str(shot.patient.subject_id),
            "StudyID": str(shot.study.study_id),
            "StudyDate": f"{shot.study.time:%Y%m%d}",
            "StudyTime": f"{shot.study.time:%H%M%S}.{shot.study.time.microsecond // 1000:03d}",
            "ViewPosition": shot.image.view,
        }
        inverted = shot.number % 4 == 0
        write_dicom(root / REPORTS / place, cast.picture(shot), uid=shot.number, inverted=inverted, fields=fields)

    first_shots = [shot for shot in shots if shot.image_number == 1]
    tables.write_report_files(root / REPORTS, patients, [cast.report(shot) for shot in first_shots])
    tables.write_csv_gz(root / REPORTS / "cxr-record-list.csv.gz", tables.records(patients))
    tables.write_csv_gz(root / REPORTS / "cxr-study-list.csv.gz", tables.studies(patients))

    hospital = hospital_tables(patients, scenario=cast.scenario, seed=cast.seed)
    tables.write_csv_gz(root / HOSPITAL / "patients.csv.gz", hospital.patients)
    tables.write_csv_gz(root / HOSPITAL / "admissions.csv.gz", hospital.admissions)
