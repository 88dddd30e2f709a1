"""References to earlier studies taken out of a text: a single film cannot show them, so no image explains such words.

The rules are data, `prior_references.csv`: regular expressions over one sentence, each with an example of what it does
(the tests run them all). A line of kind "word" names a part of other patterns, written there as <name>. "keep" protects
what only looks like such a reference ("prior sternotomy", "degenerative changes"). A "sentence" is dropped whole,
because nothing true would be left of it ("no new consolidation" must not become "no consolidation"). A "phrase" is
replaced by what stands in the column `put`.

The rules are for English; they cut and join words, and write none but "is", "are", "seen" and "present".
"""

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from cohort.report_sentences import split_sentences
from preprocess.text.deidentification import blank_marks, tidy

PriorReferences = Literal["keep", "phrases", "sentences"]

_RULES = Path(__file__).with_name("prior_references.csv")
_NAME_OF_WORD = re.compile(r"<(\w+)>")
_ARTICLE_AN = re.compile(r"\b([Aa])(?= (?:[aeio]|u(?!ni|se|ti))\w)")
_ARTICLE_A = re.compile(r"\b([Aa])n(?= (?:[b-dfgj-np-tv-z]|h(?!our)|u(?:ni|se|ti))\w)")
# Longer ones are no sentences but layout; they stay as they are, because the search time grows with the length squared.
_LONGEST_SENTENCE = 1000
_FIRST_LETTER = re.compile(r"^(?:\(?\d{1,2}[.)] )?\w")
_LITTLE_WORDS = (
    "a an the there this these that those it is are was were be been has have had and or but of in on at to from with "
    "as by for seen noted present again overall otherwise interval compared comparison study exam"
)
_NOTHING_LEFT = frozenset(_LITTLE_WORDS.split(" "))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table."""

    name: str
    """What the rule is about."""
    pattern: re.Pattern[str]
    """Looked for without regard to case."""
    put: str
    """What replaces a phrase; it may name the pattern's groups."""
    example: str
    """A sentence to which the rule applies."""
    result: str
    """What all rules together leave of the example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The table by kind, in its order."""

    keep: tuple[Rule, ...]
    """What they match is protected from the others."""
    sentence: tuple[Rule, ...]
    """What they match goes with its sentence."""
    phrase: tuple[Rule, ...]
    """What they match is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorFreeText:
    """A text from which references to earlier studies were taken."""

    text: str
    """On one line; empty if it was nothing but such references."""
    n_phrases: int = 0
    """Phrases removed from sentences that stayed."""
    n_sentences: int = 0
    """Sentences dropped."""


def without_priors(text: str, level: PriorReferences) -> PriorFreeText:
    """Return a text without what it says about earlier studies; a sentence without such words stays as it was.

    Args:
        text: One or more English sentences. One of more than 1,000 characters stays as it is.
        level: "phrases" cuts the reference out and drops a sentence only where nothing else would be left or the
            rest would say something else; "sentences" drops every sentence with a reference; "keep" changes nothing.

    >>> without_priors("Heart is enlarged. No change since ___. Worsening edema.", "phrases").text
    'Heart is enlarged. Edema.'
    """
    if level == "keep":
        return PriorFreeText(text=text)
    kept, n_phrases, n_sentences = [], 0, 0
    for sentence in split_sentences(text):
        rest, found = _edit_sentence(sentence)
        if not found or (rest and level == "phrases"):
            kept.append(rest)
            n_phrases += found
        else:
            n_sentences += 1
    return PriorFreeText(text=" ".join(kept), n_phrases=n_phrases, n_sentences=n_sentences)


@cache
def read_rules() -> Rules:
    """Return the rules that ship with the project."""
    with _RULES.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    words: dict[str, str] = {}
    for line in lines:
        if line["kind"] == "word":
            words[line["name"]] = _filled_in(line["pattern"], words)
    by_kind: dict[str, list[Rule]] = {"keep": [], "sentence": [], "phrase": []}
    for line in lines:
        if line["kind"] != "word":
            pattern = re.compile(_filled_in(line["pattern"], words), re.IGNORECASE)
            rule = Rule(
                name=line["name"], pattern=pattern, put=line["put"], example=line["example"], result=line["result"]
            )
            by_kind[line["kind"]].append(rule)
    return Rules(keep=tuple(by_kind["keep"]), sentence=tuple(by_kind["sentence"]), phrase=tuple(by_kind["phrase"]))


def _filled_in(pattern: str, words: dict[str, str]) -> str:
    return _NAME_OF_WORD.sub(lambda name: words[name[1]], pattern)


def _edit_sentence(sentence: str) -> tuple[str, int]:
    """Return what is left of a sentence, "" if it is to be dropped, and how many references were found in it."""
    rules = read_rules()
    if len(sentence) > _LONGEST_SENTENCE:
        return sentence, 0
    if any(_matches(rule, sentence) for rule in rules.sentence):
        return "", 1
    rest, n_found = sentence, 0
    for rule in rules.phrase:
        rest, n_replaced = _replace(rule, rest)
        n_found += n_replaced
    return (_finish(rest), n_found) if n_found else (sentence, 0)


def _protected(text: str) -> list[tuple[int, int]]:
    return [match.span() for rule in read_rules().keep for match in rule.pattern.finditer(text)]


def _matches(rule: Rule, sentence: str) -> bool:
    found = [match.span() for match in rule.pattern.finditer(sentence)]
    if not found:
        return False
    kept = _protected(sentence)
    return any(not _overlaps(span, kept) for span in found)


def _replace(rule: Rule, text: str) -> tuple[str, int]:
    if not rule.pattern.search(text):
        return text, 0
    kept, n_replaced = _protected(text), 0

    def put(match: re.Match[str]) -> str:
        nonlocal n_replaced
        if _overlaps(match.span(), kept):
            return match[0]
        n_replaced += 1
        return match.expand(rule.put)

    return rule.pattern.sub(put, text), n_replaced


def _overlaps(span: tuple[int, int], others: list[tuple[int, int]]) -> bool:
    return any(span[0] < end and begin < span[1] for begin, end in others)


def _finish(rest: str) -> str:
    """Return a cut sentence with its gaps closed, its articles and first letter right, "" if it says nothing more."""
    words = re.findall(r"[^\W\d_]+", blank_marks(rest).lower())
    if set(words) <= _NOTHING_LEFT:
        return ""
    line = _ARTICLE_A.sub(r"\1", _ARTICLE_AN.sub(r"\1n", tidy(rest)))
    return _FIRST_LETTER.sub(lambda begin: begin[0].upper(), line)
