"""Features of images and of prompts' phrases: each image and each distinct phrase is encoded once per model."""

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

import models
from models.encode_many import mean_features
from zero_shot.images import Images
from zero_shot.prompts import PromptPair


class Phrases(NamedTuple):
    """Features of k distinct phrases, and which of them each of c findings has."""

    features: Float[Tensor, "k d"]
    """L2-normalised"""
    rows: list[list[int]]
    """Rows of each finding's phrases among the features"""


def image_features(
    bundle: models.Bundle,
    images: Images,
    *,
    batch_size: int = 64,
    progress: Callable[[int], object] | None = None,
) -> Float[Tensor, "n d"]:
    """Return L2-normalised float32 features of all images, on the CPU, in one pass.

    Args:
        bundle: the model, on the device to run on.
        images: the images, in scoring order.
        batch_size: images per forward pass; it changes results by rounding only.
        progress: called with the number of images after every batch.

    Raises:
        ValueError: an all-zero image, or features that are not finite (a diverged checkpoint).
    """
    features = models.encode_many_images(bundle, images.batches(batch_size), progress=progress)
    _refuse_not_finite(features, bundle, "images")
    return features


def phrase_features(bundle: models.Bundle, prompts: Sequence[Sequence[str]]) -> Phrases:
    """Return one feature per distinct phrase, and the rows of each finding's phrases.

    Args:
        bundle: the model.
        prompts: for each of c findings its phrases, of one polarity.

    Raises:
        ValueError: a phrase longer than the model's context, or empty; a finding without phrases; features that are not
            finite.
    """
    for finding, phrases in enumerate(prompts):
        if not phrases or not all(phrase.strip() for phrase in phrases):
            raise ValueError(f"prompts of finding {finding}: {list(phrases)!r} has no phrase, or one of empty text")

    distinct = list(dict.fromkeys(chain.from_iterable(prompts)))
    tokens = models.tokenize(distinct, bundle.tokenizer, context_length=bundle.context_length, on_overflow="error")
    encoded = models.encode_many_texts(bundle, tokens)  # (k, d)
    _refuse_not_finite(encoded, bundle, "prompts")

    place = {phrase: row for row, phrase in enumerate(distinct)}
    return Phrases(encoded, [[place[phrase] for phrase in phrases] for phrases in prompts])


def pair_features(bundle: models.Bundle, pairs: Collection[PromptPair]) -> tuple[Phrases, Phrases]:
    """Return the features of the positive and of the negative phrases of c findings.

    Raises:
        ValueError: as `phrase_features`.
    """
    return (
        phrase_features(bundle, [pair.positive for pair in pairs]),
        phrase_features(bundle, [pair.negative for pair in pairs]),
    )


def prompt_features(bundle: models.Bundle, prompts: Sequence[Sequence[str]]) -> Float[Tensor, "c d"]:
    """Return one feature per finding: its phrases' features normalised, averaged and normalised again.

    Args:
        bundle: the model.
        prompts: for each of c findings its phrases, of one polarity.

    Raises:
        ValueError: as `phrase_features`.

    Source: rajpurkarlab/CheXzero zero_shot.py, `zeroshot_classifier`; Radford et al. 2021, section 3.1.4.
    """
    return mean_features(*phrase_features(bundle, prompts))


def logit_scale(bundle: models.Bundle) -> float:
    """Return the learned factor on cosines, exp(`logit_scale`): the inverse of the softmax temperature."""
    return float(bundle.model.logit_scale.detach().float().exp())  # type: ignore[operator]


def logit_bias(bundle: models.Bundle) -> float | None:
    """Return the learned bias of a model trained with a sigmoid loss, None for one that has none."""
    bias = getattr(bundle.model, "logit_bias", None)
    return None if bias is None else float(bias.detach().float())


def _refuse_not_finite(features: Float[Tensor, "k d"], bundle: models.Bundle, what: str) -> None:
    """Refuse the features of a diverged checkpoint."""
    wrong = int((~torch.isfinite(features)).any(dim=1).sum())
    if wrong:
        raise ValueError(
            f"{bundle.name}: features of {wrong} of {len(features)} {what} are not finite; did it diverge?"
        )
