"""What is minimised: image features against text features, both L2-normalised, float32.

`targets[i, j]` says how much text j belongs to image i: 1 where it is the image's own, 0 where it is not, between for
soft targets, NaN where nobody knows: then the pair counts nowhere. Every image and every text of a batch has at least
one partner. One text that belongs to several images is one column, so that it is nobody's negative by mistake; with as
many texts as images and the identity as targets, the two forms are CLIP's and SigLIP's losses.

On many processes each gives the whole batch's features with its own `rows` (images) and `columns` (texts); the sum of
what they return is the batch's loss.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

ALL = slice(None)


def softmax_loss(
    images: Float[Tensor, "b d"],
    texts: Float[Tensor, "k d"],
    targets: Float[Tensor, "b k"],
    scale: Float[Tensor, ""],
    *,
    rows: slice = ALL,
    columns: slice = ALL,
) -> Float[Tensor, ""]:
    """Return the symmetric multi-positive cross-entropy: each image against all texts and each text against all images.

    With z = scale * images @ texts.T and y the targets:
    `1/2 * [mean_i sum_j -y_ij / y_i. log softmax_j(z_i.)_j + mean_j sum_i -y_ij / y_.j log softmax_i(z_.j)_i]`

    Source: Radford et al., ICML 2021, figure 3 (y the identity); Khosla et al., NeurIPS 2020, eq. 2 (several
    positives, the mean outside the logarithm), here in both directions.
    """
    per_image = _soft_cross_entropy(scale * images[rows] @ texts.T, targets[rows])
    per_text = _soft_cross_entropy(scale * texts[columns] @ images.T, targets.T[columns])
    return (per_image / len(images) + per_text / len(texts)) / 2


def _soft_cross_entropy(logits: Float[Tensor, "n m"], targets: Float[Tensor, "n m"]) -> Float[Tensor, ""]:
    """Return the sum over rows of the cross-entropy to the row's known targets, made to sum to 1."""
    # finite, because 0 times infinity is not 0
    logits = logits.masked_fill(targets.isnan(), torch.finfo(logits.dtype).min)
    targets = targets.nan_to_num()
    return cross_entropy(logits, targets / targets.sum(dim=1, keepdim=True), reduction="sum")


def sigmoid_loss(
    images: Float[Tensor, "b d"],
    texts: Float[Tensor, "k d"],
    targets: Float[Tensor, "b k"],
    scale: Float[Tensor, ""],
    *,
    bias: Float[Tensor, ""],
    positive_weight: float = 1.0,
    rows: slice = ALL,
) -> Float[Tensor, ""]:
    """Return the pairwise logistic loss: each image-text pair is asked by itself whether it belongs together.

    With z = scale * images @ texts.T + bias, y the targets and w = `positive_weight`:
    `-1/b * sum_ij [w * y_ij * log sigmoid(z_ij) + (1 - y_ij) * log sigmoid(-z_ij)]`

    Source: Zhai et al., ICCV 2023, algorithm 1 (y the identity), with several positives per image and a weight on them.
    """
    logits, own_targets = scale * images[rows] @ texts.T + bias, targets[rows]
    is_known = ~own_targets.isnan()
    total = binary_cross_entropy_with_logits(
        logits,
        own_targets.nan_to_num(),
        weight=is_known.to(logits.dtype),
        pos_weight=torch.full((), positive_weight, dtype=logits.dtype, device=logits.device),
        reduction="sum",
    )
    return total / len(images)
