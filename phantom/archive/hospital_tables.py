"""Simulated tables of MIMIC-IV: patients and admissions, with the gaps and contradictions of the real ones."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

import numpy as np
import pandas as pd

from phantom.patients.population import OLDEST_STATED_AGE, Patient, Study
from phantom.patients.scenario import Scenario

RACE_STRINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "White": ("WHITE", "WHITE - OTHER EUROPEAN", "WHITE - RUSSIAN", "WHITE - EASTERN EUROPEAN"),
        "Black": (
            "BLACK/AFRICAN AMERICAN",
            "BLACK/CAPE VERDEAN",
            "BLACK/CARIBBEAN ISLAND",
            "BLACK/AFRICAN",
        ),
        "Hispanic": (
            "HISPANIC OR LATINO",
            "HISPANIC/LATINO - PUERTO RICAN",
            "HISPANIC/LATINO - DOMINICAN",
            "HISPANIC/LATINO - GUATEMALAN",
            "HISPANIC/LATINO - SALVADORAN",
            "HISPANIC/LATINO - MEXICAN",
            "HISPANIC/LATINO - CUBAN",
            "HISPANIC/LATINO - COLUMBIAN",
            "HISPANIC/LATINO - HONDURAN",
            "HISPANIC/LATINO - CENTRAL AMERICAN",
        ),
        "Asian": (
            "ASIAN",
            "ASIAN - CHINESE",
            "ASIAN - SOUTH EAST ASIAN",
            "ASIAN - ASIAN INDIAN",
            "ASIAN - KOREAN",
        ),
        "Other": ("OTHER",),
        "Multiple": ("MULTIPLE RACE/ETHNICITY",),
        "AIAN": ("AMERICAN INDIAN/ALASKA NATIVE",),
        "NHPI": ("NATIVE HAWAIIAN OR OTHER PACIFIC ISLANDER",),
    }
)
"""Group -> the raw strings of MIMIC-IV 2 and 3, the commonest first"""

UNKNOWN_RACE_STRINGS = ("UNKNOWN", "UNABLE TO OBTAIN", "PATIENT DECLINED TO ANSWER")

ANCHOR_YEAR_GROUPS = ("2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019", "2020 - 2022")

ADMISSION_COLUMNS = (
    "subject_id",
    "hadm_id",
    "admittime",
    "dischtime",
    "deathtime",
    "admission_type",
    "admission_location",
    "discharge_location",
    "insurance",
    "language",
    "marital_status",
    "race",
    "edregtime",
    "edouttime",
    "hospital_expire_flag",
)

_LANGUAGES = ("English", "Spanish", "Portuguese", "Russian", "Chinese", "Haitian")
_MARITAL = ("MARRIED", "SINGLE", "WIDOWED", "DIVORCED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """One row of `admissions.csv`; times are in the patient's shifted calendar."""

    subject_id: int
    hadm_id: int
    admittime: datetime
    dischtime: datetime
    deathtime: datetime | None = None
    admission_type: str
    admission_location: str
    discharge_location: str
    insurance: str
    language: str
    marital_status: str
    race: str
    edregtime: datetime | None = None
    edouttime: datetime | None = None
    hospital_expire_flag: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HospitalTables:
    """The two tables of `mimiciv/*/hosp` that chest X-ray work reads."""

    patients: pd.DataFrame
    """subject_id, gender, anchor_age, anchor_year, anchor_year_group, dod"""
    admissions: pd.DataFrame
    """ADMISSION_COLUMNS"""


def hospital_tables(patients: Sequence[Patient], *, scenario: Scenario, seed: int) -> HospitalTables:
    """Return the hospital's tables of `patients`: some are missing, some have no stated race, some have two.

    Args:
        patients: The patients of the archive.
        scenario: Shares of gaps and contradictions.
        seed: Seed of the random numbers.
    """
    rng = np.random.default_rng([seed, 2])
    # Twelve ids are more than a patient's stays; unused ones are simply not given out.
    hadm_ids = (20_000_000 + rng.choice(10_000_000, len(patients) * 12, replace=False)).reshape(len(patients), 12)

    people: list[dict[str, object]] = []
    admissions: list[dict[str, object]] = []
    for i, patient in enumerate(patients):
        rng = np.random.default_rng([seed, 3, i])
        if rng.random() < scenario.share_not_in_hospital_tables:
            continue

        stays = [] if rng.random() < scenario.share_without_admission else _stays(patient, rng)
        rows = [_admission(patient, stay, scenario, rng) for stay in stays]
        rows = _with_races(rows, patient.person.race, scenario, rng)
        death, rows = _with_death(patient, rows, rng)
        rows.sort(key=lambda row: row.admittime)
        admissions += [asdict(replace(row, hadm_id=int(hadm_ids[i, k]))) for k, row in enumerate(rows)]
        people.append(_patient_row(patient, death, rng))

    return HospitalTables(
        patients=pd.DataFrame(people, columns=["subject_id", "gender", *_ANCHORS, "dod"]),
        admissions=_as_written(pd.DataFrame(admissions, columns=list(ADMISSION_COLUMNS))),
    )


_ANCHORS = ("anchor_age", "anchor_year", "anchor_year_group")


def _patient_row(patient: Patient, death: datetime | None, rng: np.random.Generator) -> dict[str, object]:
    return {
        "subject_id": patient.subject_id,
        "gender": patient.person.sex,
        "anchor_age": patient.anchor_age if patient.anchor_age <= OLDEST_STATED_AGE else 91,
        "anchor_year": patient.anchor_year,
        "anchor_year_group": ANCHOR_YEAR_GROUPS[rng.integers(len(ANCHOR_YEAR_GROUPS))],
        "dod": f"{death:%Y-%m-%d}" if death else "",
    }


def _stays(patient: Patient, rng: np.random.Generator) -> list[tuple[datetime, datetime, bool]]:
    """Return admission, discharge and whether through the emergency room, of every stay: at least one, no overlaps."""
    stays: list[tuple[datetime, datetime, bool]] = []
    for study in patient.studies:
        if stays and study.time < stays[-1][1]:
            continue
        if rng.random() < _inpatient_share(study):
            start = study.time - timedelta(days=float(rng.uniform(0.05, 1.5)))
            if stays:
                start = max(start, stays[-1][1] + timedelta(hours=1))
            if start < study.time:
                stays.append((start, study.time + timedelta(days=float(0.5 + rng.exponential(4))), rng.random() < 0.6))
    if not stays:
        # An outpatient: the only stay is after all studies, so their insurance comes from this nearest stay.
        start = patient.studies[-1].time + timedelta(days=float(rng.uniform(10, 300)))
        stays.append((start, start + timedelta(days=float(rng.uniform(1, 6))), False))
    return stays


def _inpatient_share(study: Study) -> float:
    return 0.85 if study.portable else 0.45


def _admission(
    patient: Patient, stay: tuple[datetime, datetime, bool], scenario: Scenario, rng: np.random.Generator
) -> Admission:
    start, end, emergency = stay
    start, end = start.replace(microsecond=0), end.replace(microsecond=0)
    kinds = ("EW EMER.", "OBSERVATION ADMIT") if emergency else ("ELECTIVE", "URGENT", "DIRECT EMER.")
    origins = ("EMERGENCY ROOM",) if emergency else ("PHYSICIAN REFERRAL", "TRANSFER FROM HOSPITAL")
    targets = ("HOME", "HOME HEALTH CARE", "SKILLED NURSING FACILITY", "REHAB")
    child = patient.anchor_age < 18

    return Admission(
        # The number and the race are filled in once all stays are known.
        subject_id=patient.subject_id,
        hadm_id=0,
        admittime=start,
        dischtime=end,
        admission_type=str(rng.choice(kinds)),
        admission_location=str(rng.choice(origins)),
        discharge_location="HOME" if child else str(rng.choice(targets, p=(0.5, 0.28, 0.15, 0.07))),
        insurance="" if rng.random() < scenario.share_insurance_missing else patient.person.insurance,
        language=str(rng.choice(_LANGUAGES, p=(0.89, 0.04, 0.02, 0.02, 0.02, 0.01))),
        marital_status="SINGLE" if child else str(rng.choice(_MARITAL, p=(0.46, 0.34, 0.12, 0.08))),
        race="",
        edregtime=start - timedelta(hours=float(rng.integers(2, 9))) if emergency else None,
        edouttime=start + timedelta(hours=1) if emergency else None,
    )


def _race_string(group: str, rng: np.random.Generator) -> str:
    strings = RACE_STRINGS[group]
    return strings[0] if rng.random() < 0.7 else strings[rng.integers(len(strings))]


def _with_races(rows: list[Admission], race: str, scenario: Scenario, rng: np.random.Generator) -> list[Admission]:
    """State a race in every admission; some patients get an earlier admission with another race or none."""
    if not rows:
        return rows
    unknown = str(rng.choice(UNKNOWN_RACE_STRINGS))
    if rng.random() < scenario.share_race_unknown:
        return [replace(row, race=unknown) for row in rows]
    stated = _race_string(race, rng)
    rows = [replace(row, race=stated, language=rows[0].language, marital_status=rows[0].marital_status) for row in rows]
    if rng.random() < scenario.share_race_sometimes_unknown:
        rows.append(_earlier(rows[0], unknown, rng))
    if rng.random() < scenario.share_race_conflict:
        other = "OTHER" if race != "Other" else "WHITE"
        rows.append(_earlier(rows[0], other, rng))
    return rows


def _earlier(row: Admission, race: str, rng: np.random.Generator) -> Admission:
    back = timedelta(days=int(rng.integers(400, 1500)))
    return replace(
        row,
        race=race,
        admittime=row.admittime - back,
        dischtime=row.dischtime - back,
        edregtime=row.edregtime - back if row.edregtime else None,
        edouttime=row.edouttime - back if row.edouttime else None,
    )


def _with_death(
    patient: Patient, rows: list[Admission], rng: np.random.Generator
) -> tuple[datetime | None, list[Admission]]:
    """Let the old and the ill die more often, some of them in their last stay."""
    last = patient.studies[-1]
    chance = 0.02 + 0.10 * (last.person.age_years >= 65) + 0.08 * max(last.visit.acuity, 0.0)
    if rng.random() >= chance:
        return None, rows
    stay = max(rows, key=lambda row: row.dischtime, default=None)
    if stay is not None and stay.dischtime > last.time and rng.random() < 0.3:
        died = replace(stay, deathtime=stay.dischtime, discharge_location="DIED", hospital_expire_flag=1)
        return stay.dischtime, [died if row is stay else row for row in rows]
    end = max(stay.dischtime, last.time) if stay else last.time
    return end + timedelta(days=float(rng.exponential(200))), rows


def _as_written(admissions: pd.DataFrame) -> pd.DataFrame:
    for column in ("admittime", "dischtime", "deathtime", "edregtime", "edouttime"):
        times = pd.to_datetime(admissions[column])
        admissions[column] = times.dt.strftime("%Y-%m-%d %H:%M:%S").fillna("")
    return admissions
