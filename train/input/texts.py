"""Texts of images as columns of a batch: drawn anew at each step, equal ones one column.

A text here is what is compared with images: a sentence of a report, or the whole report.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cohort.mentions import findings_spoken_of
from cohort.report_sentences import distinct_sentences
from models import Bundle, tokenize
from train.input.mirrored_text import swap_sides
from train.input.pairs import Pairs
from train.train_config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The texts of one batch."""

    texts: Int[np.ndarray, "k"]
    """rows of `TextTable.tokens`, one per column"""
    targets: Float[np.ndarray, "b k"]
    """how much each text belongs to each image; NaN where nobody knows"""
    loss_floor: float
    """nats: what plain InfoNCE cannot get below, because it cannot tell equal texts apart (see `infonce_floor`)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """All texts of the data, and which belong to which image."""

    tokens: Int[Tensor, "m t"]
    """one row per text that reads differently to the model; int32, to halve the memory"""
    texts: Int[np.ndarray, "e"]
    """rows of `tokens`, image after image: those of its report, then those of its second report"""
    is_second: Bool[np.ndarray, "e"]
    """which of them are of the second report"""
    starts: Int[np.ndarray, "n_plus_1"]
    """where each image's begin in `texts`; the last entry is where all end"""
    mirrored: Int[np.ndarray, "m"]
    """row of each text with left and right swapped, -1 where that cannot be; empty when nothing is mirrored"""
    can_mirror: Bool[np.ndarray, "n"]
    """whether all texts of an image can be swapped"""
    label_groups: Int[np.ndarray, "n"] | None
    """images with the very same labels have the same number; -1 where no label is known. None: labels do not count"""
    topics: Bool[np.ndarray, "m c"] | None
    """which findings each row of `tokens` speaks of. None: a text of another report is a negative, whatever it says"""
    config: TrainConfig

    def draw(
        self,
        images: Int[np.ndarray, "b"],
        *,
        studies: Int[np.ndarray, "b"],
        is_mirrored: Bool[np.ndarray, "b"],
        rng: np.random.Generator,
    ) -> Columns:
        """Return the columns of a batch: of each image's report or second report, all texts or so many at random.

        A column that was drawn for one image counts for every image whose reports contain it, drawn there or not.

        Args:
            images: positions of the batch's images.
            studies: number below b of each one's study; images of a study get the same draw.
            is_mirrored: whose texts are swapped.
            rng: draws.
        """
        texts, owners, place, is_second = self._entries(images)
        texts = np.where(is_mirrored[owners], self.mirrored[texts], texts) if is_mirrored.any() else texts
        drawn = self._chosen(owners, place, is_second, studies, rng)
        floor = infonce_floor(texts[drawn], owners[drawn], n_images=len(images))
        if self.config.duplicates == "negatives":
            identity = np.eye(len(images), dtype=np.float32)
            return Columns(texts=texts[drawn], targets=identity, loss_floor=floor)
        columns = np.unique(texts[drawn])
        nearest = np.searchsorted(columns, texts).clip(max=len(columns) - 1)
        is_column = columns[nearest] == texts
        targets = np.zeros((len(images), len(columns)), dtype=np.float32)
        targets[owners[is_column], nearest[is_column]] = 1
        if self.label_groups is not None:
            alike = _shares_labels(self.label_groups[images], targets)
            targets = np.maximum(targets, np.float32(self.config.label_similarity) * alike)
        if self.topics is not None:
            targets[(targets == 0) & _is_unmentioned(self.topics, texts, owners, columns)] = np.nan
        return Columns(texts=columns, targets=targets, loss_floor=floor)

    def _entries(
        self, images: Int[np.ndarray, "b"]
    ) -> tuple[Int[np.ndarray, "f"], Int[np.ndarray, "f"], Int[np.ndarray, "f"], Bool[np.ndarray, "f"]]:
        """Return the texts of images, whose they are (0..b-1), their places in its list, and which are second."""
        owners, place = unroll(self.starts[images + 1] - self.starts[images])
        entries = self.starts[images][owners] + place
        return self.texts[entries], owners, place, self.is_second[entries]

    def _chosen(
        self,
        owners: Int[np.ndarray, "f"],
        place: Int[np.ndarray, "f"],
        is_second: Bool[np.ndarray, "f"],
        studies: Int[np.ndarray, "b"],
        rng: np.random.Generator,
    ) -> Bool[np.ndarray, "f"]:
        """Return which entries are drawn: one of the two reports of each study, and some of its texts."""
        has_second = np.zeros(len(studies), dtype=bool)
        has_second[owners[is_second]] = True
        takes_second = has_second & (rng.random(len(studies)) < self.config.second_share)[studies]
        chosen: np.ndarray = is_second == takes_second[owners]
        wanted = self.config.sentences_per_report
        if wanted is None or self.config.objective == "reports":
            return chosen
        keys = rng.random((len(studies), int(place.max()) + 1))[studies[owners], place]
        order = np.lexsort((np.where(chosen, keys, np.inf), owners))
        rank = np.empty_like(order)
        # `place` counts 0, 1, 2, ... within each image, in any order of its entries
        rank[order] = place
        return chosen & (rank < wanted)


def unroll(counts: Int[np.ndarray, "b"]) -> tuple[Int[np.ndarray, "f"], Int[np.ndarray, "f"]]:
    """Return owner and place of each member of lists of these lengths, laid end to end.

    >>> [part.tolist() for part in unroll(np.array([2, 0, 3]))]
    [[0, 0, 2, 2, 2], [0, 1, 0, 1, 2]]
    """
    owners = np.repeat(np.arange(len(counts)), counts)
    return owners, np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)


def infonce_floor(texts: Int[np.ndarray, "f"], owners: Int[np.ndarray, "f"], *, n_images: int) -> float:
    """Return the smallest value of plain InfoNCE on a batch in which some images have the very same texts, in nats.

    It cannot tell n equal texts apart, so that the best it can give the right one is 1/n, in both directions:
    `sum_g n_g / b * ln n_g` over the groups g of n_g images with equal texts. 0 when all differ.

    Args:
        texts: numbers of texts, those of an image next to each other.
        owners: image of each, ascending from 0 to n_images - 1.
        n_images: b.
    """
    borders = np.searchsorted(owners, np.arange(1, n_images))
    groups = Counter(np.unique(own).tobytes() for own in np.split(texts, borders))
    sizes = np.array(list(groups.values()))
    return float((sizes * np.log(sizes)).sum() / n_images)


def _is_unmentioned(
    topics: Bool[np.ndarray, "m c"],
    texts: Int[np.ndarray, "f"],
    owners: Int[np.ndarray, "f"],
    columns: Int[np.ndarray, "k"],
) -> Bool[np.ndarray, "b k"]:
    """Return whether a column speaks of findings of which no text of an image says a word.

    Args:
        topics: findings that each text speaks of.
        texts: all texts of the batch's images.
        owners: image of each, every one from 0 to b - 1 at least once.
        columns: texts that the images are compared with.
    """
    spoken_of = np.zeros((owners.max() + 1, topics.shape[1]), dtype=bool)
    np.logical_or.at(spoken_of, owners, topics[texts])
    shared = spoken_of.astype(np.float32) @ topics[columns].T.astype(np.float32) > 0
    unmentioned: np.ndarray = topics[columns].any(axis=1) & ~shared
    return unmentioned


def _shares_labels(groups: Int[np.ndarray, "b"], targets: Float[np.ndarray, "b k"]) -> Bool[np.ndarray, "b k"]:
    """Return whether a text belongs to any image of the batch with the very same labels."""
    same = (groups[:, None] == groups[None, :]) & (groups[:, None] >= 0)
    shared: np.ndarray = same.astype(np.float32) @ (targets == 1).astype(np.float32) > 0
    return shared


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
