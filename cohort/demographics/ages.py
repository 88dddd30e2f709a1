"""Age at the time of the study, and why it is missing where it is."""

import re

import numpy as np
import pandas as pd

from cohort.cohort_table import MAX_AGE_YEARS
from common.plain_values import plain_words

TOP_CODE_FROM = 90.0
"""MIMIC-IV replaces every anchor age above 89 by 91."""
EARLIER_THAN_TOP_CODE = "top-coded at the anchor, film of an earlier year"

_YEARS_PER_UNIT = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_DICOM_AGE = re.compile(r"(\d{1,3})([YMWD])")


def age_at_study(anchor_age: pd.Series, anchor_year: pd.Series, study_date: pd.Series) -> pd.DataFrame:
    """Return the age of a MIMIC patient when the image was taken.

        age = anchor_age + (StudyDate // 10000 - anchor_year)

    Both archives shift a patient's dates by the same amount, so the difference of years is true. It ignores birthdays
    and is therefore off by less than a year.

    Args:
        anchor_age: Years at the anchor, (n,) texts; blank for images without a MIMIC-IV patient.
        anchor_year: Shifted year, (n,) texts.
        study_date: "YYYYMMDD", shifted, (n,) texts.

    Returns:
        `age_years` float64; `age_reason`, "" or why the age is missing; `age_top_coded`, "yes" where the patient was
        90 or older at the anchor, so that the age is only known to be high. In an earlier year such a patient may have
        been 85 or 95, so that the age is missing.

    Source:
        Johnson et al., MIMIC-IV, Sci Data 2023;10:1, on anchor_age and anchor_year.
    """
    anchor = _number(anchor_age)
    study_year = _number(study_date.where(study_date.str.fullmatch(r"\d{8}"), "")) // 10_000
    age = anchor + study_year - _number(anchor_year)
    no_patient = anchor_age.eq("")
    top_coded = anchor >= TOP_CODE_FROM
    before_anchor = top_coded & (study_year < _number(anchor_year))
    missing = np.select(
        [no_patient, before_anchor], ["no MIMIC-IV patient", EARLIER_THAN_TOP_CODE], default="unparsable date or anchor"
    )
    frame = _with_reasons(age.mask(before_anchor), missing=missing)
    frame["age_top_coded"] = np.where(top_coded, "yes", "")
    return frame


def parse_ages(texts: pd.Series) -> pd.DataFrame:
    """Return ages written as years ("63", "0.5") or in DICOM's age string ("063Y", "007M", "002W", "010D").

    Returns:
        `age_years` float64 and `age_reason`: "" or why the age is missing ("not given", "unparsable", "negative",
        "over 120").
    """
    stripped = plain_words(texts)
    age = stripped.map({text: _years(text) for text in stripped.unique()}).astype("float64")
    return _with_reasons(age, missing=np.where(stripped.eq(""), "not given", "unparsable"))


def _with_reasons(age: pd.Series, *, missing: np.ndarray) -> pd.DataFrame:
    reason = np.select([age.isna(), age < 0, age > MAX_AGE_YEARS], [missing, "negative", "over 120"], default="")
    return pd.DataFrame({"age_years": age.where(reason == ""), "age_reason": reason}, index=age.index)


def _years(text: str) -> float:
    written = _DICOM_AGE.fullmatch(text.upper())
    if written:
        return int(written[1]) * _YEARS_PER_UNIT[written[2]]
    try:
        years = float(text)
    except ValueError:
        return float("nan")
    return years if np.isfinite(years) else float("nan")


def _number(texts: pd.Series) -> pd.Series:
    return pd.to_numeric(texts.where(texts.ne("")), errors="coerce").astype("float64")
