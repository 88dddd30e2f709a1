"""From features to probabilities."""

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

import models
from zero_shot.features import image_features, logit_scale, prompt_features
from zero_shot.images import Images, Reader, as_images
from zero_shot.prompts import PromptSet

Scoring = Literal["temperature", "chexzero", "single"]
"""How cosines become probabilities, see `probabilities`."""
SCORINGS: tuple[str, ...] = get_args(Scoring)


def probabilities(
    images: Float[Tensor, "n d"],
    positive: Float[Tensor, "c d"],
    negative: Float[Tensor, "c d"],
    *,
    scoring: Scoring = "temperature",
    scale: float = 1.0,
) -> Float[Tensor, "n c"]:
    """Return the probability of every finding in every image, from L2-normalised features.

    - "temperature": softmax over the pair, exp(a·cos⁺) / (exp(a·cos⁺) + exp(a·cos⁻)) with a = `scale`, computed as
      sigmoid(a·(cos⁺ - cos⁻)), which cannot overflow.
    - "chexzero": the same with a = 1, so that values stay near 0.5. Ranks images as "temperature" does.
    - "single": positive prompts only. Cosines are standardised over the findings of an image (ddof 0), then sigmoid.
      Ranks findings within an image; needs several findings to mean anything.

    Raises:
        ValueError: "single" with fewer than 2 findings.

    Source: rajpurkarlab/CheXzero zero_shot.py, `run_softmax_eval` and `predict`.
    """
    if scoring == "single":
        if len(positive) < 2:
            raise ValueError("scoring 'single' standardises over the findings of an image: it needs at least 2")
        cosines = images @ positive.T
        centred = cosines - cosines.mean(dim=1, keepdim=True)
        return torch.sigmoid(centred / cosines.std(dim=1, keepdim=True, correction=0))
    margin = images @ positive.T - images @ negative.T
    return torch.sigmoid(margin if scoring == "chexzero" else scale * margin)


def score_features(
    bundle: models.Bundle, images: Float[Tensor, "n d"], prompts: PromptSet, *, scoring: Scoring = "temperature"
) -> Float[np.ndarray, "n c"]:
    """Return float32 probabilities for images that are encoded already: new prompts cost no new image pass.

    Raises:
        ValueError: an unknown scoring, a prompt that is too long, a model with broken weights.
    """
    if scoring not in SCORINGS:
        raise ValueError(f"scoring must be one of {', '.join(SCORINGS)}; found {scoring!r}")
    positive = prompt_features(bundle, [pair.positive for pair in prompts.pairs.values()])
    negative = prompt_features(bundle, [pair.negative for pair in prompts.pairs.values()])
    scores = probabilities(images, positive, negative, scoring=scoring, scale=logit_scale(bundle))
    return np.asarray(scores.numpy(), dtype=np.float32)


def score(
    bundle: models.Bundle,
    images: Images | Reader | UInt8[np.ndarray, "n h w"],
    prompts: PromptSet,
    *,
    scoring: Scoring = "temperature",
    batch_size: int = 64,
) -> Float[np.ndarray, "n c"]:
    """Return float32 probabilities, one column per finding of `prompts`; every image is encoded once.

    Raises:
        ValueError: an unknown scoring, an all-zero image, a prompt that is too long, a model with broken weights.
    """
    encoded = image_features(bundle, as_images(images), batch_size=batch_size)
    return score_features(bundle, encoded, prompts, scoring=scoring)
