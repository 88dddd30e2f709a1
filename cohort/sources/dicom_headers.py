"""Few, named fields of many DICOM headers: sex, age and view for archives that keep them nowhere else.

Only the fields asked for are read, by keyword, and no pixels. Nothing else of a header leaves this function.
"""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from cohort.flow import Flow
from common.progress import progress

# Its lines and warnings quote elements, among them names. A filter would hold up its own lines only.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False

# What pydicom raises on damaged files, besides its own class; NotImplementedError for a kind of value it does not know.
_DAMAGE = (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError)


def read_headers(paths: pd.Series, keywords: Sequence[str]) -> pd.DataFrame:
    """Return the fields of each file as texts, "" where a field or the file is missing.

    Args:
        paths: DICOM files, (n,).
        keywords: DICOM keywords such as "PatientAge", "PatientSex", "ViewPosition".

    Returns:
        One column per keyword, and `unreadable`: "" or the name of the error that the file gave. The index of `paths`.
    """
    with warnings.catch_warnings():
        # pydicom warns of every value that breaks the standard, such as the age "51"; the texts are checked later.
        warnings.simplefilter("ignore")
        rows = [_read(path, keywords) for path in progress(paths, desc="DICOM headers", unit="file")]
    return pd.DataFrame(rows, columns=[*keywords, "unreadable"], index=paths.index, dtype=str)


def note_unreadable(frame: pd.DataFrame, headers: pd.DataFrame, flow: Flow) -> None:
    """Count the headers that could not be read, by the error that they gave."""
    for error, count in headers.loc[headers["unreadable"].ne(""), "unreadable"].value_counts().items():
        flow.note(frame, f"DICOM header cannot be read: {error}", rows=int(count), fault=True)


def _read(path: str, keywords: Sequence[str]) -> list[str]:
    try:
        header = dcmread(
            path, stop_before_pixels=True, specific_tags=list(keywords), force=_has_no_preamble(Path(path))
        )
        return [*(_text(header.get(keyword)) for keyword in keywords), ""]
    except _DAMAGE as error:
        return [*([""] * len(keywords)), type(error).__name__]


def _has_no_preamble(path: Path) -> bool:
    """Return whether a file begins with the first groups of DICOM, as one that was saved without its preamble.

    Raises:
        OSError: Not a regular file: opening a pipe would wait for a writer.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a file")
    with path.open("rb") as file:
        return file.read(2) in (b"\x02\x00", b"\x08\x00")


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
