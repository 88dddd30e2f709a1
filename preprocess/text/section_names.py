"""Which section a heading opens, by the rule and the vocabulary behind MIMIC-CXR's own section files."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


def normalise_heading(heading: str) -> str:
    """Return the section that a heading opens: "CLINICAL HISTORY" gives "history", "CHEST, PA AND LATERAL" "findings".

    A known spelling decides; else a section's word within the heading; else a word that describes the view, under
    which findings are written; else the heading itself, in lower case.

    Source: MIT-LCP/mimic-cxr, txt/section_parser.py, normalize_section_names.
    """
    heading = heading.lower().strip()
    known = spellings().get(heading) or contained_section(heading)
    if known:
        return known
    return "findings" if any(word in heading for word in _vocabulary().view_words) else heading


def contained_section(heading: str) -> str | None:
    """Return the section whose word is part of a heading, None if there is none."""
    return next((word for word in _vocabulary().contained_words if word in heading.lower()), None)


def spellings() -> dict[str, str]:
    """Return every known spelling of a heading, mistyped ones included, and its section."""
    return _vocabulary().spellings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vocabulary:
    spellings: dict[str, str]
    contained_words: tuple[str, ...]
    view_words: tuple[str, ...]


@cache
def _vocabulary() -> _Vocabulary:
    file = Path(__file__).with_name("section_headings.json")
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    known = {spelling: section for section, variants in table["spellings"].items() for spelling in variants}
    return _Vocabulary(
        spellings=known,
        contained_words=tuple(table["contained_words"]),
        view_words=tuple(table["view_words"]),
    )
