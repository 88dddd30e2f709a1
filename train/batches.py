"""Batches of pairs: which pairs in which order, and their texts as columns of token ids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models import tokenize, trim_padding
from models.tokens import pad_id
from train.sentences import index_sentences


def steps_per_epoch(n_items: int, batch_size: int) -> int:
    """Return the number of steps that cut `n_items` into nearly equal batches, none above `batch_size`, none of 1.

    A batch of 1 has no negatives: InfoNCE is exactly 0 there. (Only batches of 2 with an odd number of items get one
    of 3.)

    Raises:
        ValueError: if the batch is larger than the data.
    """
    if n_items < batch_size:
        raise ValueError(f"batch_size {batch_size} is larger than the data: {n_items} items are left to train on")
    steps = -(-n_items // batch_size)
    return steps if n_items // steps > 1 else n_items // batch_size


def epoch_batches(n_items: int, batch_size: int, rng: np.random.Generator) -> Iterator[Int[np.ndarray, "b"]]:
    """Yield positions 0..n-1 in random order, each once, in batches whose sizes differ by at most 1."""
    yield from np.array_split(rng.permutation(n_items), steps_per_epoch(n_items, batch_size))


@runtime_checkable
class TextColumns(Protocol):
    """Texts of pairs, tokenised once."""

    def batch(self, pairs: Int[np.ndarray, "b"]) -> tuple[Int[Tensor, "k t"], Bool[Tensor, "b k"]]:
        """Return the tokens of the batch's k columns, cut to the longest, and which column belongs to which pair."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportColumns:
    """One column per pair: its whole report. Two equal reports are two columns, each the other's negative."""

    tokens: Int[Tensor, "n t"]
    """int32, to halve the memory"""
    padding: int

    def batch(self, pairs: Int[np.ndarray, "b"]) -> tuple[Int[Tensor, "b t"], Bool[Tensor, "b b"]]:
        """Return the reports of the batch in its order; the diagonal are the pairs."""
        tokens = trim_padding(self.tokens[torch.from_numpy(pairs)].long(), padding=self.padding)
        return tokens, torch.eye(len(pairs), dtype=torch.bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceColumns:
    """One column per distinct sentence of the batch; an image's positives are all sentences of its own report."""

    tokens: Int[Tensor, "m t"]
    """int32, one row per distinct sentence of the whole data"""
    sentences: Sequence[Int[np.ndarray, "_"]]
    """pair -> rows of `tokens` that are its sentences"""
    padding: int

    def batch(self, pairs: Int[np.ndarray, "b"]) -> tuple[Int[Tensor, "k t"], Bool[Tensor, "b k"]]:
        """Return the distinct sentences of the batch and the positives."""
        own = [self.sentences[pair] for pair in pairs]
        distinct, columns = np.unique(np.concatenate(own), return_inverse=True)
        positives = torch.zeros((len(pairs), len(distinct)), dtype=torch.bool)
        positives[torch.arange(len(pairs)).repeat_interleave(torch.tensor([len(ids) for ids in own])), columns] = True
        return trim_padding(self.tokens[torch.from_numpy(distinct)].long(), padding=self.padding), positives


def report_columns(texts: Sequence[str], tokenizer: Any, *, context_length: int) -> ReportColumns:
    """Tokenise each distinct report once."""
    distinct = sorted(set(texts))
    position = {text: index for index, text in enumerate(distinct)}
    tokens = tokenize(distinct, tokenizer, context_length=context_length).int()
    order = torch.tensor([position[text] for text in texts])
    return ReportColumns(tokens=tokens[order], padding=pad_id(tokenizer))


def sentence_columns(texts: Sequence[str], tokenizer: Any, *, context_length: int) -> SentenceColumns:
    """Split the reports into sentences and tokenise each distinct one once.

    Raises:
        ValueError: if a report has no sentence; such pairs must be left out before.
    """
    vocabulary, members = index_sentences(texts)
    empty = [text for text, own in zip(texts, members, strict=True) if not own]
    if empty:
        raise ValueError(f"{len(empty)} of {len(texts)} texts have no sentence, such as {empty[0]!r}: leave them out")
    return SentenceColumns(
        tokens=tokenize(vocabulary, tokenizer, context_length=context_length).int(),
        sentences=[np.array(own, dtype=np.int64) for own in members],
        padding=pad_id(tokenizer),
    )
