"""The contrastive losses: InfoNCE (softmax) and SigLIP (sigmoid), with several positives per image and soft targets.

Both compare image features with text features, L2-normalised, float32. `targets[i, j]` is how much text j belongs to
image i: 1 for the image's own text, 0 for a negative, a value between for soft targets, NaN for an unknown pair, which
is left out of the loss. Every image and every text of a batch has at least one positive. A text that belongs to several
images is one column, so it is a negative for none of them. With one text per image and the identity as targets, the two
functions are CLIP's and SigLIP's losses.

With several processes, each passes the features of the whole batch and its own `rows` (images) and `columns` (texts).
The loss of the batch is the sum of the results.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

ALL = slice(None)


def softmax_loss(
    image_features: Float[Tensor, "b d"],
    text_features: Float[Tensor, "k d"],
    targets: Float[Tensor, "b k"],
    scale: Float[Tensor, ""],
    *,
    rows: slice = ALL,
    columns: slice = ALL,
) -> Float[Tensor, ""]:
    """Return the symmetric multi-positive cross-entropy: each image against all texts and each text against all images.

    With z = scale * image_features @ text_features.T and y the targets:
    `1/2 * [mean_i sum_j -y_ij / y_i. log softmax_j(z_i.)_j + mean_j sum_i -y_ij / y_.j log softmax_i(z_.j)_i]`

    Source: Radford et al., ICML 2021, figure 3 (y the identity); Khosla et al., NeurIPS 2020, eq. 2 (several
    positives, the mean outside the logarithm), here in both directions.
    """
    # each image against all texts: (rows, d) @ (d, k) -> (rows, k)
    per_image = _soft_cross_entropy(scale * image_features[rows] @ text_features.T, targets[rows])

    # each text against all images: (columns, d) @ (d, b) -> (columns, b)
    per_text = _soft_cross_entropy(scale * text_features[columns] @ image_features.T, targets.T[columns])

    return (per_image / len(image_features) + per_text / len(text_features)) / 2


def _soft_cross_entropy(logits: Float[Tensor, "n m"], targets: Float[Tensor, "n m"]) -> Float[Tensor, ""]:
    """Return the sum over rows of the cross-entropy to the row's known targets, scaled to sum to 1."""
    # an unknown pair gets probability 0 and target 0; its logit is finite, because 0 times infinity is NaN
    logits = logits.masked_fill(targets.isnan(), torch.finfo(logits.dtype).min)
    targets = targets.nan_to_num()

    return cross_entropy(logits, targets / targets.sum(dim=1, keepdim=True), reduction="sum")


def sigmoid_loss(
    image_features: Float[Tensor, "b d"],
    text_features: Float[Tensor, "k d"],
    targets: Float[Tensor, "b k"],
    scale: Float[Tensor, ""],
    *,
    bias: Float[Tensor, ""],
    positive_weight: float = 1.0,
    rows: slice = ALL,
) -> Float[Tensor, ""]:
    """Return the pairwise logistic loss: each image-text pair is a binary classification of its own.

    With z = scale * image_features @ text_features.T + bias, y the targets and w = `positive_weight`:
    `-1/b * sum_ij [w * y_ij * log sigmoid(z_ij) + (1 - y_ij) * log sigmoid(-z_ij)]`

    Source: Zhai et al., ICCV 2023, algorithm 1 (y the identity), with several positives per image and a weight on them.
    """
    # (rows, d) @ (d, k) -> (rows, k)
    logits, own_targets = scale * image_features[rows] @ text_features.T + bias, targets[rows]

    # an unknown pair has weight 0
    is_known = ~own_targets.isnan()
    total = binary_cross_entropy_with_logits(
        logits,
        own_targets.nan_to_num(),
        weight=is_known.to(logits.dtype),
        pos_weight=torch.full((), positive_weight, dtype=logits.dtype, device=logits.device),
        reduction="sum",
    )
    return total / len(image_features)
