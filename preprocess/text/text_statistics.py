"""What the texts of an archive are like, as one small table to look at before training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from cohort.report_sentences import split_sentences
from preprocess.text.deidentification import count_marks
from preprocess.text.language import language_of
from preprocess.text.report_files import StudyText

COLUMNS = (
    "by",
    "value",
    "texts",
    "share",
    "distinct",
    "words_min",
    "words_median",
    "words_p95",
    "words_max",
    "sentences_median",
    "with_marks",
    "edited",
    "phrases_removed",
    "sentences_removed",
    "marks_removed",
)


@dataclass(frozen=True, slots=True)
class _TextMeasures:
    study: StudyText
    language: str
    n_words: int
    n_sentences: int
    has_marks: bool


_GROUPS: Mapping[str, Callable[[_TextMeasures], str]] = MappingProxyType(
    {
        "all": lambda _: "all",
        "section_used": lambda one: one.study.section_used,
        "fallback": lambda one: one.study.fallback or "not needed",
        "language": lambda one: one.language,
        "reason": lambda one: one.study.reason or "usable",
    }
)


def text_statistics(texts: Iterable[StudyText]) -> pd.DataFrame:
    """Return one row for all studies, and one per section used, fallback, language and reason for having no text.

    Columns are `by` (what the studies are grouped by) and `value` (the group); `texts` and `share`, the group's number
    of studies and its share of all of them, 0..1; then, over the group's studies with text, `distinct` texts, quantiles
    of the number of words (blank-separated) and of sentences, and how many `with_marks` of de-identification and how
    many `edited`; last the sums of what the edits removed. Quantiles are missing for a group without texts. Groups are
    ordered by size, then name.

    Args:
        texts: One per study, not per image. Studies without text are counted under their reason.
    """
    measured = [_measure(study) for study in texts]
    rows = [row for by, group_of in _GROUPS.items() for row in _rows(by, group_of, measured)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _measure(study: StudyText) -> _TextMeasures:
    return _TextMeasures(
        study=study,
        language=language_of(study.text) if study.text else "no text",
        n_words=len(study.text.split()),
        n_sentences=len(split_sentences(study.text)),
        has_marks=count_marks(study.text) > 0,
    )


def _rows(
    by: str, group_of: Callable[[_TextMeasures], str], measured: Sequence[_TextMeasures]
) -> list[tuple[str | int | float, ...]]:
    groups: dict[str, list[_TextMeasures]] = {"all": []} if by == "all" else {}
    for one in measured:
        groups.setdefault(group_of(one), []).append(one)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(by, value, *_describe(members, len(measured))) for value, members in ordered]


def _describe(members: Sequence[_TextMeasures], n_all: int) -> tuple[int | float, ...]:
    with_text = [one for one in members if one.study.text]
    removed = [one.study.removed for one in with_text]
    return (
        len(members),
        round(len(members) / n_all, 4) if n_all else float("nan"),
        len({one.study.text for one in with_text}),
        *_quantiles([one.n_words for one in with_text], (0.0, 0.5, 0.95, 1.0)),
        *_quantiles([one.n_sentences for one in with_text], (0.5,)),
        sum(one.has_marks for one in with_text),
        sum(bool(one.phrases or one.sentences or one.marks) for one in removed),
        sum(one.phrases for one in removed),
        sum(one.sentences for one in removed),
        sum(one.marks for one in removed),
    )


def _quantiles(counts: Sequence[int], levels: tuple[float, ...]) -> list[float]:
    if not counts:
        return [float("nan")] * len(levels)
    return [float(value) for value in np.quantile(counts, levels)]
