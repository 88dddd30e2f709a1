"""Miniatures of CheXpert, of CheXpert Plus and of CheXpert's test set."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from common.atomic import write_text
from phantom.miniatures.file_formats import write_csv, write_jpeg, write_png, write_xlsx
from phantom.miniatures.miniature_population import MiniatureFilm, MiniaturePopulation
from phantom.reports.radiology_report import sections_of

FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The archive's own order"""

COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
DEMO_COLUMNS = ("PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY")
SECTIONS = (
    "section_narrative",
    "section_clinical_history",
    "section_history",
    "section_comparison",
    "section_technique",
    "section_procedure_comments",
    "section_findings",
    "section_impression",
    "section_end_of_impression",
    "section_summary",
    "section_accession_number",
)
RACES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "White": ("White", "White, non-Hispanic", "White or Caucasian"),
        "Black": ("Black or African American", "Black, non-Hispanic"),
        "Hispanic": ("Other, Hispanic", "White, Hispanic"),
        "Asian": ("Asian", "Asian, non-Hispanic", "Asian - Historical Conv"),
        "Other": ("Other", "Other, non-Hispanic"),
        "Multiple": ("Other",),
        "AIAN": ("American Indian or Alaska Native", "Native American, non-Hispanic"),
        "NHPI": ("Native Hawaiian or Other Pacific Islander", "Pacific Islander, non-Hispanic"),
    }
)
"""The simulated person's group -> words of PRIMARY_RACE"""

UNKNOWN_RACES = ("Unknown", "Race and Ethnicity Unknown", "Patient Refused", "")
_ETHNICITIES = ("Non-Hispanic/Non-Latino", "Not Hispanic", "Hispanic/Latino", "Hispanic", "Unknown", "Patient Refused")
_FIRST_TEST_PATIENT = 64741


def write_chexpert(root: Path, population: MiniaturePopulation) -> None:
    """Write train.csv, valid.csv, train_cheXbert.csv, the JPEG files and the spreadsheet of demographics.

    The first patient forms the validation set; its ids begin at 64541, as in the archive. One age is 0, which stands
    for missing.
    """
    folder = root / "CheXpert-v1.0-small"
    films = list(population.films())
    rows = {name: [_row(film, population, labeller=name) for film in films] for name in ("chexpert", "negbio")}
    valid = [film.patient_number == 1 for film in films]

    for name, labeller, wanted in (
        ("train.csv", "chexpert", False),
        ("valid.csv", "chexpert", True),
        ("train_cheXbert.csv", "negbio", False),
    ):
        chosen = [row for row, is_valid in zip(rows[labeller], valid, strict=True) if is_valid == wanted]
        write_csv(folder / name, pd.DataFrame(chosen, columns=list(COLUMNS)))

    for film in films:
        write_jpeg(folder / f"{_stem(film)}.jpg", population.picture(film))

    # The spreadsheet has one row per patient.
    first_films = [film for film in films if film.study_number == film.image_number == 1]
    write_xlsx(root / "CHEXPERT DEMO.xlsx", [DEMO_COLUMNS, *(_demographics(film, population) for film in first_films)])


def write_chexpert_plus(root: Path, population: MiniaturePopulation) -> None:
    """Write the table with its sections, PNG files under the stems of the table's .jpg paths, and CheXbert's labels."""
    films = list(population.films())
    rows = []
    for film in films:
        text = population.report(film).text
        _, gender, _, race, ethnicity = _demographics(film, population)
        frontal, position = _view(film)
        written = _sections(text)

        rows.append(
            {
                "path_to_image": f"{_stem(film)}.jpg",
                "path_to_dcm": f"{_stem(film)}.dcm",
                "frontal_lateral": frontal,
                "ap_pa": position,
                "deid_patient_id": _patient(film),
                "patient_report_date_order": film.study_number,
                "report": text,
                **{name: written.get(name, "") for name in SECTIONS},
                "age": float(film.age_years),
                "sex": gender,
                "race": race,
                "ethnicity": ethnicity,
                "insurance_type": film.study.person.insurance,
                "interpreter_needed": "No",
                "recent_bmi": 25.0,
                "deceased": "No",
                "split": _split(film),
            }
        )

        # The images were published as PNG, the table still names .jpg.
        write_png(root / "PNG" / f"{_stem(film)}.png", population.picture(film))

    write_csv(root / "df_chexpert_plus_240401.csv", pd.DataFrame(rows))
    for name in ("report", "findings", "impression"):
        lines = [json.dumps(_json_labels(film, population)) for film in films]
        write_text(root / "chexbert_labels" / f"{name}_fixed.json", "\n".join(lines) + "\n")


def write_chexpert_test(root: Path, population: MiniaturePopulation) -> None:
    """Write test/patient64741/study1/view1_frontal.jpg and so on, and groundtruth.csv of the majority of readers."""
    rows = []
    for film in population.films():
        study = f"CheXpert-v1.0/test/patient{_FIRST_TEST_PATIENT + film.patient_number - 1}/study{film.study_number}"
        write_jpeg(root / f"{study}/{_view_name(film)}.jpg", population.picture(film))
        if film.image_number == 1:
            rows.append((study, *(int(finding in film.findings) for finding in FINDINGS)))
    write_csv(root / "groundtruth.csv", pd.DataFrame(rows, columns=["Study", *FINDINGS]))


def _row(film: MiniatureFilm, population: MiniaturePopulation, *, labeller: str) -> tuple[str | int | float, ...]:
    labels = getattr(population.report(film), labeller)
    sex = "Female" if film.study.person.sex == "F" else "Male"
    age = 0 if film.patient_number == 2 and film.study_number == 1 else film.age_years
    path = f"CheXpert-v1.0-small/{_stem(film)}.jpg"
    return (path, sex, age, *_view(film), *(labels.get(finding, np.nan) for finding in FINDINGS))


def _demographics(film: MiniatureFilm, population: MiniaturePopulation) -> tuple[str, str, int, str, str]:
    rng = np.random.default_rng([population.seed, 102, film.patient.subject_id])
    words = RACES[film.study.person.race] if rng.random() < 0.8 else UNKNOWN_RACES
    gender = "Female" if film.study.person.sex == "F" else "Male"
    return _patient(film), gender, film.age_years, str(rng.choice(words)), str(rng.choice(_ETHNICITIES))


def _view(film: MiniatureFilm) -> tuple[str, str]:
    return ("Lateral", "") if film.image.view == "LATERAL" else ("Frontal", film.image.view)


def _split(film: MiniatureFilm) -> str:
    return "valid" if film.patient_number == 1 else "train"


def _patient(film: MiniatureFilm) -> str:
    return f"patient{64540 + film.patient_number if film.patient_number == 1 else film.patient_number:05d}"


def _stem(film: MiniatureFilm) -> str:
    return f"{_split(film)}/{_patient(film)}/study{film.study_number}/{_view_name(film)}"


def _view_name(film: MiniatureFilm) -> str:
    return f"view{film.image_number}_{_view(film)[0].lower()}"


def _sections(text: str) -> dict[str, str]:
    """Return the archive's section columns of a report in the look of MIMIC-CXR."""
    found = {heading.lower(): body for heading, body in sections_of(text).items()}
    return {f"section_{name}": found[name] for name in ("comparison", "findings", "impression") if name in found} | {
        "section_history": found.get("indication", "")
    }


def _json_labels(film: MiniatureFilm, population: MiniaturePopulation) -> dict[str, str | float | None]:
    labels = population.report(film).chexpert
    return {"path_to_image": f"{_stem(film)}.jpg", **{finding: labels.get(finding) for finding in FINDINGS}}
