"""A text cut into sentences, nothing added and nothing lost."""

import re

_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
_LIST_NUMBER = re.compile(r"\(?\d{1,2}[.)]|[-*•]")
_END_MARKS = ".!?;"
_CLOSING = "\"')]\u201d\u2019"
_ABBREVIATIONS = frozenset(
    {"dr", "drs", "mr", "mrs", "ms", "prof", "st", "vs", "approx", "fig", "al", "cf", "e.g", "i.e", "resp", "incl"}
)
_TIMES_OF_DAY = frozenset({"a.m", "p.m"})


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
