"""Labels by column name, and the named policies for uncertain and unmentioned findings."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cohort._csv import read_strings, refuse_repeated, some
from cohort.names import FINDINGS
from common.plain_values import plain_words

POLICIES: tuple[str, ...] = ("U-keep", "U-zeros", "U-ones", "U-ignore", "U-mixed")
"""What becomes of -1: kept, 0, 1, missing, or 1 for Edema and Atelectasis and 0 for the others."""

MIXED_TO_ONE = ("Atelectasis", "Edema")
SPELLINGS = {"Lung Opacity": "Airspace Opacity"}
"""The radiologist's test set of MIMIC-CXR-JPG 2.1.0 names one finding differently."""


def read_labels(
    path: Path | str, findings: Sequence[str] = FINDINGS, *, id_column: str | None = "image_id"
) -> pd.DataFrame:
    """Return labels chosen by column name, float64 in {1, 0, -1, NaN}, one row per id.

    Published label files order the same columns differently, so position is never used. Reads the phantom's
    `truth.csv`, CheXpert's `groundtruth.csv` (`id_column="Study"`) and files like them.

    Args:
        path: A `.csv` or `.csv.gz`.
        findings: Columns wanted, in the order wanted.
        id_column: Column that becomes the index "image_id"; None for a file that has no ids, as CheXzero's
            `groundtruth.csv` paired by row: the index is then the row number.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A column is missing, an id is blank or repeated, or a value is none of 1, 0, -1, blank.
    """
    frame = read_strings(path, columns=[] if id_column is None else [id_column], what="the labels")
    names = {finding: _spelling(finding, frame) for finding in findings}
    missing = [finding for finding, name in names.items() if name not in frame]
    if missing:
        raise ValueError(f"the labels: {path} has no column for {some(missing)}; found {some(frame.columns, 20)}")
    labels = pd.DataFrame({finding: to_labels(frame[name], what=f"{path}, {name}") for finding, name in names.items()})
    if id_column is not None:
        refuse_repeated(frame[id_column], what=f"the labels {path}, {id_column}", advice="Keep one row per id.")
        labels.index = pd.Index(frame[id_column], name="image_id")
    return labels


def to_labels(texts: pd.Series, *, what: str) -> pd.Series:
    """Return label texts as numbers: "1.0", "0", "-1.0" and blank become 1, 0, -1 and NaN.

    Raises:
        ValueError: Any other text; the first ones are named with `what`.
    """
    blank = plain_words(texts).eq("")
    numbers = pd.to_numeric(texts.where(~blank), errors="coerce").astype("float64")
    wrong = texts[~blank & ~numbers.isin([1.0, 0.0, -1.0])].unique()
    if len(wrong):
        raise ValueError(f"labels: {what} holds {some(wrong)}; wanted 1, 0, -1 or nothing")
    return numbers


def apply_uncertainty(
    frame: pd.DataFrame, policy: str, *, findings: Sequence[str] = FINDINGS, blank_is_zero: bool = False
) -> pd.DataFrame:
    """Return a copy in which uncertain labels (-1) follow a named policy.

    Args:
        frame: Has one or more of the findings as columns; other columns stay as they are.
        policy: One of `POLICIES`.
        findings: Columns of labels, of any name.
        blank_is_zero: Take findings that a report does not mention for absent, as much published work does.

    Raises:
        ValueError: No such policy.

    Source:
        Irvin et al., CheXpert, arXiv 1901.07031, section 3.1 (U-Ignore, U-Zeroes, U-Ones).
    """
    if policy not in POLICIES:
        raise ValueError(f"uncertainty policy: wanted one of {some(POLICIES)}, found {policy!r}")
    decided = frame.copy()
    for finding in [name for name in findings if name in frame]:
        ones = policy == "U-ones" or (policy == "U-mixed" and finding in MIXED_TO_ONE)
        value = {"U-keep": -1.0, "U-ignore": float("nan")}.get(policy, 1.0 if ones else 0.0)
        labels = frame[finding].astype("float64")
        filled = labels.fillna(0.0) if blank_is_zero else labels
        decided[finding] = filled.mask(labels.eq(-1.0), value)
    return decided


def _spelling(finding: str, frame: pd.DataFrame) -> str:
    return SPELLINGS.get(finding, finding) if finding not in frame else finding
