"""Heatmaps as arrays: the similarity of each place to texts, and the gradient of the score at each place."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate, normalize

import models
from cohort.image_reader import ImageReader
from models.encode_many import mean_features
from models.places import relevance
from zero_shot.features import logit_scale, pair_features, phrase_features
from zero_shot.images import Images, as_images
from zero_shot.prompts import PromptSet
from zero_shot.scoring import mixture_margins

PairScoring = Literal["mixture", "temperature", "chexzero"]
"""The scorings of `zero_shot.scoring` that compare positive with negative phrases"""
PAIR_SCORINGS: tuple[str, ...] = get_args(PairScoring)


def patch_similarity(
    bundle: models.Bundle,
    images: Images | ImageReader | UInt8[np.ndarray, "n s s"],
    texts: Sequence[str],
    *,
    batch_size: int = 16,
) -> Float[np.ndarray, "n k h w"]:
    """Return the cosine of every place of every image with every text, float32.

    `models.encode_places` defines the feature of a place. A place without a feature (all zero) has cosine 0.

    Args:
        bundle: the model, on the device to run on.
        images: as `zero_shot.score` takes them.
        texts: k phrases.
        batch_size: images per forward pass.

    Raises:
        ValueError: a tower without places, an all-zero image, a text that is too long, a model with broken weights.

    Source: Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022.
    """
    encoded, rows = phrase_features(bundle, [texts])
    wanted = encoded[rows[0]].to(bundle.device)
    return _at_places(bundle, images, lambda features: features @ wanted.T, batch_size=batch_size)


def patch_margins(
    bundle: models.Bundle,
    images: Images | ImageReader | UInt8[np.ndarray, "n s s"],
    prompts: PromptSet,
    *,
    scoring: PairScoring = "mixture",
    batch_size: int = 16,
) -> Float[np.ndarray, "n c h w"]:
    """Return every finding's log-odds at every place, float32: as `zero_shot.score` with the place as the image.

    The sigmoid of a value is the probability of an image with the feature of that place alone.

    Raises:
        ValueError: an unknown scoring, or as `patch_similarity`.
    """
    margins = _margins(bundle, prompts, scoring)
    return _at_places(bundle, images, margins, batch_size=batch_size)


def gradient_relevance(
    bundle: models.Bundle,
    images: Images | ImageReader | UInt8[np.ndarray, "n s s"],
    prompts: PromptSet,
    *,
    scoring: PairScoring = "mixture",
    batch_size: int = 16,
) -> Float[np.ndarray, "n c h w"]:
    """Return the part of every finding's log-odds that each place contributes, to first order, float32.

    The log-odds are those of the probability that `zero_shot.score` gives, positive phrases against negative ones,
    L2-norm of the feature included. Hence behind an average pool and a linear projection the values of an image add up
    to 0: a place counts against the average of the image. See `models.relevance`.

    Raises:
        ValueError: an unknown scoring, or as `patch_similarity`.
    """
    margins = _margins(bundle, prompts, scoring)
    blocks = [
        relevance(bundle, torch.from_numpy(pixels), margins).cpu().numpy()
        for pixels in as_images(images).batches(batch_size)
    ]
    return _finite(np.concatenate(blocks), bundle)


def upsample(maps: Float[np.ndarray, "n c h w"], size: int | tuple[int, int]) -> Float[np.ndarray, "n c height width"]:
    """Return maps of `size` (height, width; one number for a square), bilinear between the centres of the places.

    The first and last half place are constant, so no value lies outside those of the map.
    """
    height, width = (size, size) if isinstance(size, int) else size
    enlarged: Tensor = interpolate(
        torch.from_numpy(np.ascontiguousarray(maps)), (height, width), mode="bilinear", align_corners=False
    )
    return np.asarray(enlarged.numpy())


def _margins(
    bundle: models.Bundle, prompts: PromptSet, scoring: str
) -> Callable[[Float[Tensor, "n d"]], Float[Tensor, "n c"]]:
    """Return the function from L2-normalised features to log-odds; the prompts are encoded once, here."""
    if scoring not in PAIR_SCORINGS:
        raise ValueError(
            f"a heatmap compares positive with negative phrases: scoring must be one of"
            f" {', '.join(PAIR_SCORINGS)}; found {scoring!r}"
        )
    scale = logit_scale(bundle)
    sides = pair_features(bundle, prompts.pairs.values())
    if scoring == "mixture":
        positive, negative = (side._replace(features=side.features.to(bundle.device)) for side in sides)
        return lambda features: mixture_margins(features, positive, negative, scale=scale)

    present, absent = (mean_features(*side).to(bundle.device) for side in sides)  # (c, d)
    factor = scale if scoring == "temperature" else 1.0
    return lambda features: factor * (features @ (present - absent).T)


def _at_places(
    bundle: models.Bundle,
    images: Images | ImageReader | UInt8[np.ndarray, "n s s"],
    score: Callable[[Float[Tensor, "n d"]], Float[Tensor, "n c"]],
    *,
    batch_size: int,
) -> Float[np.ndarray, "n c h w"]:
    """Return what `score` gives for each place's L2-normalised feature."""
    blocks = []
    for pixels in as_images(images).batches(batch_size):
        places = models.encode_places(bundle, torch.from_numpy(pixels)).permute(0, 2, 3, 1)  # (n, h, w, d)
        values = score(normalize(places, dim=-1).flatten(0, 2))  # (n h w, c)
        blocks.append(values.reshape(*places.shape[:3], -1).permute(0, 3, 1, 2).cpu().numpy())
    return _finite(np.concatenate(blocks), bundle)


def _finite(maps: Float[np.ndarray, "n c h w"], bundle: models.Bundle) -> Float[np.ndarray, "n c h w"]:
    """Return the maps; refuse those of a diverged checkpoint."""
    wrong = int((~np.isfinite(maps)).any(axis=(1, 2, 3)).sum())
    if wrong:
        raise ValueError(f"{bundle.name}: heatmaps of {wrong} of {len(maps)} images are not finite; did it diverge?")
    return maps
