"""Race and ethnicity of CheXpert's patients, in the spreadsheet `CHEXPERT DEMO.xlsx` and in CheXpert Plus."""

from pathlib import Path

import pandas as pd

from cohort._csv import some
from cohort.demographics.race import CONFLICT, race_by_patient, raw_by_patient
from cohort.flow import Flow
from cohort.value_tables import read_value_table

DEMO = "CHEXPERT DEMO.xlsx"
DEMO_COLUMNS = ("PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY")


def read_demo(path: Path) -> pd.DataFrame:
    """Return the spreadsheet's patients: `subject_id`, `race` and `ethnicity` in its own words, "" where it is empty.

    GENDER and AGE_AT_CXR are left unread: train.csv has both, and the age at every study, not one per patient.

    Raises:
        ValueError: The file is no spreadsheet or lacks a column.
    """
    try:
        table = pd.read_excel(path, dtype=str, na_filter=False)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"CheXpert demographics: {path} cannot be read as a spreadsheet ({error})") from error
    missing = [name for name in DEMO_COLUMNS if name not in table]
    if missing:
        raise ValueError(f"CheXpert demographics: {path} lacks {some(missing)}; found {some(table.columns, 20)}")
    names = {"PATIENT": "subject_id", "PRIMARY_RACE": "race", "ETHNICITY": "ethnicity"}
    return table[list(names)].rename(columns=names)


def add_race_and_ethnicity(frame: pd.DataFrame, records: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """Return the images with `race` and `ethnicity` (Hispanic, Not Hispanic), and the records' words as `raw_*`.

    Some words for a race say the ethnicity too ("White, Hispanic"); that counts where the ethnicity itself is unknown.
    Both are one per patient by the policy of `cohort.demographics.race`. Hispanic is an ethnicity here and a race in
    MIMIC-IV: compare the two archives with that in mind.

    Args:
        frame: The images, (n,).
        records: `subject_id`, `race` and `ethnicity` in the archive's words, any number of rows per patient.
        flow: Receives the counts.
    """
    races, ethnicities = read_value_table("race_chexpert.csv"), read_value_table("ethnicity_chexpert.csv")
    for name, table in (("race", races), ("ethnicity", ethnicities)):
        for word, count in table.unlisted(records[name]).items():
            flow.note(frame, f"records with the {name} {str(word)!r}, which is not in {table.name}: {count}")
    told = ethnicities.translate(records["ethnicity"])
    told = told.mask(told.eq(""), ethnicities.translate(records["race"]))
    groups = {"race": races.translate(records["race"]), "ethnicity": told}
    for name, group in groups.items():
        decided = frame["subject_id"].map(race_by_patient(records["subject_id"], group)).fillna("")
        words = frame["subject_id"].map(raw_by_patient(records["subject_id"], records[name])).fillna("")
        flow.note(frame, f"{name} unknown (by {name}_chexpert.csv)", rows=int(decided.eq("").sum()))
        flow.note(frame, f"{name} in conflict between a patient's records", rows=int(decided.eq(CONFLICT).sum()))
        frame = frame.assign(**{name: decided, f"raw_{name}": words})
    return frame
