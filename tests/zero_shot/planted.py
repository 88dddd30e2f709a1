"""A model that reads planted signals: what its text tower understands is chosen, and what its image tower sees is true.

A film has one row of pixels per finding; the pixel at the image's right edge is the patient's left.
"""

import re

import numpy as np
import torch
from torch import nn

from models import Bundle, Preprocessing

WORDS = {"effusion": 0, "pneumothorax": 1, "cardiomegaly": 2, "edema": 3, "consolidation": 4}
FINDINGS = ("Pleural Effusion", "Pneumothorax", "Cardiomegaly", "Edema", "Consolidation")
NEGATORS = {"no", "not", "without", "absent"}
SIDE = 8
N = len(FINDINGS)
EXTRA = 2 * N  # a direction that no film has
ALWAYS = 2 * N + 1  # a direction that every film has


def films(present, sides=None):
    """Draw films: (n, 5) presence, and for those that are present 1 (the patient's left), 0 (right) or NaN (both)."""
    sides = np.full(present.shape, np.nan) if sides is None else sides
    pixels = np.full((len(present), SIDE, SIDE), 50, dtype=np.uint8)
    for k in range(N):
        left = (present[:, k] == 1) & (sides[:, k] != 0)
        right = (present[:, k] == 1) & (sides[:, k] != 1)
        pixels[left, k, SIDE - 1] = 150
        pixels[right, k, 0] = 150
    return pixels


def words_of(text):
    return re.findall(r"[a-z]+", text.lower())


class Words:
    """A tokenizer: one id per word, as they come."""

    def __init__(self):
        self.ids = {}

    def __call__(self, texts, context_length):
        tokens = torch.zeros(len(texts), context_length, dtype=torch.int64)
        for row, text in enumerate(texts):
            for place, word in enumerate(words_of(text)[:context_length]):
                tokens[row, place] = self.ids.setdefault(word, len(self.ids) + 1)
        return tokens


def clauses(words):
    """Yield (words of a clause, whether it is negated): a clause begins at "but", "and" and "without"."""
    parts = [[]]
    for word in words:
        if word in {"but", "and", "without"}:
            parts.append([])
        parts[-1].append(word)
    for part in parts:
        yield part, bool(NEGATORS & set(part))


def understands(words, feature):
    """Every finding of a clause is affirmed, or denied where the clause is; sides belong to it."""
    for part, negated in clauses(words):
        for finding in WORDS.keys() & set(part):
            k = WORDS[finding]
            feature[k] = -1 if negated else 1
            feature[N + k] = ("left" in part) - ("right" in part)


def overlooks_no(words, feature):
    """Findings are affirmed, whatever else is said."""
    for finding in WORDS.keys() & set(words):
        feature[WORDS[finding]] = 1


def dilutes(words, feature):
    """A bag of words: "no" is one more word, so that the finding's weighs less."""
    overlooks_no(words, feature)
    feature[EXTRA] = len(NEGATORS & set(words))


def likes_to_affirm(words, feature):
    """The film does not matter: a text without "no" is liked better."""
    feature[ALWAYS] = -1 if NEGATORS & set(words) else 1


def likes_left(words, feature):
    """The film does not matter: a text that says left is liked better."""
    feature[ALWAYS] = ("left" in words) - ("right" in words)


def takes_left_for_right(words, feature):
    """Sides are told apart and called by each other's names."""
    swapped = [{"left": "right", "right": "left"}.get(word, word) for word in words]
    understands(swapped, feature)


class Text(nn.Module):
    def __init__(self, reads, tokenizer):
        super().__init__()
        self.reads, self.tokenizer = reads, tokenizer

    def forward(self, tokens):
        by_id = {number: word for word, number in self.tokenizer.ids.items()}
        features = torch.zeros(len(tokens), 2 * N + 2)
        for row, ids in enumerate(tokens.tolist()):
            self.reads([by_id[number] for number in ids if number], features[row])
        features[:, -1] += 1e-3 * (features == 0).all(dim=1)
        return features


class Planted(nn.Module):
    def __init__(self, reads, tokenizer):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(3.0))
        self.text = Text(reads, tokenizer)
        self.n_encoded = 0

    def encode_image(self, grey):
        self.n_encoded += len(grey)
        left, right = (grey[:, 0, :N, column] > 100 for column in (SIDE - 1, 0))
        present = torch.where(left | right, 1.0, -1.0)
        return torch.cat(
            [present, left.float() - right.float(), torch.zeros(len(grey), 1), torch.ones(len(grey), 1)], 1
        )


def planted_bundle(reads):
    """Return a model whose text tower is one of the functions above."""
    tokenizer = Words()
    return Bundle(
        model=Planted(reads, tokenizer),
        tokenizer=tokenizer,
        preprocessing=Preprocessing(image_size=SIDE, mean=(0.0,), std=(1.0,), channels=1),
        name="planted",
        context_length=16,
        config={},
    )
