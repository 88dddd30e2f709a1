"""Reading CSV files as text, with errors that say what was found."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from common.plain_values import plain_ids

_JOINED_BY = ("subject_id", "study_id")


def read_strings(
    path: Path | str, *, columns: Sequence[str] = (), only: Sequence[str] | bool = False, what: str
) -> pd.DataFrame:
    """Return a `.csv` or `.csv.gz` with every field as the string that stands in it.

    Nothing is taken for missing: "NA", "None" and "null" are words that people write in reports, and an id such as
    "007" is no number. Only the ids of patients and studies lose what a spreadsheet adds (`plain_values.plain_ids`), so
    that "10000032.0" of one table meets "10000032" of another.

    Args:
        path: The file.
        columns: Names that must be there.
        only: Leave other columns unread, to save time and memory: True for all but `columns`, or the names to read.
        what: What the file is, for the messages ("the cohort table").

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is no CSV, has no header or no rows, or lacks a column.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{what}: wanted the file {path}, found none; check the path")

    chosen = set(columns if only is True else only or ())
    usecols = chosen.__contains__ if chosen else None
    try:
        frame = pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8-sig", usecols=usecols)
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{what}: {path} is empty; wanted a CSV with a header line") from error
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError) as error:
        raise ValueError(f"{what}: {path} cannot be read as UTF-8 CSV ({error}); write it again") from error

    for name in _JOINED_BY:
        if name in frame:
            frame[name] = plain_ids(frame[name])

    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(
            f"{what}: {path} lacks the column{'s' if len(missing) > 1 else ''} {some(missing)}; "
            f"found {some(frame.columns, 20)}"
        )
    if frame.empty:
        raise ValueError(f"{what}: {path} has a header but no rows")
    return frame


def some(values: Iterable[object], limit: int = 5) -> str:
    """Return the first few of `values` for a message: `'a', 'b' and 7 more`."""
    shown = [repr(str(value)) for value in values]
    rest = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {rest} more" if rest > 0 else "")


def refuse_repeated(ids: Sequence[str] | pd.Series, *, what: str, advice: str) -> None:
    """Raise `ValueError` naming the first ids that occur more than once or are blank."""
    series = pd.Series(ids, dtype=str)
    blank = int((series.str.strip() == "").sum())
    if blank:
        raise ValueError(f"{what}: {blank} of {len(series)} ids are blank. {advice}")
    repeated = series[series.duplicated()].unique()
    if len(repeated):
        raise ValueError(f"{what}: {len(repeated)} ids occur more than once: {some(repeated)}. {advice}")
