"""The insurance under which a study was made: that of the hospital admission which contains it."""

from typing import Final

import numpy as np
import pandas as pd

LINKS: Final = ("admission", "emergency", "nearest")
"""How a study found its admission, best first."""

STUDIES_AT_A_TIME = 5_000
"""Bounds the memory: every study is paired with all admissions of its patient, and some patients have hundreds."""


def insurance_by_study(studies: pd.DataFrame, admissions: pd.DataFrame) -> pd.DataFrame:
    """Return insurance and link for every row of `studies`, under its index.

    A study at time t belongs to the patient's admission with admittime <= t <= dischtime ("admission"); else to the
    one with edregtime <= t <= edouttime ("emergency"); else to the one whose stay is nearest in time ("nearest"); with
    no admission on record it stays unknown. Where several fit equally, the earliest is taken, then the smallest
    `hadm_id`. An insurance that the chosen admission leaves blank is not sought elsewhere.

    Args:
        studies: `subject_id` and `taken` (datetime, NaT allowed), one row per study.
        admissions: `subject_id`, `hadm_id`, `insurance` (texts) and `admittime`, `dischtime`, `edregtime`, `edouttime`
            (datetimes; only `admittime` is needed, rows without it are ignored).

    Returns:
        `raw_insurance` and `insurance_link` (one of `LINKS`, or "" for unknown).
    """
    stays = admissions[admissions["admittime"].notna()]
    # Row numbers, because the index of `studies` may be anything.
    numbered = studies[["subject_id", "taken"]].assign(row=np.arange(len(studies)))
    timed = numbered[numbered["taken"].notna()]
    found = pd.DataFrame({"raw_insurance": "", "insurance_link": ""}, index=numbered["row"], dtype=str)
    for start in range(0, len(timed), STUDIES_AT_A_TIME):
        best = _best_stays(timed.iloc[start : start + STUDIES_AT_A_TIME], stays)
        found.loc[best["row"], "raw_insurance"] = best["insurance"].to_numpy()
        found.loc[best["row"], "insurance_link"] = np.array(LINKS)[best["rank"].to_numpy()]
    return found.set_axis(studies.index)


def _best_stays(studies: pd.DataFrame, stays: pd.DataFrame) -> pd.DataFrame:
    """Return the stay that each study belongs to, with `row` and `rank`, an index into `LINKS`."""
    pairs = studies.merge(stays, on="subject_id", how="inner")
    taken, begin = pairs["taken"], pairs["admittime"]
    # Some records end before they begin; such a stay is a point in time.
    end = pairs["dischtime"].where(pairs["dischtime"] > begin, begin)
    in_stay = (begin <= taken) & (taken <= end)
    in_emergency = (pairs["edregtime"] <= taken) & (taken <= pairs["edouttime"])
    outside = (begin - taken).where(taken < begin, taken - end).dt.total_seconds()
    pairs["rank"] = np.select([in_stay, in_emergency], [0, 1], default=2)
    pairs["seconds_away"] = outside.where(pairs["rank"].eq(2), 0.0)
    return pairs.sort_values(["row", "rank", "seconds_away", "admittime", "hadm_id"]).drop_duplicates("row")


def study_time(date: pd.Series, time: pd.Series) -> pd.Series:
    """Return the moments of MIMIC-CXR's StudyDate ("21800506") and StudyTime ("213014.531", leading zeros optional).

    A study without a readable time is set to noon of its day; without a readable date it is NaT.
    """
    day = pd.to_datetime(date.where(date.str.fullmatch(r"\d{8}")), format="%Y%m%d", errors="coerce")
    clock = pd.to_numeric(time.where(time.str.fullmatch(r"\d{1,6}(\.\d*)?")), errors="coerce").fillna(120_000.0)
    seconds = (clock // 10_000) * 3600 + (clock // 100 % 100) * 60 + clock % 100
    return day + pd.to_timedelta(seconds, unit="s")
