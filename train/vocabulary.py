"""All texts of the data: reports cut into what is compared with images, each distinct text tokenised once."""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cohort.mentions import findings_spoken_of
from cohort.report_sentences import distinct_sentences
from models import Bundle, tokenize
from train.columns import TextTable
from train.config import TrainConfig
from train.pairs import Pairs
from train.sides import swap_sides

CANNOT = -1
"""in place of a number: there is none"""


class Vocabulary:
    """Distinct texts, numbered in the order in which they were first met."""

    def __init__(self, key: Callable[[str], Hashable]) -> None:
        """Take what two texts have in common that count as one."""
        self.texts: list[str] = []
        self._key = key
        self._numbers: dict[Hashable, int] = {}

    def number(self, text: str) -> int:
        """Return the number of a text, a new one where none like it was met before."""
        number = self._numbers.setdefault(self._key(text), len(self.texts))
        if number == len(self.texts):
            self.texts.append(text)
        return number

    def swap_all(self) -> Int[np.ndarray, "m"]:
        """Return the number of each text with left and right swapped, `CANNOT` where that cannot be.

        Texts that were not met before are added at the end.
        """
        swapped = [swap_sides(text) for text in self.texts]
        return np.array([CANNOT if text is None else self.number(text) for text in swapped])


def make_text_table(pairs: Pairs, bundle: Bundle, config: TrainConfig) -> TextTable:
    """Cut the reports into texts as the objective wants them, and tokenise each distinct one once.

    Texts count as one if they are alike but for case, white space, numbering and outer punctuation, or if the tokenizer
    makes the same of them, as when it cuts off the rest. With duplicates="negatives" nothing is normalised.

    Raises:
        ValueError: a report without a sentence, or soft targets without labels.
    """
    cut, key = _rules(config)
    vocabulary = Vocabulary(key)
    first, second = (
        [[vocabulary.number(text) for text in cut(report)] for report in reports]
        for reports in (pairs.texts, pairs.second_texts or [""] * len(pairs))
    )
    _refuse_empty(pairs.texts, first)
    lists = [one + other for one, other in zip(first, second, strict=True)]
    starts = np.cumsum([0, *map(len, lists)])
    numbers = np.concatenate([np.array(own, dtype=np.int64) for own in lists])
    swapped = vocabulary.swap_all() if config.augment.flip else np.empty(0, dtype=np.int64)
    tokens, rows = _tokenise(vocabulary.texts, bundle)
    mirrored = np.full(len(tokens), CANNOT)
    can_swap = np.flatnonzero(swapped != CANNOT)
    mirrored[rows[can_swap]] = rows[swapped[can_swap]]
    is_swappable = np.isin(numbers, can_swap)
    return TextTable(
        tokens=tokens,
        texts=rows[numbers],
        is_second=np.concatenate([np.arange(len(own)) >= len(one) for own, one in zip(lists, first, strict=True)]),
        starts=starts,
        mirrored=mirrored,
        can_mirror=np.logical_and.reduceat(is_swappable, starts[:-1]),
        label_groups=_label_groups(pairs) if config.label_similarity else None,
        topics=_topics(vocabulary.texts, rows, n_rows=len(tokens)) if config.unmentioned == "unknown" else None,
        config=config,
    )


def _rules(config: TrainConfig) -> tuple[Callable[[str], list[str]], Callable[[str], Hashable]]:
    """Return how a report is cut into texts, and what texts that count as one have in common."""
    if config.objective == "sentences":
        return distinct_sentences, str
    return _whole, str if config.duplicates == "negatives" else lambda text: tuple(distinct_sentences(text))


def _whole(report: str) -> list[str]:
    return [report] if report else []


def _refuse_empty(reports: Sequence[str], texts: Sequence[list[int]]) -> None:
    empty = [report for report, own in zip(reports, texts, strict=True) if not own]
    if empty:
        raise ValueError(f"{len(empty)} of {len(reports)} texts have no sentence, such as {empty[0]!r}: leave them out")


def _tokenise(texts: Sequence[str], bundle: Bundle) -> tuple[Int[Tensor, "m t"], Int[np.ndarray, "v"]]:
    """Return the distinct rows of token ids, and the row of each text."""
    tokens = tokenize(texts, bundle.tokenizer, context_length=bundle.context_length).int()
    distinct, rows = torch.unique(tokens, dim=0, return_inverse=True)
    return distinct, rows.numpy()


def _topics(texts: Sequence[str], rows: Int[np.ndarray, "v"], *, n_rows: int) -> Bool[np.ndarray, "m c"]:
    """Return which findings the texts speak of that share a row of token ids."""
    spoken_of = findings_spoken_of(texts)
    topics = np.zeros((n_rows, spoken_of.shape[1]), dtype=bool)
    np.logical_or.at(topics, rows, spoken_of)
    return topics


def _label_groups(pairs: Pairs) -> Int[np.ndarray, "n"]:
    """Return a number for each distinct row of labels, `CANNOT` for rows without any."""
    if pairs.labels is None:
        raise ValueError("label_similarity needs the labels of the images: give --cohort_filepath a cohort table")
    groups = np.unique(np.nan_to_num(pairs.labels, nan=np.inf), axis=0, return_inverse=True)[1].reshape(-1)
    return np.where(np.isnan(pairs.labels).all(axis=1), CANNOT, groups)
