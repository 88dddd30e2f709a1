"""Radiology reports cut into sections, and the text that a study contributes.

Two rules cut a report. `split_any_layout`, the default, finds headings however they are typed (`headings`).
`split_sections` is the rule behind MIMIC-CXR's own section files: a heading is a line that starts with one blank, then
capitals, then a colon.

Source of the second rule: MIT-LCP/mimic-cxr (folder txt): the rule and the vocabulary of headings; the code is our own.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from common.plain_values import NOT_SAID
from preprocess.text.deidentification import blank_marks
from preprocess.text.edits import NO_EDITS, NOTHING, EditCounts, TextEdits, edit_text
from preprocess.text.headings import PRELIMINARY, READINGS, find_headings
from preprocess.text.section_names import normalise_heading, spellings

Wanted = Literal["impression", "findings", "both"]

FULL_REPORT = "full report"
LAST_PARAGRAPH = "last_paragraph"
PREAMBLE = "preamble"
NONE = "none"

_HEADING = re.compile(r"\n ([A-Z ()/,-]+):\s")
_PARAGRAPH_BREAK = "\n \n"
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")

# In the official files a report without any of the first three has usually been typed under COMPARISON.
_OFFICIAL_ORDER = ("impression", "findings", LAST_PARAGRAPH, "comparison")

_OF_A_REPORT = frozenset({*spellings().values(), "impression", "findings"}) - {PREAMBLE, "comment", "date"}
_NAME_OF_SECTION = re.compile(r"\b(?:impression|findings|indication|comparison)\b", re.IGNORECASE)
_BELOW_THE_TEXT = frozenset({"signature", "notification", "date"})

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
NO_HEADING = "no heading"
NAMES_A_SECTION = "no heading, though the text names a section"
NO_WORDS = "no words"
ONLY_MARKS = "only de-identification marks"
POINTS_ELSEWHERE = "points elsewhere"
ONLY_PRIORS = "only references to prior studies"
"""Why a section cannot be used; a heading with nothing below it counts as absent, as for the official parser."""

_PLACEHOLDERS = NOT_SAID | {
    *("nil", "as above", "see above", "as below", "see below", "see findings", "see findings above", "not given"),
    *("no report", "no report available", "report not available", "no text"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of a report."""

    name: str
    """Normalised heading, in lower case."""
    start: int
    """First character of `text` in the report; 3 too few for a last paragraph, as the official parser reckons."""
    text: str
    """Everything up to the next heading, line breaks included."""


Splitter = Callable[[str], list[Section]]


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
    sections = [section for section in _by_headings(report) if section.name not in READINGS or section.text.strip()]
    if any(section.name in READINGS for section in sections):
        return sections
    head, blank_line, rest = sections[-1].text.partition(_PARAGRAPH_BREAK)
    if not blank_line:
        return sections
    last = Section(name=LAST_PARAGRAPH, start=sections[-1].start + len(head), text=rest)
    return [*sections[:-1], replace(sections[-1], text=head), last]


def split_any_layout(report: str) -> list[Section]:
    r"""Return the sections of a report that may be typed in any way, as `split_sections` does for MIMIC-CXR's.

    Several impressions, or several sections of findings, become one: in order, joined by a newline, equal ones once. A
    preliminary impression counts only if there is no other. The last paragraph is looked for above the signature.

    >>> [section.name for section in split_any_layout("Indication: 60M\nImpression: No acute disease.")]
    ['preamble', 'indication', 'impression']
    """
    headings = [(heading.name, heading.start, heading.end) for heading in find_headings(report)]
    sections = _between(report, headings)
    has_final = any(section.name == "impression" and section.text.strip() for section in sections)
    if not has_final:
        sections = [replace(one, name="impression") if one.name == PRELIMINARY else one for one in sections]

    sections = [section for section in sections if section.name not in READINGS or section.text.strip()]
    if any(section.name in READINGS for section in sections):
        return _joined(sections)

    # Nobody signs above the text, so a paragraph of the text stands above the signature.
    place = max((i for i, section in enumerate(sections) if section.name not in _BELOW_THE_TEXT), default=0)
    blank_line = _BLANK_LINE.search(sections[place].text)
    if not blank_line:
        return sections
    head, rest = sections[place].text[: blank_line.start()], sections[place].text[blank_line.end() :]
    last = Section(name=LAST_PARAGRAPH, start=sections[place].start + blank_line.end(), text=rest)
    return [*sections[:place], replace(sections[place], text=head), *sections[place + 1 :], last]


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


def choose_caption(
    text: str, wanted: Wanted = "impression", edits: TextEdits = NO_EDITS, *, split: Splitter = split_any_layout
) -> Choice:
    """Return `choose_text` of a report, or the whole text if it has no headings: a caption, a note, one sentence.

    A whole text has the fallback "no heading", which is a warning if it is a report after all.
    """
    sections = split(text)
    if any(section.name in _OF_A_REPORT for section in sections):
        return choose_text(sections, wanted, edits)
    whole = _judge(text, edits)
    if whole.fault:
        return Choice(text="", section_used=NONE, fallback=f"{FULL_REPORT}: {whole.fault}")
    fallback = NAMES_A_SECTION if _NAME_OF_SECTION.search(text) else NO_HEADING
    return Choice(text=whole.text, section_used=FULL_REPORT, fallback=fallback, removed=whole.removed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    text: str = ""
    fault: str = ""
    removed: EditCounts = NOTHING


def _by_headings(report: str) -> list[Section]:
    found = list(_HEADING.finditer(report))
    sections = _between(report, [(normalise_heading(one[1]), one.start(), one.end()) for one in found])
    # The official parser counts the newline and blank of the first heading as part of what stands above it.
    return [replace(sections[0], text=report[: found[0].start(1)]), *sections[1:]] if found else sections


def _between(report: str, headings: Sequence[tuple[str, int, int]]) -> list[Section]:
    """Return the sections that headings open, each given by its section's name, its start and its end."""
    if not headings:
        return [Section(name=FULL_REPORT, start=0, text=report)]
    ends = [*(start for _, start, _ in headings[1:]), len(report)]
    opened = zip(headings, ends, strict=True)
    return [
        Section(name=PREAMBLE, start=0, text=report[: headings[0][1]]),
        *(Section(name=name, start=end, text=report[end:next_start]) for (name, _, end), next_start in opened),
    ]


def _joined(sections: list[Section]) -> list[Section]:
    """Return sections with all findings, and all impressions, in the place of the first of them."""
    parts: dict[str, dict[str, str]] = {name: {} for name in READINGS}
    for section in sections:
        if section.name in READINGS:
            parts[section.name].setdefault(" ".join(section.text.lower().split()), section.text)

    # "CHEST, TWO VIEWS: ___" above the findings says nothing; alone it stays, so that its fault is named.
    for texts in parts.values():
        says_nothing = [key for key in texts if _fault(key)]
        for key in says_nothing[: len(texts) - 1]:
            del texts[key]

    kept = []
    for section in sections:
        if section.name not in READINGS:
            kept.append(section)
        elif texts := parts.pop(section.name, {}):
            kept.append(replace(section, text="\n".join(texts.values())))
    return kept


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
