"""The distinct texts of the training data, and their rows of token ids: how many were cut, how many still differ."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models import Bundle, tokenize
from models.tokens import fills_row, too_long
from train.input.mirrored_text import swap_sides
from train.train_config import TrainConfig

NONE = -1
"""Stands for a number that does not exist"""
MANY = 0.1
"""Share of the texts above which it is a warning that they became equal to others"""


class Vocabulary:
    """Distinct texts, numbered in the order in which they first occur."""

    def __init__(self, key: Callable[[str], Hashable]) -> None:
        """Start empty; two texts with the same `key` count as one."""
        self.texts: list[str] = []
        self._key = key
        self._numbers: dict[Hashable, int] = {}

    def number(self, text: str) -> int:
        """Return the number of a text, a new one at its first occurrence."""
        number = self._numbers.setdefault(self._key(text), len(self.texts))
        if number == len(self.texts):
            self.texts.append(text)
        return number

    def swap_all(self) -> Int[np.ndarray, "m"]:
        """Return the number of each text with left and right swapped, `NONE` if they cannot be swapped.

        New texts are added at the end.
        """
        swapped = [swap_sides(text) for text in self.texts]
        return np.array([NONE if text is None else self.number(text) for text in swapped])


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenisedTexts:
    """Texts as the model reads them."""

    tokens: Int[Tensor, "m t"]
    """Distinct rows of token ids; int32, to halve the memory"""
    rows: Int[np.ndarray, "v"]
    """Row in `tokens` of each text"""
    is_cut: Bool[np.ndarray, "v"]
    """Which texts have more tokens than a row"""

    def told(self, n: int) -> str:
        """Return how many of the first n texts were cut, and how many differ from each other."""
        distinct = len(np.unique(self.rows[:n]))
        return (
            f"{int(self.is_cut[:n].sum()):,} of {n:,} distinct texts are longer than {self.tokens.shape[1]} tokens and "
            f"are cut; {distinct:,} distinct texts remain after tokenising"
        )

    def notes(self, n: int, config: TrainConfig) -> tuple[str, ...]:
        """Return a note for the user if any of the first n texts was cut, or became equal to another one."""
        lost = n - len(np.unique(self.rows[:n]))
        if not lost and not self.is_cut[:n].any():
            return ()
        merged = "merged" if config.duplicates == "positives" else "negatives of each other (--duplicates negatives)"
        if not self.is_cut[:n].any():
            return (f"{lost:,} of {n:,} distinct texts have the same tokens as another one and are {merged}",)

        shorter = " or compare shorter texts with --objective sentences" if config.objective == "reports" else ""
        loud = "WARNING: " if lost > MANY * n else ""
        fate = f", the others are {merged}" if lost else ""
        return (f"{loud}{self.told(n)}{fate}: --context_length reads more{shorter}",)


def tokenise(texts: Sequence[str], bundle: Bundle) -> TokenisedTexts:
    """Return the distinct rows of token ids, the row of each text, and which texts were cut."""
    tokens = tokenize(texts, bundle.tokenizer, context_length=bundle.context_length).int()

    # only texts that fill their row can be longer
    is_cut = fills_row(tokens, bundle.tokenizer).numpy()
    full = np.flatnonzero(is_cut).tolist()
    longest = [texts[i] for i in full]
    if longest:
        is_cut[full] = too_long(longest, bundle.tokenizer, context_length=bundle.context_length).numpy()

    distinct, rows = torch.unique(tokens, dim=0, return_inverse=True)
    return TokenisedTexts(tokens=distinct, rows=rows.numpy(), is_cut=is_cut)
