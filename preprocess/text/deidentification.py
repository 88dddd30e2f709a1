"""The marks that de-identification leaves in place of names and dates: `___` (MIMIC-CXR) and `XXXX` (Open-i)."""

import re

# Possessive: a run is one mark and is never tried in pieces.
MARK = r"(?:_{2,}+|\bX{4,}\b)"

_MARK = re.compile(MARK)
# "Dr. ___", "on ___ at ___", "(___)" and "___-year-old" lose what only introduces the mark.
_MARK_WITH_FRAME = re.compile(
    rf"\(\s*{MARK}\s*\)"
    rf"|(?:\b(?:(?:of|from|on|at|to|by|with|dated|since|in)\s+)?(?:(?:dr|mr|mrs|ms)\b\.?\s*)?)?{MARK}(?:'s\b)?[-/]?",
    re.IGNORECASE,
)
_BLANKS_BEFORE_MARK = re.compile(r"\s+([,.;:!?)])")
_REPEATED_COMMAS = re.compile(r"([,;])(?:\s*[,;])+")
_COMMA_AT_END = re.compile(r"(?<![,;:\s])[,;:\s]+(?=[.!?])")
_REPEATED_END = re.compile(r"([.!?])(?:\s?\.)+")


def count_marks(text: str) -> int:
    """Return how many words were removed from a text, each run of marks counted once."""
    return len(_MARK.findall(text))


def without_marks(text: str) -> str:
    """Return a text without marks, nor the preposition or title that introduced them; one without marks as it is.

    >>> without_marks("Compared to ___, unchanged. Discussed with Dr. ___ at ___ on ___.")
    'Compared, unchanged. Discussed.'
    """
    return tidy(_MARK_WITH_FRAME.sub(" ", text)) if _MARK.search(text) else text


def blank_marks(text: str) -> str:
    """Return a text with blanks for marks and all else as it was: what remains is what the author can be read on."""
    return _MARK.sub(" ", text)


def tidy(text: str) -> str:
    """Return a text on one line without the gaps and stray commas that cut-out words leave behind."""
    line = _BLANKS_BEFORE_MARK.sub(r"\1", " ".join(text.split()))
    line = _COMMA_AT_END.sub("", _REPEATED_COMMAS.sub(r"\1", line))
    return _REPEATED_END.sub(r"\1", line).lstrip(",;:.!? ")
