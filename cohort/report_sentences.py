"""Reports as sentences: where a sentence ends, and how sentences of one meaning get one spelling."""

import re
from collections.abc import Iterable, Sequence

# Where a sentence ends.
_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
_LIST_NUMBER = re.compile(r"\(?\d{1,2}[.)]|[-*•]")
_END_MARKS = ".!?;"
_CLOSING = "\"')]\u201d\u2019"
_ABBREVIATIONS = frozenset(
    {"dr", "drs", "mr", "mrs", "ms", "prof", "st", "vs", "approx", "fig", "al", "cf", "e.g", "i.e", "resp", "incl"}
)
_TIMES_OF_DAY = frozenset({"a.m", "p.m"})

# What is layout and not part of a sentence.
_NUMBERING = re.compile(r"^\s*(?:\(?\d{1,2}[.)](?!\d)|[-*•])\s*")
_BLANKED = re.compile(r"_{2,}")
_EDGES = " \t\r\n.,;:!?-"
NO_TEXT = frozenset({"", "no impression"})
"""Texts that stand for an absent one; "NO IMPRESSION" is CheXzero's caption for a report without the section"""


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text in order, each on one line and with its marks.

    A sentence ends with a word that ends in `.`, `!`, `?` or `;`, or before a blank line. List numbers ("2."),
    abbreviations ("Dr.") and the point within "2.5 cm" end none; "a.m." does if a capital follows. Nothing is lost:
    joined by blanks, the sentences are the text with its white space normalised.

    >>> split_sentences("1. Nodule of 2.5 cm, called to Dr. ___ at 5 p.m. on call. 2. No effusion; clear lungs.")
    ['1. Nodule of 2.5 cm, called to Dr. ___ at 5 p.m. on call.', '2. No effusion;', 'clear lungs.']
    """
    return [sentence for part in _PARAGRAPH_BREAK.split(text) for sentence in _of_paragraph(part.split())]


def _of_paragraph(words: list[str]) -> list[str]:
    sentences, begin = [], 0
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        if not following or _is_last(word, following, is_first=place == begin):
            sentences.append(" ".join(words[begin : place + 1]))
            begin = place + 1
    return sentences


def _is_last(word: str, following: str, *, is_first: bool) -> bool:
    bare = word.rstrip(_CLOSING)
    if not bare.endswith(tuple(_END_MARKS)) or (is_first and _LIST_NUMBER.fullmatch(word)):
        return False
    stem = bare.rstrip(_END_MARKS).lstrip("([\"'").lower()
    if bare.endswith(".") and stem in _TIMES_OF_DAY:
        return following[0].isupper()
    return not (bare.endswith(".") and stem in _ABBREVIATIONS)


def normalise_sentence(sentence: str) -> str:
    """Return a sentence in lower case without list number, `___` marks, outer punctuation and repeated white space.

    >>> normalise_sentence(" 2. Small  LEFT pleural effusion, compared to ___.")
    'small left pleural effusion, compared to'
    """
    without_marks = _BLANKED.sub(" ", _NUMBERING.sub("", sentence))
    return " ".join(without_marks.split()).strip(_EDGES).lower()


def distinct_sentences(report: str) -> list[str]:
    """Return the distinct normalised sentences of a report in their order; empty ones are dropped.

    >>> distinct_sentences("1. No pneumothorax. 2. Nodule of 2.5 cm. No pneumothorax.")
    ['no pneumothorax', 'nodule of 2.5 cm']
    """
    sentences = (normalise_sentence(part) for part in split_sentences(report))
    return list(dict.fromkeys(sentence for sentence in sentences if sentence not in NO_TEXT))


def index_sentences(reports: Iterable[str]) -> tuple[list[str], list[list[int]]]:
    """Return all distinct sentences, sorted, and for each report the positions of its own among them."""
    split = [distinct_sentences(report) for report in reports]
    vocabulary = sorted({sentence for sentences in split for sentence in sentences})
    position = {sentence: index for index, sentence in enumerate(vocabulary)}
    return vocabulary, [[position[sentence] for sentence in sentences] for sentences in split]


def index_texts(reports: Sequence[str], *, by_sentence: bool) -> tuple[list[str], list[list[int]]]:
    """Return the texts that a model reads, and for each report the positions of its own among them.

    The texts are whole reports, or with `by_sentence` the distinct sentences of all reports, see `index_sentences`.
    """
    return index_sentences(reports) if by_sentence else (list(reports), [[row] for row in range(len(reports))])
