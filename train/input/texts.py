"""The texts of a batch and their targets: drawn anew at each step, identical texts merged into one column.

A text is what the loss compares with images: a sentence of a report, or the whole report. Read from the top:
`make_text_table` cuts and tokenises all reports once, `TextTable.draw` returns the texts of a batch (`BatchTexts`).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cohort.mentions import findings_spoken_of
from cohort.report_sentences import distinct_sentences
from models import Bundle
from train.input.loss_floor import loss_floor
from train.input.pairs import Pairs
from train.input.vocabulary import NONE, Vocabulary, tokenise
from train.train_config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTexts:
    """The texts of one batch."""

    texts: Int[np.ndarray, "k"]
    """Rows of `TextTable.tokens`, one per column"""
    targets: Float[np.ndarray, "b k"]
    """How much each text belongs to each image, 0 to 1; NaN: unknown"""
    loss_floor: float
    """Lower bound of the loss on this batch, nats (see `loss_floor`)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """All texts of the training data, and which of them belong to which image."""

    tokens: Int[Tensor, "m t"]
    """Token ids, one row per text that differs for the model; int32, to halve the memory"""
    texts: Int[np.ndarray, "e"]
    """Rows of `tokens`, image after image: the texts of its report, then those of its second report"""
    is_second: Bool[np.ndarray, "e"]
    """Which entries of `texts` come from the second report"""
    starts: Int[np.ndarray, "n_plus_1"]
    """First entry in `texts` of each image; the last value is the length of `texts`"""
    mirrored: Int[np.ndarray, "m"]
    """Row of each text with left and right swapped; -1 if they cannot be swapped; empty if no image is mirrored"""
    can_mirror: Bool[np.ndarray, "n"]
    """Whether left and right can be swapped in all texts of an image"""
    label_groups: Int[np.ndarray, "n"] | None
    """Group of each image; images with identical labels share one; -1 without labels. None: labels are not used"""
    topics: Bool[np.ndarray, "m c"] | None
    """Findings that each row of `tokens` mentions. None: every text of another report is a negative"""
    studies: Int[np.ndarray, "n"] | None
    """Number of each image's study; the texts of a study belong to all its images. None: studies are not known"""
    notes: tuple[str, ...]
    """Notes for the user about texts that were cut"""
    config: TrainConfig
    """Options of the run"""

    def draw(
        self,
        images: Int[np.ndarray, "b"],
        *,
        studies: Int[np.ndarray, "b"],
        is_mirrored: Bool[np.ndarray, "b"],
        rng: np.random.Generator,
    ) -> BatchTexts:
        """Return the texts of a batch: from one of each study's reports, all texts or a random subset.

        A text that is drawn for one image is a positive of every image whose reports contain it, and of every image of
        the same study.

        Args:
            images: Positions of the images of the batch.
            studies: Study of each image, numbered from 0 to at most b - 1; images of a study get the same draw.
            is_mirrored: Images whose texts get left and right swapped.
            rng: Source of the draws.
        """
        # all texts of the batch's images, f in number, of which some are drawn
        texts, owners, place, is_second = self._entries(images)
        texts = np.where(is_mirrored[owners], self.mirrored[texts], texts) if is_mirrored.any() else texts
        is_drawn = self._is_drawn(owners, place, is_second, studies, rng)

        # CLIP: one column per image, whatever its text says
        if self.config.duplicates == "negatives":
            identity = np.eye(len(images), dtype=np.float32)
            return self._batch(texts[is_drawn], identity)

        # identical texts become one column: (f,) -> (k,), in ascending order
        columns = np.unique(texts[is_drawn])

        # a column is a positive of each image whose reports contain it, drawn or not: (f,) -> (b, k)
        nearest = np.searchsorted(columns, texts).clip(max=len(columns) - 1)
        is_column = columns[nearest] == texts
        targets = np.zeros((len(images), len(columns)), dtype=np.float32)
        targets[owners[is_column], nearest[is_column]] = 1

        # and of each image of the study: two films may have reports that differ in a date
        if self.studies is not None:
            targets[_of_group(self.studies[images], targets)] = 1

        # soft targets: a text is partly positive for images with the labels of its own image
        if self.label_groups is not None:
            alike = _of_group(self.label_groups[images], targets)
            targets = np.maximum(targets, np.float32(self.config.label_similarity) * alike)

        # neither positive nor negative: the text mentions findings that the image's reports do not mention
        if self.topics is not None:
            targets[(targets == 0) & _is_unmentioned(self.topics, texts, owners, columns)] = np.nan

        return self._batch(columns, targets)

    def _batch(self, texts: Int[np.ndarray, "k"], targets: Float[np.ndarray, "b k"]) -> BatchTexts:
        config = self.config
        floor = loss_floor(targets, texts, form=config.form, positive_weight=config.positive_weight)
        return BatchTexts(texts=texts, targets=targets, loss_floor=floor)

    def _entries(
        self, images: Int[np.ndarray, "b"]
    ) -> tuple[Int[np.ndarray, "f"], Int[np.ndarray, "f"], Int[np.ndarray, "f"], Bool[np.ndarray, "f"]]:
        """Return all texts of images; of each its image (0..b-1), place in the image's list, and if it is second."""
        owners, place = unroll(self.starts[images + 1] - self.starts[images])
        entries = self.starts[images][owners] + place
        return self.texts[entries], owners, place, self.is_second[entries]

    def _is_drawn(
        self,
        owners: Int[np.ndarray, "f"],
        place: Int[np.ndarray, "f"],
        is_second: Bool[np.ndarray, "f"],
        studies: Int[np.ndarray, "b"],
        rng: np.random.Generator,
    ) -> Bool[np.ndarray, "f"]:
        """Return which entries are drawn: one of the two reports of each study, and all or some of its texts."""
        # one report of each study; the second one with probability `second_share` where there is one
        has_second = np.zeros(len(studies), dtype=bool)
        has_second[owners[is_second]] = True
        takes_second = has_second & (rng.random(len(studies)) < self.config.second_share)[studies]
        is_drawn: np.ndarray = is_second == takes_second[owners]
        wanted = self.config.sentences_per_report
        if wanted is None or self.config.objective == "reports":
            return is_drawn

        # sentences in random order within each image, the same for all images of a study: (studies, places) -> (f,)
        keys = rng.random((len(studies), int(place.max()) + 1))[studies[owners], place]
        order = np.lexsort((np.where(is_drawn, keys, np.inf), owners))

        # rank within the image: `place` counts 0, 1, 2, ... in each image, whatever the order of its entries
        rank = np.empty_like(order)
        rank[order] = place
        return is_drawn & (rank < wanted)


def unroll(counts: Int[np.ndarray, "b"]) -> tuple[Int[np.ndarray, "f"], Int[np.ndarray, "f"]]:
    """Return the list and the position in it of each member, for lists of these lengths laid end to end.

    >>> [part.tolist() for part in unroll(np.array([2, 0, 3]))]
    [[0, 0, 2, 2, 2], [0, 1, 0, 1, 2]]
    """
    owners = np.repeat(np.arange(len(counts)), counts)
    return owners, np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)


def _is_unmentioned(
    topics: Bool[np.ndarray, "m c"],
    texts: Int[np.ndarray, "f"],
    owners: Int[np.ndarray, "f"],
    columns: Int[np.ndarray, "k"],
) -> Bool[np.ndarray, "b k"]:
    """Return whether a column mentions findings, none of which the image's own texts mention.

    Args:
        topics: Findings that each text mentions.
        texts: All texts of the images of the batch.
        owners: Image of each text; each image from 0 to b - 1 occurs.
        columns: Texts that the images are compared with.
    """
    # findings that any text of an image mentions: (f, c) -> (b, c)
    mentioned = np.zeros((owners.max() + 1, topics.shape[1]), dtype=bool)
    np.logical_or.at(mentioned, owners, topics[texts])

    # findings that an image and a column share: (b, c) @ (c, k) -> (b, k)
    shared = mentioned.astype(np.float32) @ topics[columns].T.astype(np.float32) > 0
    unmentioned: np.ndarray = topics[columns].any(axis=1) & ~shared
    return unmentioned


def _of_group(groups: Int[np.ndarray, "b"], targets: Float[np.ndarray, "b k"]) -> Bool[np.ndarray, "b k"]:
    """Return whether a text belongs to any image of the image's group; a group below 0 has one image."""
    members = groups[groups >= 0]
    is_own: np.ndarray = targets == 1
    if len(np.unique(members)) == len(members):
        return is_own
    same = (groups[:, None] == groups[None, :]) & (groups[:, None] >= 0)  # (b, b)
    # (b, b) @ (b, k) -> (b, k)
    shared: np.ndarray = same.astype(np.float32) @ is_own.astype(np.float32) > 0
    return shared


def make_text_table(pairs: Pairs, bundle: Bundle, config: TrainConfig) -> TextTable:
    """Cut the reports into texts, whole or by sentence as `objective` says, and tokenise each distinct text once.

    Texts count as one if they differ only in case, white space, numbering and outer punctuation, or if their token ids
    are the same, for example after truncation. With duplicates="negatives" nothing is normalised.

    Raises:
        ValueError: A report has no sentence, the model cannot tell the texts of any two images apart, all images are of
            one study, or soft targets are wanted without labels.
    """
    # numbers of the texts of each image: first report, then second
    cut, key = _rules(config)
    vocabulary = Vocabulary(key)
    first, second = (
        [[vocabulary.number(text) for text in cut(report)] for report in reports]
        for reports in (pairs.texts, pairs.second_texts or [""] * len(pairs))
    )
    _refuse_empty(pairs.texts, first)
    lists = [one + other for one, other in zip(first, second, strict=True)]
    starts = np.cumsum([0, *map(len, lists)])
    numbers = np.concatenate([np.array(own, dtype=np.int64) for own in lists])  # (e,)

    # texts of mirrored images join the vocabulary before it is tokenised
    n_written = len(vocabulary.texts)
    swapped = vocabulary.swap_all() if config.augment.flip else np.empty(0, dtype=np.int64)
    tokenised = tokenise(vocabulary.texts, bundle)
    tokens, rows = tokenised.tokens, tokenised.rows
    _refuse_alike(rows[numbers], starts, tokenised.told(n_written))

    # from numbers of texts to rows of token ids
    mirrored = np.full(len(tokens), NONE)
    can_swap = np.flatnonzero(swapped != NONE)
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
        studies=_studies(pairs) if config.duplicates == "positives" else None,
        notes=tokenised.notes(n_written, config),
        config=config,
    )


def _rules(config: TrainConfig) -> tuple[Callable[[str], list[str]], Callable[[str], Hashable]]:
    """Return the function that cuts a report into texts, and the key that texts which count as one share."""
    if config.objective == "sentences":
        return distinct_sentences, str
    return _whole, str if config.duplicates == "negatives" else lambda text: tuple(distinct_sentences(text))


def _whole(report: str) -> list[str]:
    return [report] if report else []


def _refuse_empty(reports: Sequence[str], texts: Sequence[list[int]]) -> None:
    empty = [report for report, own in zip(reports, texts, strict=True) if not own]
    if empty:
        raise ValueError(f"{len(empty)} of {len(reports)} texts have no sentence, such as {empty[0]!r}: leave them out")


def _refuse_alike(texts: Int[np.ndarray, "e"], starts: Int[np.ndarray, "n_plus_1"], told: str) -> None:
    """Refuse texts that are the same for all images once they are tokenised."""
    by_image = np.split(texts, starts[1:-1])
    first = set(by_image[0].tolist())
    if len(by_image) > 1 and all(set(own.tolist()) == first for own in by_image):
        raise ValueError(
            f"--txt_filepath: wanted texts that differ after tokenising, found the same token ids for all "
            f"{len(by_image)} images ({told}): raise --context_length, or choose a --text_tower that knows the words"
        )


def _studies(pairs: Pairs) -> Int[np.ndarray, "n"] | None:
    numbers = pairs.study_numbers()
    if numbers is not None and len(numbers) > 1 and np.ptp(numbers) == 0:
        raise ValueError(
            f"study_id: wanted images of several studies, found {pairs.study_ids[0]!r} for all {len(numbers)} images; "  # type: ignore[index]
            "the texts of a study belong to all its images, so nothing is left to compare: mend the column study_id of "
            "--txt_filepath, or leave it out"
        )
    return numbers


def _topics(texts: Sequence[str], rows: Int[np.ndarray, "v"], *, n_rows: int) -> Bool[np.ndarray, "m c"]:
    """Return the findings that each row of token ids mentions: those of all texts that share the row."""
    mentioned = findings_spoken_of(texts)  # (v, c)
    topics = np.zeros((n_rows, mentioned.shape[1]), dtype=bool)
    np.logical_or.at(topics, rows, mentioned)  # (v, c) -> (m, c)
    return topics


def _label_groups(pairs: Pairs) -> Int[np.ndarray, "n"]:
    """Return a number for each distinct row of labels, `NONE` for rows without any label."""
    if pairs.labels is None:
        raise ValueError("label_similarity needs the labels of the images: give --cohort_filepath a cohort table")
    groups = np.unique(np.nan_to_num(pairs.labels, nan=np.inf), axis=0, return_inverse=True)[1].reshape(-1)
    return np.where(np.isnan(pairs.labels).all(axis=1), NONE, groups)
