"""Headings of a report in any layout: where each one stands, and which section it opens.

MIMIC-CXR types a heading as newline, blank, capitals, colon (`sections.split_sections`). Other archives write
"Impression:", put headings and texts on one line, leave the colon out, or indent with a tab. A heading is found here

    at the start of a line      a known spelling with a colon, in any case; other words in capitals with a colon
    on a line of its own        a known spelling, without a colon
    within a line               a known spelling with a colon, after the end of a sentence or a written-out line break

The words are data: `section_headings.json` (MIMIC-CXR's) and `heading_words.json` (all others). "LUNGS:" and "HEART:"
name a topic inside the findings and end no section. "CLINICAL IMPRESSION:" is what the referring clinician thinks, so
it is an indication.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from pathlib import Path

from preprocess.text.section_names import contained_section, normalise_heading, spellings

TOPIC = "topic"
PRELIMINARY = "preliminary impression"
READINGS = ("impression", "findings")
"""Sections that describe the image."""

_OPENING = r"[^\S\n]*(?:</?\w{1,8}>|[*#>\[(=\u2022-]|__?(?=[A-Za-z])|\d{1,2}[.)](?=\s))*[^\S\n]*"
_WORDS = r"[A-Za-z][A-Za-z ()/,&'.-]{0,60}?"
_CLOSING = r"[^\S\n]*(?:[*\])=]|(?<=\w)__?(?!_)|</?\w{1,8}>)*[^\S\n]*"

_AT_LINE_START = re.compile(
    rf"^(?P<opening>{_OPENING})(?P<words>{_WORDS}){_CLOSING}"
    r"(?P<mark>[:\uff1a](?:[*]|</\w{1,8}>)*|(?:;|[-\u2013\u2014]{1,2})(?=\s)|\.?[^\S\n]*$)",
    re.MULTILINE,
)
_WITHOUT_COLON = re.compile(
    r"^[^\S\n]*(?P<words>[A-Z]{5,14})(?:[^\S\n]{2,}|\t|[^\S\n](?=[A-Z][a-z]|\d[.)]))", re.MULTILINE
)
# An export may have written its line breaks out, as <br> or as a backslash and a letter.
_AFTER_SENTENCE = re.compile(
    r"(?:(?<=[.!?:;)\]|])[^\S\n]+|\t|(?:</?(?:br|p) ?/?>\s*|\\[nr])+)[*]*"
    r"(?P<words>[A-Za-z][A-Za-z/()-]*(?: [A-Za-z/()-]+){0,3}) ?[:\uff1a][*]*"
)
_WITHIN_SENTENCE = re.compile(r"(?<=\s)(?P<words>[A-Za-z/()-]+(?: [A-Za-z/()-]+){0,3}) ?[:\uff1a]")
_TOKEN = re.compile(r"[a-z]+(?:[-'][a-z]+)*")

_LONGEST_QUALIFIED = 5
_SHORTEST_MISTYPED = 7
_UNFINISHED = (["of"], ["on"], ["the"], ["and"], ["or"])
"""Last words of a line that a line break cut out of a sentence: "Impression of" """


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading in a report."""

    name: str
    """Section that it opens, in lower case"""
    start: int
    """Its first character in the report"""
    end: int
    """First character behind it and its colon"""


@dataclass(frozen=True, slots=True)
class _Words:
    """`heading_words.json`."""

    spellings: dict[str, str]
    core: frozenset[str]
    qualifiers: frozenset[str]
    preliminary: frozenset[str]
    of_the_clinician: frozenset[str]
    of_another_study: frozenset[str]
    topics: frozenset[str]


def find_headings(report: str) -> list[Heading]:
    """Return the headings of a report in order.

    If an impression is found only so, capitalised headings inside a sentence count too: some exports lose the full
    stops and line breaks between sections.
    """
    found = _ordered([*_at_line_starts(report), *_after_sentences(report)])
    if not _has_impression(found):
        more = list(_within_sentences(report))
        found = _ordered([*found, *more]) if _has_impression(more) else found
    return _resolve_topics(found)


def known_section(words: str) -> str | None:
    """Return the section of a heading whose every word is known, None for other words.

    >>> known_section("Final Impression"), known_section("CLINICAL IMPRESSION"), known_section("NDICATION")
    ('impression', 'indication', 'indication')
    >>> known_section("Lungs") is None
    True
    """
    heading = " ".join(words.lower().replace("\u2019", "'").split()).strip(" .")
    known = _words()
    if heading in known.spellings:
        return known.spellings[heading]

    tokens = _TOKEN.findall(heading)
    if len(tokens) > _LONGEST_QUALIFIED or tokens[-1:] in _UNFINISHED:
        return None
    qualified = [token for token in tokens if token in known.core or _mistyped(token) in known.core]
    if not qualified:
        return known.spellings[single] if (single := _mistyped(heading)) else None

    # What is left must be words that only qualify: "Findings are consistent with" is a sentence.
    rest = set(tokens) - set(qualified)
    if rest - known.qualifiers - known.preliminary - known.of_the_clinician - known.of_another_study:
        return None
    if foreign := _section_of_others(tokens):
        return foreign
    sections = [known.spellings[token if token in known.spellings else _mistyped(token)] for token in qualified]
    first = next((name for name in READINGS if name in sections), sections[0])
    return PRELIMINARY if rest & known.preliminary and first in READINGS else first


def is_topic(words: str) -> bool:
    """Return whether a heading names a part of the body or a finding, such as "HEART AND MEDIASTINUM"."""
    return not _words().topics.isdisjoint(_TOKEN.findall(words.lower()))


def _at_line_starts(report: str) -> Iterator[Heading]:
    for match in _AT_LINE_START.finditer(report):
        if name := _name_at_line_start(match, report):
            yield Heading(name=name, start=match.start(), end=match.end())
    for match in _WITHOUT_COLON.finditer(report):
        if name := _words().spellings.get(match["words"].lower()):
            yield Heading(name=name, start=match.start(), end=match.end())


def _name_at_line_start(match: "re.Match[str]", report: str) -> str | None:
    words, mark = match["words"], match["mark"].strip()[:1]
    known = known_section(words)
    if mark == "":
        return known if _stands_alone(match, report) else None
    if mark == ".":
        return known if words.isupper() else None
    if mark not in {":", "\uff1a"}:
        return known if words[0].isupper() else None
    return known or _named_by_other_words(match, report)


def _named_by_other_words(match: "re.Match[str]", report: str) -> str | None:
    """Return the section that unknown words before a colon open, None if they are part of the text."""
    words = match["words"]
    if is_topic(words) and not contained_section(words):
        return TOPIC
    # "2. COPD: stable" is a point of a list, "AT 10:30" a time.
    followed_by_blank = not report[match.end() : match.end() + 1].strip()
    if not words.isupper() or not followed_by_blank or match["opening"].strip(" \t*#"):
        return None
    return _section_of_others(_TOKEN.findall(words.lower())) or normalise_heading(words)


def _stands_alone(match: "re.Match[str]", report: str) -> bool:
    """Return whether a line is a heading without colon, not a word of a sentence that the line break cut."""
    if match["words"][0].isupper():
        return True
    line_before = report[: match.start()].rstrip("\n").rpartition("\n")[2].strip()
    return not line_before or line_before[-1] in ".!?:"


def _after_sentences(report: str) -> Iterator[Heading]:
    for match in _AFTER_SENTENCE.finditer(report):
        if name := known_section(match["words"]):
            yield Heading(name=name, start=match.start(), end=match.end())


def _within_sentences(report: str) -> Iterator[Heading]:
    for match in _WITHIN_SENTENCE.finditer(report):
        # "seen by XXXX FINDINGS:" has capitals in front of the heading: the longest tail that is one.
        words = match["words"].split(" ")
        tails = (" ".join(words[first:]) for first in range(len(words)))
        found = next(((tail, name) for tail in tails if tail[:1].isupper() and (name := known_section(tail))), None)
        if found:
            tail, name = found
            yield Heading(name=name, start=match.end("words") - len(tail), end=match.end())


def _has_impression(headings: list[Heading]) -> bool:
    return any(heading.name in {"impression", PRELIMINARY} for heading in headings)


def _ordered(headings: list[Heading]) -> list[Heading]:
    """Return headings by place; of two that overlap, the first."""
    kept: list[Heading] = []
    for heading in sorted(headings, key=lambda one: (one.start, -one.end)):
        if not kept or heading.start >= kept[-1].end:
            kept.append(heading)
    return kept


def _resolve_topics(headings: list[Heading]) -> list[Heading]:
    """Return headings without those of topics, but for one that opens the findings of a report that has no heading."""
    resolved: list[Heading] = []
    for heading in headings:
        current = resolved[-1].name if resolved else ""
        if heading.name != TOPIC:
            resolved.append(heading)
        elif current not in {*READINGS, PRELIMINARY, "addendum", "comment", "wet read", "recommendations"}:
            # The topic's own words belong to the text.
            resolved.append(replace(heading, name="findings", end=heading.start))
    return resolved


def _section_of_others(tokens: list[str]) -> str | None:
    """Return the section of an impression or finding that is not this report's: a clinician's, or another study's."""
    known = _words()
    if {"impression", "impressions", "findings", "finding", "diagnosis"}.isdisjoint(tokens):
        return None
    if not known.of_another_study.isdisjoint(tokens):
        return "comparison"
    return None if known.of_the_clinician.isdisjoint(tokens) else "indication"


@cache
def _mistyped(heading: str) -> str:
    """Return the known spelling from which a heading differs by one letter, "" if there is none."""
    if len(heading) < _SHORTEST_MISTYPED:
        return ""
    return next((known for known in sorted(_words().core) if _one_letter_apart(heading, known)), "")


def _one_letter_apart(one: str, other: str) -> bool:
    """Return whether one letter is missing, added or replaced, or two neighbours are swapped."""
    if abs(len(one) - len(other)) > 1:
        return False
    same_begin = _same_letters(one, other)
    one, other = one[same_begin:], other[same_begin:]
    same_end = _same_letters(one[::-1], other[::-1])
    one, other = one[: len(one) - same_end], other[: len(other) - same_end]
    return max(len(one), len(other)) <= 1 or (len(one) == len("ab") and one == other[::-1])


def _same_letters(one: str, other: str) -> int:
    """Return how many letters two words have in common from the beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@cache
def _words() -> _Words:
    table = json.loads(Path(__file__).with_name("heading_words.json").read_text(encoding="utf-8"))
    ours = {spelling: section for section, variants in table["spellings"].items() for spelling in variants}
    sets = {name: frozenset(table[name]) for name in _Words.__dataclass_fields__ if name != "spellings"}
    return _Words({**spellings(), **ours}, **sets)
