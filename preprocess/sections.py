"""Radiology reports cut into sections, by the rule behind MIMIC-CXR's own section files.

A heading is a line that starts with one blank, then capitals, then a colon. Its spelling is looked up in
`section_headings.json`, which has for every section the ways in which people write (and mistype) it.

Source: MIT-LCP/mimic-cxr (folder txt): the rule and the vocabulary of headings; the code is our own.
"""

import json
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

Wanted = Literal["impression", "findings", "both"]

FULL_REPORT = "full report"
LAST_PARAGRAPH = "last_paragraph"
NONE = "none"

_HEADING = re.compile(r"\n ([A-Z ()/,-]+):\s")
_PARAGRAPH_BREAK = "\n \n"
_READINGS = ("impression", "findings")

# In the official files a report without any of the first three has usually been typed under COMPARISON.
_OFFICIAL_ORDER = ("impression", "findings", LAST_PARAGRAPH, "comparison")

_FALLBACKS: dict[str, tuple[str, ...]] = {
    "impression": ("impression", "findings", LAST_PARAGRAPH),
    "findings": ("findings", "impression", LAST_PARAGRAPH),
}

_REMOVED_BY_DEIDENTIFICATION = re.compile(r"_{2,}")
_PLACEHOLDERS = frozenset(
    {"n/a", "na", "none", "nil", "as above", "see above", "as below", "see below", "see findings", "see findings above"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of a report."""

    name: str
    """Normalised heading, in lower case."""
    start: int
    """First character of `text` in the report; 3 too few for a last paragraph, as the official parser reckons."""
    text: str
    """Everything up to the next heading, line breaks included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The text that a study contributes, and where it was found."""

    text: str
    """On one line; empty when the report has nothing usable."""
    section_used: str
    """"impression", "findings", "findings+impression", "last_paragraph", "full report" or "none"."""


def split_sections(report: str) -> list[Section]:
    """Return the sections of a report in order.

    What stands above the first heading is the section "preamble"; a report without headings is one "full report".
    Blank impressions and findings are dropped. If then neither is left, everything below the first blank line of the
    last section becomes "last_paragraph". A heading on the same line as the one before it is not one.

    Source: MIT-LCP/mimic-cxr, txt/section_parser.py, section_text.
    """
    sections = [section for section in _by_headings(report) if section.name not in _READINGS or section.text.strip()]
    if any(section.name in _READINGS for section in sections):
        return sections
    head, blank_line, rest = sections[-1].text.partition(_PARAGRAPH_BREAK)
    if not blank_line:
        return sections
    last = Section(name=LAST_PARAGRAPH, start=sections[-1].start + len(head), text=rest)
    return [*sections[:-1], replace(sections[-1], text=head), last]


def normalise_heading(heading: str) -> str:
    """Return the section that a heading opens: "CLINICAL HISTORY" gives "history", "CHEST, PA AND LATERAL" "findings".

    A known spelling decides; else a section's word within the heading; else a word that describes the view, under
    which findings are written; else the heading itself, in lower case.

    Source: MIT-LCP/mimic-cxr, txt/section_parser.py, normalize_section_names.
    """
    heading = heading.lower().strip()
    vocabulary = _vocabulary()
    if heading in vocabulary.spellings:
        return vocabulary.spellings[heading]
    contained = next((word for word in vocabulary.contained_words if word in heading), None)
    if contained is not None:
        return contained
    return "findings" if any(word in heading for word in vocabulary.view_words) else heading


def section_text(sections: list[Section], name: str) -> str | None:
    """Return the stripped text of the last section of that name, None if there is none."""
    return next((section.text.strip() for section in reversed(sections) if section.name == name), None)


def official_conclusion(sections: list[Section]) -> str:
    """Return the text that the official files give for a report: impression, findings, last paragraph or comparison.

    Source: MIT-LCP/mimic-cxr, txt/create_section_files.py.
    """
    texts = (section_text(sections, name) for name in _OFFICIAL_ORDER)
    return next((text for text in texts if text is not None), "")


def choose_text(sections: list[Section], wanted: Wanted = "impression") -> Choice:
    """Return the text to train on, on one line, and the section that it comes from.

    An impression is looked for first, then findings, then a last paragraph ("findings": findings before impression).
    "both" joins findings and impression, in this order, if both are usable, and is "impression" otherwise. A text of
    nothing but removed words (`___`), or one that only points elsewhere ("N/A", "See above."), is not usable.
    """
    usable = {name: _usable(section_text(sections, name)) for name in _FALLBACKS["impression"]}
    if wanted == "both" and usable["findings"] and usable["impression"]:
        return Choice(text=f"{usable['findings']} {usable['impression']}", section_used="findings+impression")
    order = _FALLBACKS["findings" if wanted == "findings" else "impression"]
    used = next((name for name in order if usable[name]), NONE)
    return Choice(text=usable.get(used, ""), section_used=used)


def choose_caption(text: str, wanted: Wanted = "impression") -> Choice:
    """Return `choose_text` of a report, or the whole text if it has no headings: a caption, a note, one sentence."""
    sections = split_sections(text)
    if any(section.name == "preamble" for section in sections):
        return choose_text(sections, wanted)
    whole = _usable(text)
    return Choice(text=whole, section_used=FULL_REPORT if whole else NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vocabulary:
    spellings: dict[str, str]
    contained_words: tuple[str, ...]
    view_words: tuple[str, ...]


@cache
def _vocabulary() -> _Vocabulary:
    file = Path(__file__).with_name("section_headings.json")
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    spellings = {spelling: section for section, variants in table["spellings"].items() for spelling in variants}
    return _Vocabulary(
        spellings=spellings,
        contained_words=tuple(table["contained_words"]),
        view_words=tuple(table["view_words"]),
    )


def _by_headings(report: str) -> list[Section]:
    headings = list(_HEADING.finditer(report))
    if not headings:
        return [Section(name=FULL_REPORT, start=0, text=report)]
    preamble = Section(name="preamble", start=0, text=report[: headings[0].start(1)])
    ends = [*(heading.start() for heading in headings[1:]), len(report)]
    return [
        preamble,
        *(
            Section(name=normalise_heading(heading[1]), start=heading.end(), text=report[heading.end() : end])
            for heading, end in zip(headings, ends, strict=True)
        ),
    ]


def _usable(text: str | None) -> str:
    line = " ".join((text or "").split())
    words = _REMOVED_BY_DEIDENTIFICATION.sub(" ", line)
    says_something = any(character.isalpha() for character in words)
    return line if says_something and line.lower().strip(" .") not in _PLACEHOLDERS else ""
