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

from preprocess.text.deidentification import blank_marks
from preprocess.text.edits import NO_EDITS, NOTHING, EditCounts, TextEdits, edit_text

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

_PREFERRED: dict[str, tuple[str, ...]] = {
    "impression": ("impression",),
    "findings": ("findings",),
    "both": ("findings", "impression"),
}

ABSENT = "absent"
NO_WORDS = "no words"
ONLY_MARKS = "only de-identification marks"
POINTS_ELSEWHERE = "points elsewhere"
ONLY_PRIORS = "only references to prior studies"
"""Why a section cannot be used; a heading with nothing below it counts as absent, as for the official parser."""

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
    fallback: str = ""
    """Why it is not the section asked for: "impression: absent; findings: points elsewhere". Empty if it is."""
    removed: EditCounts = NOTHING
    """What the edits took from it."""


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


def choose_text(sections: list[Section], wanted: Wanted = "impression", edits: TextEdits = NO_EDITS) -> Choice:
    """Return the text to train on, on one line, the section that it comes from, and why not from the one wanted.

    An impression is looked for first, then findings, then a last paragraph ("findings": findings before impression),
    then there is none. "both" joins findings and impression, in this order, if both are usable, and is "impression"
    otherwise. Not usable is a text of nothing but removed words (`___`), one that only points elsewhere ("N/A", "See
    above."), and one of which the edits leave nothing. A report with a heading for impression or findings has no last
    paragraph, as for the official parser.
    """
    order = _FALLBACKS["findings" if wanted == "findings" else "impression"]
    judged = {name: _judge(section_text(sections, name), edits) for name in order}
    used = next((name for name in order if not judged[name].fault), NONE)
    passed_over = order[: order.index(used)] if used in order else order
    missed = [name for name in order if judged[name].fault and name in (*passed_over, *_PREFERRED[wanted])]
    fallback = "; ".join(f"{name}: {judged[name].fault}" for name in missed)
    if wanted == "both" and not missed:
        parts = [judged[name] for name in _PREFERRED["both"]]
        text, removed = " ".join(part.text for part in parts), parts[0].removed + parts[1].removed
        return Choice(text=text, section_used="+".join(_PREFERRED["both"]), removed=removed)
    if used == NONE:
        return Choice(text="", section_used=NONE, fallback=fallback)
    return Choice(text=judged[used].text, section_used=used, fallback=fallback, removed=judged[used].removed)


def choose_caption(text: str, wanted: Wanted = "impression", edits: TextEdits = NO_EDITS) -> Choice:
    """Return `choose_text` of a report, or the whole text if it has no headings: a caption, a note, one sentence."""
    sections = split_sections(text)
    if any(section.name == "preamble" for section in sections):
        return choose_text(sections, wanted, edits)
    whole = _judge(text, edits)
    if whole.fault:
        return Choice(text="", section_used=NONE, fallback=f"{FULL_REPORT}: {whole.fault}")
    return Choice(text=whole.text, section_used=FULL_REPORT, removed=whole.removed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    text: str = ""
    fault: str = ""
    removed: EditCounts = NOTHING


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


def _judge(text: str | None, edits: TextEdits) -> _Candidate:
    """Return a section on one line, edited, and why it cannot be used, "" if it can."""
    line = " ".join((text or "").split())
    if fault := _fault(line):
        return _Candidate(fault=fault)
    rest, removed = edit_text(line, edits)
    if _fault(rest):
        return _Candidate(fault=ONLY_PRIORS if removed.phrases or removed.sentences else ONLY_MARKS)
    return _Candidate(text=rest, removed=removed)


def _fault(line: str) -> str:
    if not line:
        return ABSENT
    words = blank_marks(line)
    if not any(character.isalpha() for character in words):
        return NO_WORDS if words == line else ONLY_MARKS
    return POINTS_ELSEWHERE if line.lower().strip(" .") in _PLACEHOLDERS else ""
