"""Miniatures of CheXpert, of CheXpert Plus and of CheXpert's test set."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from common.atomic import write_text
from phantom.miniatures.cast import Cast, Shot
from phantom.miniatures.tiny_files import write_csv, write_jpeg, write_png, write_xlsx

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
_HEADING = re.compile(r"\n ([A-Z ]+):")


def write_chexpert(root: Path, cast: Cast) -> None:
    """Write train.csv, valid.csv, train_cheXbert.csv, the JPEG files and the spreadsheet of demographics.

    The first patient forms the validation set; its ids begin at 64541, as in the archive. One age is 0, which stands
    for missing.
    """
    folder = root / "CheXpert-v1.0-small"
    shots = list(cast.shots())
    rows = {name: [_row(shot, cast, labeller=name) for shot in shots] for name in ("chexpert", "negbio")}
    valid = [shot.patient_number == 1 for shot in shots]

    for name, labeller, wanted in (
        ("train.csv", "chexpert", False),
        ("valid.csv", "chexpert", True),
        ("train_cheXbert.csv", "negbio", False),
    ):
        chosen = [row for row, is_valid in zip(rows[labeller], valid, strict=True) if is_valid == wanted]
        write_csv(folder / name, pd.DataFrame(chosen, columns=list(COLUMNS)))

    for shot in shots:
        write_jpeg(folder / f"{_stem(shot)}.jpg", cast.picture(shot))

    # The spreadsheet has one row per patient.
    first_shots = [shot for shot in shots if shot.study_number == shot.image_number == 1]
    write_xlsx(root / "CHEXPERT DEMO.xlsx", [DEMO_COLUMNS, *(_demographics(shot, cast) for shot in first_shots)])


def write_chexpert_plus(root: Path, cast: Cast) -> None:
    """Write the table with its sections, PNG files under the stems of the table's .jpg paths, and CheXbert's labels."""
    shots = list(cast.shots())
    rows = []
    for shot in shots:
        text = cast.report(shot).text
        _, gender, _, race, ethnicity = _demographics(shot, cast)
        frontal, position = _view(shot)
        written = _sections(text)

        rows.append(
            {
                "path_to_image": f"{_stem(shot)}.jpg",
                "path_to_dcm": f"{_stem(shot)}.dcm",
                "frontal_lateral": frontal,
                "ap_pa": position,
                "deid_patient_id": _patient(shot),
                "patient_report_date_order": shot.study_number,
                "report": text,
                **{name: written.get(name, "") for name in SECTIONS},
                "age": float(shot.age_years),
                "sex": gender,
                "race": race,
                "ethnicity": ethnicity,
                "insurance_type": shot.study.person.insurance,
                "interpreter_needed": "No",
                "recent_bmi": 25.0,
                "deceased": "No",
                "split": _split(shot),
            }
        )

        # The images were published as PNG, the table still names .jpg.
        write_png(root / "PNG" / f"{_stem(shot)}.png", cast.picture(shot))

    write_csv(root / "df_chexpert_plus_240401.csv", pd.DataFrame(rows))
    for name in ("report", "findings", "impression"):
        lines = [json.dumps(_json_labels(shot, cast)) for shot in shots]
        write_text(root / "chexbert_labels" / f"{name}_fixed.json", "\n".join(lines) + "\n")


def write_chexpert_test(root: Path, cast: Cast) -> None:
    """Write test/patient64741/study1/view1_frontal.jpg and so on, and groundtruth.csv of the majority of readers."""
    rows = []
    for shot in cast.shots():
        study = f"CheXpert-v1.0/test/patient{_FIRST_TEST_PATIENT + shot.patient_number - 1}/study{shot.study_number}"
        write_jpeg(root / f"{study}/{_view_name(shot)}.jpg", cast.picture(shot))
        if shot.image_number == 1:
            rows.append((study, *(int(finding in shot.findings) for finding in FINDINGS)))
    write_csv(root / "groundtruth.csv", pd.DataFrame(rows, columns=["Study", *FINDINGS]))


def _row(shot: Shot, cast: Cast, *, labeller: str) -> tuple[str | int | float, ...]:
    labels = getattr(cast.report(shot), labeller)
    sex = "Female" if shot.study.person.sex == "F" else "Male"
    age = 0 if shot.patient_number == 2 and shot.study_number == 1 else shot.age_years
    path = f"CheXpert-v1.0-small/{_stem(shot)}.jpg"
    return (path, sex, age, *_view(shot), *(labels.get(finding, np.nan) for finding in FINDINGS))


def _demographics(shot: Shot, cast: Cast) -> tuple[str, str, int, str, str]:
    rng = np.random.default_rng([cast.seed, 102, shot.patient.subject_id])
    words = RACES[shot.study.person.race] if rng.random() < 0.8 else UNKNOWN_RACES
    gender = "Female" if shot.study.person.sex == "F" else "Male"
    return _patient(shot), gender, shot.age_years, str(rng.choice(words)), str(rng.choice(_ETHNICITIES))


def _view(shot: Shot) -> tuple[str, str]:
    return ("Lateral", "") if shot.image.view == "LATERAL" else ("Frontal", shot.image.view)


def _split(shot: Shot) -> str:
    return "valid" if shot.patient_number == 1 else "train"


def _patient(shot: Shot) -> str:
    return f"patient{64540 + shot.patient_number if shot.patient_number == 1 else shot.patient_number:05d}"


def _stem(shot: Shot) -> str:
    return f"{_split(shot)}/{_patient(shot)}/study{shot.study_number}/{_view_name(shot)}"


def _view_name(shot: Shot) -> str:
    return f"view{shot.image_number}_{_view(shot)[0].lower()}"


def _sections(text: str) -> dict[str, str]:
    """Return the archive's section columns of a report in the look of MIMIC-CXR."""
    parts = _HEADING.split(text)
    found = {heading.strip().lower(): body.strip() for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    return {f"section_{name}": found[name] for name in ("comparison", "findings", "impression") if name in found} | {
        "section_history": found.get("indication", "")
    }


def _json_labels(shot: Shot, cast: Cast) -> dict[str, str | float | None]:
    labels = cast.report(shot).chexpert
    return {"path_to_image": f"{_stem(shot)}.jpg", **{finding: labels.get(finding) for finding in FINDINGS}}
