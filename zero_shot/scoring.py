"""From features to probabilities."""

import math
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

import models
from zero_shot.features import image_features, logit_scale, phrase_features, prompt_features
from zero_shot.images import Images, Reader, as_images
from zero_shot.prompts import PromptSet

Scoring = Literal["mixture", "temperature", "chexzero", "single"]
"""How cosines become probabilities: see `mixture_probabilities`, and `probabilities` for the other three."""
SCORINGS: tuple[str, ...] = get_args(Scoring)


def probabilities(
    images: Float[Tensor, "n d"],
    positive: Float[Tensor, "c d"],
    negative: Float[Tensor, "c d"],
    *,
    scoring: Literal["temperature", "chexzero", "single"] = "temperature",
    scale: float = 1.0,
) -> Float[Tensor, "n c"]:
    """Return the probability of every finding in every image, from one L2-normalised feature for all its phrases.

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


def mixture_probabilities(
    images: Float[Tensor, "n d"],
    positive: tuple[Float[Tensor, "k d"], list[list[int]]],
    negative: tuple[Float[Tensor, "m d"], list[list[int]]],
    *,
    scale: float,
) -> Float[Tensor, "n c"]:
    """Return the probability that a finding's text is one of its positive phrases and not one of its negative ones.

    With a = `scale` and P, N the features of a finding's positive and negative phrases: p / (p + q) where
    `p = mean_{t in P} exp(a image.t)` and `q = mean_{t in N} exp(a image.t)`. That is the posterior of the training
    softmax when all phrases of a side are equally likely beforehand. A phrase that fits ("left pleural effusion")
    counts in full, where a mean of features lets those that do not ("right pleural effusion") pull it down. With one
    phrase on each side it equals "temperature".

    Args:
        images: L2-normalised.
        positive: L2-normalised features of phrases, and each finding's rows among them, as from `phrase_features`.
        negative: likewise.
        scale: the model's logit scale.
    """
    return torch.sigmoid(mixture_margins(images, positive, negative, scale=scale))


def mixture_margins(
    images: Float[Tensor, "n d"],
    positive: tuple[Float[Tensor, "k d"], list[list[int]]],
    negative: tuple[Float[Tensor, "m d"], list[list[int]]],
    *,
    scale: float,
) -> Float[Tensor, "n c"]:
    """Return `log p - log q`, the log-odds of `mixture_probabilities`."""

    def evidence(features: Float[Tensor, "k d"], rows: list[list[int]]) -> Float[Tensor, "n c"]:
        logits = scale * images @ features.T
        return torch.stack([logits[:, own].logsumexp(dim=1) - math.log(len(own)) for own in rows], dim=1)

    return evidence(*positive) - evidence(*negative)


def score_features(
    bundle: models.Bundle, images: Float[Tensor, "n d"], prompts: PromptSet, *, scoring: Scoring = "mixture"
) -> Float[np.ndarray, "n c"]:
    """Return float32 probabilities for images that are encoded already: new prompts cost no new image pass.

    Raises:
        ValueError: an unknown scoring, a prompt that is too long, a model with broken weights.
    """
    if scoring not in SCORINGS:
        raise ValueError(f"scoring must be one of {', '.join(SCORINGS)}; found {scoring!r}")
    positive = [pair.positive for pair in prompts.pairs.values()]
    negative = [pair.negative for pair in prompts.pairs.values()]
    scale = logit_scale(bundle)
    if scoring == "mixture":
        phrases = phrase_features(bundle, positive), phrase_features(bundle, negative)
        scores = mixture_probabilities(images, *phrases, scale=scale)
    else:
        means = prompt_features(bundle, positive), prompt_features(bundle, negative)
        scores = probabilities(images, *means, scoring=scoring, scale=scale)
    return np.asarray(scores.numpy(), dtype=np.float32)


def score(
    bundle: models.Bundle,
    images: Images | Reader | UInt8[np.ndarray, "n h w"],
    prompts: PromptSet,
    *,
    scoring: Scoring = "mixture",
    batch_size: int = 64,
) -> Float[np.ndarray, "n c"]:
    """Return float32 probabilities, one column per finding of `prompts`; every image is encoded once.

    Raises:
        ValueError: an unknown scoring, an all-zero image, a prompt that is too long, a model with broken weights.
    """
    encoded = image_features(bundle, as_images(images), batch_size=batch_size)
    return score_features(bundle, encoded, prompts, scoring=scoring)
