"""Translation of an archive's own words ("BLACK/CAPE VERDEAN", "w", "AP SUPINE") by tables kept as CSV data.

Each table in `cohort/tables/` has the columns `raw` and `group`. A changed translation is a new file with a new
version in its name, so that results can say which one they used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cohort._csv import read_strings, refuse_repeated, some
from common.plain_values import plain_word

TABLES = Path(__file__).parent / "tables"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTable:
    """Raw words to groups; case and blanks do not matter, and what stands for a missing value is the word ""."""

    name: str
    """For messages and for the record, e.g. "race_mimic_v2.csv"."""
    groups: Mapping[str, str]
    """Raw word, stripped and case-folded, to group. Unknown is "", because a missing value stays blank in a cohort."""

    def translate(self, raw: pd.Series, *, unlisted: str = "") -> pd.Series:
        """Return the group of every word; a word that the table does not know becomes `unlisted`."""
        found = {word: self.groups.get(_key(word), unlisted) for word in raw.unique()}
        return raw.map(found).astype(str)

    def knows(self, word: str) -> bool:
        """Return whether the table has this word."""
        return _key(word) in self.groups

    def unlisted(self, raw: pd.Series) -> pd.Series:
        """Return how often each word occurs that the table does not know, most frequent first."""
        unknown = [word for word in raw.unique() if _key(word) not in self.groups]
        return raw[raw.isin(unknown)].value_counts()


def read_value_table(name: Path | str) -> ValueTable:
    """Return a table of `cohort/tables/` by its file name, or any CSV with the columns `raw` and `group` by its path.

    Raises:
        FileNotFoundError: Neither exists; the shipped tables are named.
        ValueError: A column is missing or a raw word is there twice.
    """
    shipped = TABLES / name
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        known = some(sorted(table.name for table in TABLES.glob("*.csv")), 20)
        raise FileNotFoundError(f"value table: {name} is neither a file nor one of {known}")
    frame = read_strings(path, columns=["raw", "group"], what="value table")
    keys = frame["raw"].map(_key)
    refuse_repeated(keys[keys.ne("")], what=f"value table {path}, raw", advice="Keep one row per word.")
    groups = frame["group"].str.strip()
    return ValueTable(name=path.name, groups=dict(zip(keys, groups.mask(groups.eq("Unknown"), ""), strict=True)))


def _key(word: str) -> str:
    return plain_word(word).casefold()
