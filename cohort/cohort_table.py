"""The cohort table: one row per image, read, checked and written in one place."""

import gzip
from pathlib import Path

import pandas as pd

from cohort._csv import read_strings, refuse_repeated, some
from cohort.names import COLUMNS, FINDINGS, SOURCES, VIEWS
from common.atomic import write_whole
from common.plain_values import comparable_ids

__all__ = ["COLUMNS", "FINDINGS", "read_cohort", "validate", "write_cohort"]

NUMERIC = ("age_years", *FINDINGS, "h5_row")
MAX_AGE_YEARS = 120.0
MANY_IMAGES = 100
"""An archive of this size has more than one patient"""


def read_cohort(path: Path | str) -> pd.DataFrame:
    """Return the cohort table of a `.csv` or `.csv.gz`, checked by `validate`.

    Ids and words are strings ("" where unknown), labels float64 in {1, 0, -1, NaN}, `age_years` float64 and `h5_row`
    Int64, which is <NA> for an image that was not packed. Extra columns follow as strings.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A column is missing, a number cannot be read, or `validate` objects.
    """
    frame = read_strings(path, columns=COLUMNS, what="the cohort table")
    for name in NUMERIC:
        frame[name] = _numbers(frame[name], name=name, path=path)
    if bool((frame["h5_row"].dropna() % 1 != 0).any()):
        raise ValueError(f"the cohort table: {path}: the column 'h5_row' has fractions; preprocess again")
    frame["h5_row"] = frame["h5_row"].astype("Int64")
    frame = _in_order(frame)
    validate(frame)
    return frame


def write_cohort(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a cohort table whole or not at all, after `validate`; a name that ends in `.gz` is compressed.

    Raises:
        ValueError: `validate` objects; nothing is written.
    """
    validate(frame)
    written = _in_order(frame).copy()
    for name in (*FINDINGS, "h5_row"):
        written[name] = written[name].astype("Int64")
    content = written.to_csv(index=False, lineterminator="\n").encode()
    if Path(path).suffix == ".gz":
        # No time stamp and no file name inside: the same table gives the same bytes.
        content = gzip.compress(content, mtime=0)
    with write_whole(path) as temporary:
        temporary.write_bytes(content)


def validate(frame: pd.DataFrame) -> None:
    """Check what every user of a cohort table relies on.

    All of `COLUMNS` are there; `image_id` is filled and unique; every image has a patient; views, sources, sex, labels
    and ages are in their ranges; no two images share an `h5_row`; and no patient is in two splits.

    Raises:
        ValueError: The first rule that is broken, with the first images that break it.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise ValueError(f"the cohort table lacks the columns {some(missing)}; found {some(frame.columns, 20)}")
    refuse_repeated(frame["image_id"], what="the cohort table, image_id", advice="Give every image one id of its own.")
    _refuse(frame, frame["subject_id"].isin([""]) | frame["subject_id"].isna(), "no subject_id")
    for name, allowed in (("view", VIEWS), ("source", SOURCES), ("sex", ("F", "M", ""))):
        _refuse(frame, ~frame[name].isin(allowed), f"a {name} that is none of {some(allowed, 9)}")
    for finding in FINDINGS:
        wrong = frame[finding].notna() & ~frame[finding].isin([1.0, 0.0, -1.0])
        _refuse(frame, wrong, f"a label of {finding!r} that is none of 1, 0, -1, blank")
    age = frame["age_years"]
    _refuse(frame, age.notna() & ~age.between(0.0, MAX_AGE_YEARS), f"an age outside 0 to {MAX_AGE_YEARS:g} years")
    packed = frame["h5_row"].dropna()
    _refuse(frame, frame["h5_row"].lt(0).fillna(value=False).astype(bool), "a negative h5_row")
    _refuse(frame, frame["h5_row"].isin(packed[packed.duplicated()]), "an h5_row that another image has too")
    _refuse_split_patients(frame)


def listed(frame: pd.DataFrame, *, dataset: str, source: str) -> pd.DataFrame:
    """Return what a reader of an archive found as a cohort table: named, none of it packed yet, in order, checked.

    An image to which the reader gave a `status_reason` is "excluded" from the start and in no split, the others are
    "listed".

    Raises:
        ValueError: `validate` objects, or an archive of `MANY_IMAGES` or more has one patient.
    """
    reasons = frame["status_reason"] if "status_reason" in frame else pd.Series("", index=frame.index)
    status = reasons.eq("").map({True: "listed", False: "excluded"})
    split = frame["split"].where(reasons.eq(""), "")
    frame = frame.assign(dataset=dataset, source=source, status=status, status_reason=reasons, split=split)
    frame["h5_row"] = pd.array([pd.NA] * len(frame), dtype="Int64")
    validate(frame)
    _refuse_one_patient(frame)
    return _in_order(frame)


def _refuse(frame: pd.DataFrame, wrong: pd.Series, what: str) -> None:
    if wrong.any():
        ids = frame.loc[wrong, "image_id"]
        raise ValueError(f"the cohort table: {len(ids)} of {len(frame)} images have {what}: {some(ids)}")


def _refuse_one_patient(frame: pd.DataFrame) -> None:
    patients = frame["subject_id"].unique()
    if len(frame) >= MANY_IMAGES and len(patients) == 1:
        raise ValueError(
            f"the cohort table: wanted the patient of each image as subject_id, found {patients[0]!r} for all "
            f"{len(frame)} images; is it the name of a folder or a split? Splits and intervals go by patient"
        )


def _refuse_split_patients(frame: pd.DataFrame) -> None:
    assigned = frame.loc[frame["split"].ne(""), ["subject_id", "split"]].drop_duplicates()
    assigned = assigned.assign(patient=comparable_ids(assigned["subject_id"])).drop_duplicates(["patient", "split"])
    torn = assigned.loc[assigned["patient"].duplicated(), "subject_id"].unique()
    if len(torn):
        raise ValueError(
            f"the cohort table: {len(torn)} patients are in more than one split: {some(torn)}; "
            "split by patient (cohort.split_by_patient)"
        )


def _numbers(texts: pd.Series, *, name: str, path: Path | str) -> pd.Series:
    numbers = pd.to_numeric(texts.where(texts.ne("")), errors="coerce").astype("float64")
    wrong = texts[numbers.isna() & texts.ne("")].unique()
    if len(wrong):
        raise ValueError(f"the cohort table: {path}: the column {name!r} holds what is no number: {some(wrong)}")
    return numbers


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    extra = [name for name in frame.columns if name not in COLUMNS]
    return frame[[*COLUMNS, *extra]]
