"""A miniature of MIMIC-CXR as DICOM files, with its reports and MIMIC-IV, but without MIMIC-CXR-JPG's tables."""

from pathlib import Path

from phantom.archive import mimic_tables as tables
from phantom.archive.hospital_tables import hospital_tables
from phantom.archive.physionet_layout import HOSPITAL, REPORTS
from phantom.miniatures.file_formats import write_dicom
from phantom.miniatures.miniature_population import MiniaturePopulation


def write_mimic_dicom(root: Path, population: MiniaturePopulation) -> None:
    """Write DICOM files with view, date and time in their headers, reports beside them, and the two record lists."""
    patients, films = population.patients, list(population.films())
    for film in films:
        place = tables.image_path(film.patient, film.study, film.image, ".dcm")
        fields = {
            "PatientID": str(film.patient.subject_id),
            "StudyID": str(film.study.study_id),
            "StudyDate": f"{film.study.time:%Y%m%d}",
            "StudyTime": f"{film.study.time:%H%M%S}.{film.study.time.microsecond // 1000:03d}",
            "ViewPosition": film.image.view,
        }
        inverted = film.number % 4 == 0
        write_dicom(root / REPORTS / place, population.picture(film), uid=film.number, inverted=inverted, fields=fields)

    first_films = [film for film in films if film.image_number == 1]
    tables.write_report_files(root / REPORTS, patients, [population.report(film) for film in first_films])
    tables.write_csv_gz(root / REPORTS / "cxr-record-list.csv.gz", tables.records(patients))
    tables.write_csv_gz(root / REPORTS / "cxr-study-list.csv.gz", tables.studies(patients))

    hospital = hospital_tables(patients, scenario=population.scenario, seed=population.seed)
    tables.write_csv_gz(root / HOSPITAL / "patients.csv.gz", hospital.patients)
    tables.write_csv_gz(root / HOSPITAL / "admissions.csv.gz", hospital.admissions)
