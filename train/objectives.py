"""What is minimised: image features against text features, both L2-normalised.

All functions take float32 features and give the mean loss of a batch. `positives[i, j]` says that text j belongs to
image i; every image and every text of a batch has at least one partner.
"""

import torch
from jaxtyping import Bool, Float
from open_clip.loss import ClipLoss
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

_CLIP_LOSS = ClipLoss()


def info_nce(images: Float[Tensor, "b d"], texts: Float[Tensor, "b d"], scale: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return the symmetric InfoNCE loss of b pairs, open_clip's: the mean of both directions' cross-entropies.

    `-1/(2b) * sum_i [log softmax_j(scale * images_i . texts_j)_i + log softmax_j(scale * texts_i . images_j)_i]`

    Source: Radford et al., ICML 2021, figure 3; `open_clip.loss.ClipLoss`.
    """
    loss: Tensor = _CLIP_LOSS(images, texts, scale)
    return loss


def multi_positive_softmax(
    images: Float[Tensor, "b d"],
    texts: Float[Tensor, "k d"],
    positives: Bool[Tensor, "b k"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Return the symmetric multi-positive cross-entropy; equal to `info_nce` when each text has one image of its own.

    With P(i) the texts of image i and Q(j) the images of text j, and z = scale * images @ texts.T:
    `1/2 * [mean_i mean_{j in P(i)} -log softmax_j(z_i.)_j + mean_j mean_{i in Q(j)} -log softmax_i(z_.j)_i]`

    Source: Khosla et al., NeurIPS 2020, eq. 2 (the mean outside the logarithm), in both directions.
    """
    logits = scale * images @ texts.T
    weights = positives.to(logits.dtype)
    per_image = -(log_softmax(logits, dim=1) * weights).sum(dim=1) / weights.sum(dim=1)
    per_text = -(log_softmax(logits, dim=0) * weights).sum(dim=0) / weights.sum(dim=0)
    return (per_image.mean() + per_text.mean()) / 2


def multi_positive_sigmoid(
    images: Float[Tensor, "b d"],
    texts: Float[Tensor, "k d"],
    positives: Bool[Tensor, "b k"],
    scale: Float[Tensor, ""],
    *,
    bias: Float[Tensor, ""],
    positive_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Return the pairwise logistic loss: each image-text pair is asked by itself whether it belongs together.

    With z = scale * images @ texts.T + bias and w = `positive_weight`:
    `-1/b * sum_ij [w * y_ij * log sigmoid(z_ij) + (1 - y_ij) * log sigmoid(-z_ij)]`

    Source: Zhai et al., ICCV 2023, algorithm 1, with several positives per image and a weight on them.
    """
    logits = scale * images @ texts.T + bias
    attracted = positive_weight * logsigmoid(logits)
    return -torch.where(positives, attracted, logsigmoid(-logits)).sum() / len(images)
