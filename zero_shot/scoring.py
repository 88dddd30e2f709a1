"""From features of images and phrases to probabilities: the one place where cosines become scores.

Read prompts, features, scoring and ensemble in this order.
"""

import math
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

import models
from cohort.image_reader import ImageReader
from models.encode_many import mean_features
from zero_shot.features import Phrases, image_features, logit_bias, logit_scale, pair_features
from zero_shot.images import Images, as_images
from zero_shot.prompts import PromptSet

Scoring = Literal["mixture", "temperature", "chexzero", "single", "sigmoid"]
"""How cosines become probabilities: see `mixture_probabilities`, and `probabilities` for the others"""
SCORINGS: tuple[str, ...] = get_args(Scoring)
FLOATS = 1 << 23
"""Cosines held at a time: bounds the memory to about 100 MB beside features and scores"""


def refuse_scoring(scoring: str, *, n_findings: int, bias: float | None) -> None:
    """Refuse a scoring that is not possible, before images are encoded for it.

    Raises:
        ValueError: an unknown scoring, "single" with fewer than 2 findings, "sigmoid" for a model without a bias.
    """
    if scoring not in SCORINGS:
        raise ValueError(f"scoring must be one of {', '.join(SCORINGS)}; found {scoring!r}")
    if scoring == "single" and n_findings < 2:
        raise ValueError("scoring 'single' standardises over the findings of an image: it needs at least 2")
    if scoring == "sigmoid" and bias is None:
        raise ValueError(
            "scoring 'sigmoid' wants a model that was trained with a sigmoid loss; this one has no logit_bias: "
            "choose mixture or temperature"
        )


def probabilities(
    images: Float[Tensor, "n d"],
    positive: Float[Tensor, "c d"],
    negative: Float[Tensor, "c d"],
    *,
    scoring: Literal["temperature", "chexzero", "single", "sigmoid"] = "temperature",
    scale: float = 1.0,
    bias: float | None = None,
) -> Float[Tensor, "n c"]:
    """Return the probability of every finding in every image, from one L2-normalised feature for all its phrases.

    - "temperature": softmax over the pair, exp(a·cos⁺) / (exp(a·cos⁺) + exp(a·cos⁻)) with a = `scale`, computed as
      sigmoid(a·(cos⁺ - cos⁻)), which cannot overflow.
    - "chexzero": the same with a = 1, so that values stay near 0.5. Ranks images as "temperature" does.
    - "single": positive prompts only. Cosines are standardised over the findings of an image (ddof 0), then sigmoid.
      Ranks the findings of an image; needs several findings.
    - "sigmoid": positive prompts only, sigmoid(a·cos⁺ + b) with b = `bias`: the logit that a sigmoid loss (SigLIP)
      trains. It is the probability that image and text are a pair of the training batch, small for all texts but the
      image's own, so 0.5 is not a threshold. Ranks images by cos⁺ alone. In the pair scorings above b cancels out.

    Raises:
        ValueError: see `refuse_scoring`.

    Source: rajpurkarlab/CheXzero zero_shot.py, `run_softmax_eval` and `predict`; Zhai et al., Sigmoid Loss for Language
    Image Pre-Training, ICCV 2023, section 3.2.
    """
    refuse_scoring(scoring, n_findings=len(positive), bias=bias)

    # positive prompts only
    if scoring == "single":
        cosines = images @ positive.T  # (n, c)
        centred = cosines - cosines.mean(dim=1, keepdim=True)
        return torch.sigmoid(centred / cosines.std(dim=1, keepdim=True, correction=0))
    if scoring == "sigmoid" and bias is not None:
        return torch.sigmoid(scale * (images @ positive.T) + bias)

    # positive against negative prompts
    margin = images @ positive.T - images @ negative.T  # (n, c)
    return torch.sigmoid(margin if scoring == "chexzero" else scale * margin)


def mixture_probabilities(
    images: Float[Tensor, "n d"], positive: Phrases, negative: Phrases, *, scale: float
) -> Float[Tensor, "n c"]:
    """Return the probability that a finding's text is one of its positive phrases and not one of its negative ones.

    With a = `scale` and P, N the features of a finding's positive and negative phrases: p / (p + q), where
    `p = mean_{t in P} exp(a image.t)` and `q = mean_{t in N} exp(a image.t)`. That is the posterior of the training
    softmax if all phrases of a side are equally likely a priori. A phrase that fits ("left pleural effusion") counts in
    full, whereas in a mean of features the phrases that do not fit ("right pleural effusion") pull it down. With one
    phrase on each side it equals "temperature".

    Args:
        images: L2-normalised.
        positive: as from `phrase_features`.
        negative: likewise.
        scale: the model's logit scale.
    """
    return torch.sigmoid(mixture_margins(images, positive, negative, scale=scale))


def mixture_margins(
    images: Float[Tensor, "n d"], positive: Phrases, negative: Phrases, *, scale: float
) -> Float[Tensor, "n c"]:
    """Return `log p - log q`, the log-odds of `mixture_probabilities`."""

    def evidence(phrases: Phrases) -> Float[Tensor, "n c"]:
        logits = scale * images @ phrases.features.T  # (n, k)

        # one phrase per finding: its column; several: the log of the mean of their exponentials
        if all(len(own) == 1 for own in phrases.rows):
            return logits[:, [own[0] for own in phrases.rows]]
        return torch.stack([logits[:, own].logsumexp(dim=1) - math.log(len(own)) for own in phrases.rows], dim=1)

    return evidence(positive) - evidence(negative)


def score_phrases(
    images: Float[Tensor, "n d"],
    positive: Phrases,
    negative: Phrases,
    *,
    scoring: Scoring = "mixture",
    scale: float,
    bias: float | None = None,
) -> Float[np.ndarray, "n c"]:
    """Return float32 probabilities from the features of images and phrases, however many of either.

    Images are taken in blocks, so that memory is bounded beside features and result.

    Args:
        images: L2-normalised.
        positive: features of the positive phrases, as from `phrase_features`.
        negative: likewise.
        scoring: see `mixture_probabilities` and `probabilities`.
        scale: the model's logit scale.
        bias: the model's logit bias, None if it has none.

    Raises:
        ValueError: see `refuse_scoring`.
    """
    refuse_scoring(scoring, n_findings=len(positive.rows), bias=bias)
    scores = np.empty((len(images), len(positive.rows)), dtype=np.float32)

    # every scoring but the mixture has one feature per finding and side
    means = None if scoring == "mixture" else (mean_features(*positive), mean_features(*negative))

    step = max(1, FLOATS // (len(positive.features) + len(negative.features) + 2 * scores.shape[1]))
    for begin in range(0, len(images), step):
        block = images[begin : begin + step]
        if means is None or scoring == "mixture":
            found = mixture_probabilities(block, positive, negative, scale=scale)
        else:
            found = probabilities(block, *means, scoring=scoring, scale=scale, bias=bias)
        scores[begin : begin + step] = found.numpy()
    return scores


def score_features(
    bundle: models.Bundle, images: Float[Tensor, "n d"], prompts: PromptSet, *, scoring: Scoring = "mixture"
) -> Float[np.ndarray, "n c"]:
    """Return float32 probabilities for images that are encoded already: new prompts cost no new image pass.

    Raises:
        ValueError: see `refuse_scoring`; a prompt that is too long, a model with broken weights.
    """
    bias = logit_bias(bundle)
    refuse_scoring(scoring, n_findings=len(prompts.pairs), bias=bias)
    positive, negative = pair_features(bundle, prompts.pairs.values())
    return score_phrases(images, positive, negative, scoring=scoring, scale=logit_scale(bundle), bias=bias)


def score(
    bundle: models.Bundle,
    images: Images | ImageReader | UInt8[np.ndarray, "n h w"],
    prompts: PromptSet,
    *,
    scoring: Scoring = "mixture",
    batch_size: int = 64,
) -> Float[np.ndarray, "n c"]:
    """Return float32 probabilities, one column per finding of `prompts`; every image is encoded once.

    Raises:
        ValueError: see `refuse_scoring`; an all-zero image, a prompt that is too long, a model with broken weights.
    """
    encoded = image_features(bundle, as_images(images), batch_size=batch_size)
    return score_features(bundle, encoded, prompts, scoring=scoring)
