"""Features of many images, of many texts, and of reports by their sentences: L2-normalised, on the CPU."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from models.bundle import Bundle, encode_images, encode_texts
from models.tokens import pad_id, tokenize

TEXT_BATCH = 64
"""Texts that are encoded together"""


def encode_many_images(
    bundle: Bundle,
    batches: Iterable[UInt8[np.ndarray, "_ h w"]],
    *,
    progress: Callable[[int], object] | None = None,
) -> Float[Tensor, "n d"]:
    """Return `encode_images` of batches of pixels, on the CPU, in their order.

    Args:
        bundle: The model, on the device to run on.
        batches: Grey levels 0..255, each batch one forward pass; its size changes features by rounding only.
        progress: Called with the number of images after every batch.
    """
    blocks = []
    for pixels in batches:
        blocks.append(encode_images(bundle, torch.from_numpy(pixels)).cpu())  # (b, d)
        if progress is not None:
            progress(len(pixels))
    return torch.cat(blocks)  # (n, d)


def encode_many_texts(
    bundle: Bundle, tokens: Int[Tensor, "k t"], *, batch_size: int = TEXT_BATCH
) -> Float[Tensor, "k d"]:
    """Return `encode_texts` of any number of texts, on the CPU, in their order.

    Texts of similar length share a batch, so that little padding is computed where padding can be cut.
    """
    by_length = (tokens != pad_id(bundle.tokenizer)).sum(dim=1).argsort(stable=True)
    features = torch.cat([encode_texts(bundle, tokens[rows]).cpu() for rows in torch.split(by_length, batch_size)])
    return features[by_length.argsort()]


def encode_reports(bundle: Bundle, texts: Sequence[str], rows: Sequence[Sequence[int]]) -> Float[Tensor, "m d"]:
    """Return one feature per report: the mean of its texts' features, normalised again.

    A text longer than the model's context is cut, as in training.

    Args:
        bundle: The model, on the device to run on.
        texts: Distinct sentences, or whole reports.
        rows: The texts of each report, as from `cohort.report_sentences.index_texts`.
    """
    tokens = tokenize(texts, bundle.tokenizer, context_length=bundle.context_length)  # (k, t)
    return mean_features(encode_many_texts(bundle, tokens), rows)


def mean_features(features: Float[Tensor, "k d"], rows: Sequence[Sequence[int]]) -> Float[Tensor, "m d"]:
    """Return one feature per group of rows: their mean, normalised again."""
    return normalize(torch.stack([features[list(own)].mean(dim=0) for own in rows]), dim=-1)
