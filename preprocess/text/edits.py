"""What may be taken out of a report's text before it is stored; by default nothing."""

from dataclasses import dataclass
from typing import Literal

from preprocess.text.deidentification import count_marks, without_marks
from preprocess.text.prior_references import PriorReferences, without_priors


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEdits:
    """Which words are taken out."""

    prior_references: PriorReferences = "keep"
    """References to earlier studies. phrases: cut out, with their sentence only where nothing true would be left.
    sentences: every sentence with one is dropped. English only."""
    deidentification_marks: Literal["keep", "remove"] = "keep"
    """`___` and `XXXX`; removed together with the preposition or title in front of them."""


NO_EDITS = TextEdits()


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCounts:
    """What the edits took from a text."""

    phrases: int = 0
    """References to earlier studies cut out of sentences that stayed."""
    sentences: int = 0
    """Sentences dropped for such a reference."""
    marks: int = 0
    """De-identification marks."""

    def __add__(self, other: "EditCounts") -> "EditCounts":
        return EditCounts(
            phrases=self.phrases + other.phrases,
            sentences=self.sentences + other.sentences,
            marks=self.marks + other.marks,
        )


NOTHING = EditCounts()


def edit_text(text: str, edits: TextEdits) -> tuple[str, EditCounts]:
    """Return a one-line text after the edits, and what they took; "" if nothing is left.

    References go first, because the marks in them tell what they are.
    """
    rest = without_priors(text, edits.prior_references)
    removed = EditCounts(phrases=rest.n_phrases, sentences=rest.n_sentences)
    if edits.deidentification_marks == "keep":
        return rest.text, removed
    return without_marks(rest.text), removed + EditCounts(marks=count_marks(rest.text))
