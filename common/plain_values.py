"""What people and programs type, made comparable: one rule for words, and one for ids, whatever table they stand in."""

import re

import pandas as pd

MISSING = frozenset({"", "nan", "nat", "null", "none", "<na>", "na", "n/a", "n.a.", "n.a", "#n/a", "-", "--", "?"})
"""What programs write for a value that is not there, in lower case."""
NOT_SAID = MISSING | {"unknown", "not reported", "not stated", "not specified", "not available", "declined", "missing"}
"""Words for a race, a sex or an insurance that is not known, in lower case."""

_BLANKS = re.compile(r"[\s\u200b\ufeff]+")
_WHOLE_NUMBER = re.compile(r"(-?\d+)\.0+")
_ID = re.compile(r"(?:patient|subject|study|p|s)?[ _-]?(\d+)")
_HEX_DIGITS = 8
_PART = re.compile(rf"(?=\d*[a-f])[0-9a-f]{{{_HEX_DIGITS},}}|\d+|[a-z]+")
_FILE_ENDING = re.compile(r"\.(?:jpe?g|png|dcm|dicom|tiff?|bmp)$")


def plain_words(texts: pd.Series) -> "pd.Series[str]":
    """Return texts on one line without outer blanks; what stands for a missing value ("nan", "NULL") becomes ""."""
    found = {text: plain_word(text) for text in texts.unique()}
    return texts.map(found).astype(str)


def one_spelling(texts: pd.Series) -> "pd.Series[str]":
    """Return plain words of which those that differ only in case have the spelling that is most frequent, then first.

    >>> one_spelling(pd.Series(["White", "WHITE", "white ", "White"])).unique().tolist()
    ['White']
    """
    words = plain_words(texts)
    counts = words.value_counts(sort=False)
    spellings: dict[str, str] = {}
    for word in counts.sort_values(ascending=False, kind="stable").index:
        spellings.setdefault(word.casefold(), word)
    return words.map({word: spellings[word.casefold()] for word in counts.index}).astype(str)


def plain_ids(texts: pd.Series) -> "pd.Series[str]":
    """Return ids without what a spreadsheet adds: outer blanks, and ".0" behind a whole number; "nan" becomes ""."""
    return plain_words(texts).str.replace(rf"^{_WHOLE_NUMBER.pattern}$", r"\1", regex=True)


def comparable_ids(texts: pd.Series) -> "pd.Series[str]":
    """Return ids by which two tables can be compared: "p10335852", "10335852.0" and " 10335852" are one patient.

    Case, leading zeros, the words in front of a number and the ending of a file name do not count.
    """
    ids = plain_ids(texts)
    return ids.map({one: _comparable(one) for one in ids.unique()}).astype(str)


def forms_of(ids: pd.Series) -> set[str]:
    """Return how comparable ids are written: "0" for a number, "a-0" for letters, a dash and a number."""
    return {form_of(one) for one in ids.unique() if one}


def form_of(one: str) -> str:
    """Return `forms_of` one comparable id."""
    return _PART.sub(lambda part: "0" if part[0].isdigit() else "h" if any(map(str.isdigit, part[0])) else "a", one)


def plain_word(text: str) -> str:
    """Return `plain_words` of one text."""
    word = _BLANKS.sub(" ", text).strip()
    return "" if word.lower() in MISSING else word


def _comparable(one: str) -> str:
    plain = _FILE_ENDING.sub("", one.casefold())
    number = _ID.fullmatch(plain)
    return number[1].lstrip("0") or "0" if number else plain
