"""Many prompts on features that are encoded already: one matrix product in chunks, seconds for thousands of prompts."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

CHUNK = 256
"""Prompt pairs at a time."""


def margins(
    images: Float[Tensor, "n d"],
    positive: Float[Tensor, "k d"],
    negative: Float[Tensor, "k d"],
    *,
    chunk: int = CHUNK,
) -> Iterator[tuple[slice, Float[Tensor, "b n"]]]:
    """Yield the margins cos⁺ - cos⁻ of k prompt pairs, `chunk` pairs at a time, with the slice of pairs they are of.

    Computed as images · (f⁺ - f⁻): one product for both sides. Memory is `chunk` · n floats, whatever k. A pair is a
    row, so that what ranks images pair by pair reads consecutive values.

    Args:
        images: L2-normalised features, as `read_embeddings` and `image_features` return.
        positive: one L2-normalised feature per pair, as from `prompt_features`.
        negative: likewise.
        chunk: pairs at a time.

    Raises:
        ValueError: the pairs' two sides differ in number, or images and prompts in width (they are of different
            models).
    """
    _check(images, positive, negative)
    for begin in range(0, len(positive), chunk):
        part = slice(begin, min(begin + chunk, len(positive)))
        yield part, (positive[part] - negative[part]) @ images.T


def rescore(
    images: Float[Tensor, "n d"],
    positive: Float[Tensor, "k d"],
    negative: Float[Tensor, "k d"],
    *,
    scale: float | None = None,
    chunk: int = CHUNK,
) -> Float[np.ndarray, "n k"]:
    """Return the margins cos⁺ - cos⁻ of k prompt pairs, or with a scale a their probabilities sigmoid(a·margin).

    With the model's `logit_scale` these are the scoring "temperature", with 1 "chexzero". All pairs are held at once:
    4 bytes · n · k; `margins` yields them in chunks.

    Args:
        images: L2-normalised features.
        positive: one L2-normalised feature per pair.
        negative: likewise.
        scale: factor on the margin; None for the margin itself.
        chunk: pairs at a time.

    Raises:
        ValueError: see `margins`.
    """
    _check(images, positive, negative)
    scores = torch.empty((len(positive), len(images)))
    for begin in range(0, len(positive), chunk):
        part = scores[begin : begin + chunk]
        torch.mm(positive[begin : begin + chunk] - negative[begin : begin + chunk], images.T, out=part)
        if scale is not None:
            part.mul_(scale).sigmoid_()
    return scores.numpy().T


def _check(images: Tensor, positive: Tensor, negative: Tensor) -> None:
    if positive.shape != negative.shape or images.shape[1] != positive.shape[1]:
        raise ValueError(
            f"wanted as many positive as negative prompts, of the images' width; found {tuple(positive.shape)} and "
            f"{tuple(negative.shape)} for images of {tuple(images.shape)}: are they of one model?"
        )
