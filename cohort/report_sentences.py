"""Reports as sentences: split, strip what is layout, and write alike what means alike."""

import re
from collections.abc import Iterable

from cohort.sentences import split_sentences

_NUMBERING = re.compile(r"^\s*(?:\(?\d{1,2}[.)](?!\d)|[-*•])\s*")
_BLANKED = re.compile(r"_{2,}")
_EDGES = " \t\r\n.,;:!?-"
NO_TEXT = frozenset({"", "no impression"})
"""what stands for an absent text; "NO IMPRESSION" is CheXzero's caption for a report without the section"""


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
