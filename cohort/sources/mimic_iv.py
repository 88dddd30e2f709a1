"""Age, sex, race and insurance of MIMIC-CXR's images from MIMIC-IV, any release."""

from pathlib import Path

import pandas as pd

from cohort._csv import read_strings, some
from cohort.demographics.ages import age_at_study
from cohort.demographics.insurance import insurance_by_study, study_time
from cohort.demographics.race import CONFLICT, race_by_patient, raw_by_patient
from cohort.flow import Flow
from cohort.sources.mimic_layout import MimicLayout
from cohort.sources.repeated import one_row_per_key
from cohort.value_tables import ValueTable, read_value_table

RACE_TABLES = {"race": "race_mimic_v2.csv", "ethnicity": "race_mimic_v1.csv"}
"""Column of the admissions table (v2 and later, v1) to the table that reads its words."""

_STAY_TIMES = ("admittime", "dischtime", "edregtime", "edouttime")


def add_demographics(frame: pd.DataFrame, layout: MimicLayout, flow: Flow) -> pd.DataFrame:
    """Return the images with age, sex, race and insurance, each with its raw words; unknown is blank.

    Args:
        frame: Has `subject_id`, `study_id`, `StudyDate` and `StudyTime`, as texts, (n,).
        layout: Where MIMIC-IV is, if it is there.
        flow: Receives how many images lack what, and why.

    Raises:
        ValueError: A table of MIMIC-IV lacks a column.
    """
    return _add_race_and_insurance(_add_age_and_sex(frame, layout.patients, flow), layout.admissions, flow)


def _add_age_and_sex(frame: pd.DataFrame, path: Path | None, flow: Flow) -> pd.DataFrame:
    if path is None:
        flow.note(frame, "no MIMIC-IV patients table was found: no age, no sex", rows=len(frame))
        blank = {"sex": "", "raw_sex": "", "age_reason": "no MIMIC-IV patient", "age_top_coded": ""}
        return frame.assign(age_years=float("nan"), **blank)
    columns = ["subject_id", "gender", "anchor_age", "anchor_year"]
    patients = read_strings(path, columns=columns, only=True, what="MIMIC-IV patients")
    patients = one_row_per_key(patients, ["subject_id"], images=frame, flow=flow, name=path.name)
    joined = frame.merge(patients, on="subject_id", how="left", validate="many_to_one")
    joined[columns[1:]] = joined[columns[1:]].fillna("")
    ages = age_at_study(joined["anchor_age"], joined["anchor_year"], joined["StudyDate"])
    sexes = read_value_table("sex.csv")
    joined = joined.drop(columns=columns[2:]).rename(columns={"gender": "raw_sex"})
    joined = joined.assign(**{str(name): ages[name] for name in ages}, sex=sexes.translate(joined["raw_sex"]))
    for reason, count in ages["age_reason"][ages["age_reason"].ne("")].value_counts().items():
        flow.note(joined, f"no age: {reason}", rows=int(count))
    flow.note(joined, "age top-coded: 90 or older at the anchor", rows=int(ages["age_top_coded"].ne("").sum()))
    flow.note(joined, "no sex", rows=int(joined["sex"].eq("").sum()))
    return joined


def _add_race_and_insurance(frame: pd.DataFrame, path: Path | None, flow: Flow) -> pd.DataFrame:
    if path is None:
        flow.note(frame, "no MIMIC-IV admissions table was found: no race, no insurance", rows=len(frame))
        return frame.assign(race="", raw_race="", insurance="", raw_insurance="", insurance_link="")
    admissions = _read_admissions(path)
    admissions = admissions[admissions["subject_id"].isin(frame["subject_id"])].reset_index(drop=True)
    frame = _add_race(frame, admissions, flow)
    return _add_insurance(frame, admissions, flow)


def _read_admissions(path: Path) -> pd.DataFrame:
    columns = ["subject_id", "hadm_id", "insurance", *_STAY_TIMES[:2]]
    wanted = [*columns, *_STAY_TIMES[2:], *RACE_TABLES]
    admissions = read_strings(path, columns=columns, only=wanted, what="MIMIC-IV admissions")
    if not any(name in admissions for name in RACE_TABLES):
        raise ValueError(
            f"MIMIC-IV admissions: wanted a column 'race' (v2 and later) or 'ethnicity' (v1) in {path}, "
            f"found {some(admissions.columns, 20)}"
        )
    for name in _STAY_TIMES:
        texts = admissions[name] if name in admissions else pd.Series("", index=admissions.index)
        admissions[name] = pd.to_datetime(texts.where(texts.ne("")), format="%Y-%m-%d %H:%M:%S", errors="coerce")
    return admissions


def _add_race(frame: pd.DataFrame, admissions: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    column = next(name for name in RACE_TABLES if name in admissions)
    table = read_value_table(RACE_TABLES[column])
    raw = admissions[column].str.strip()
    _note_unlisted(frame, admissions["subject_id"], raw, table, flow)
    by_patient = race_by_patient(admissions["subject_id"], table.translate(raw))
    race = frame["subject_id"].map(by_patient).fillna("")
    flow.note(frame, f"race unknown (by {table.name})", rows=int(race.eq("").sum()))
    flow.note(frame, "race in conflict between a patient's admissions", rows=int(race.eq(CONFLICT).sum()))
    words = raw_by_patient(admissions["subject_id"], raw)
    return frame.assign(race=race, raw_race=frame["subject_id"].map(words).fillna(""))


def _add_insurance(frame: pd.DataFrame, admissions: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    key = ["subject_id", "study_id"]
    timed = frame[key].assign(taken=study_time(frame["StudyDate"], frame["StudyTime"]))
    # The images of one study are minutes apart; the first one dates it, so that they share their insurance.
    studies = timed.groupby(key)["taken"].min().reset_index()
    found = studies[key].join(insurance_by_study(studies, admissions))
    joined = frame.merge(found, on=key, how="left", validate="many_to_one")
    table = read_value_table("insurance_mimic.csv")
    _note_unlisted(frame, joined["subject_id"], joined["raw_insurance"], table, flow)
    joined["insurance"] = table.translate(joined["raw_insurance"])
    flow.note(joined, "insurance unknown", rows=int(joined["insurance"].eq("").sum()))
    nearest = joined["insurance_link"].eq("nearest") & joined["insurance"].ne("")
    flow.note(joined, "insurance of the nearest admission: none contains the study", rows=int(nearest.sum()))
    return joined


def _note_unlisted(frame: pd.DataFrame, subjects: pd.Series, raw: pd.Series, table: ValueTable, flow: Flow) -> None:
    for word in table.unlisted(raw).index:
        rows = int(frame["subject_id"].isin(subjects[raw.eq(word)]).sum())
        flow.note(frame, f"patients with {str(word)!r}, which is not in {table.name}: unknown", rows=rows)
