"""The lower bound of the loss that is trained: what the best possible model still loses on a batch."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import xlogy


def loss_floor(
    targets: Float[np.ndarray, "b k"],
    texts: Int[np.ndarray, "k"],
    *,
    form: Literal["sigmoid", "softmax"],
    positive_weight: float = 1.0,
) -> float:
    """Return the least loss on a batch over all logits, in nats; columns with identical texts have the same logits.

    Sigmoid: each image i and text g is one classification, with the weights `a` of "belongs" and `c` of "does not"
    summed over the columns of the text. Its minimum is `(a + c) * H(a / (a + c))`, with H the entropy of a coin.

    Softmax: logits log y reach both directions' entropies at once, because the row-wise softmax of log y is y / y_i.,
    and the column-wise one y / y_.j. An image cannot tell n identical texts apart, which adds log n:
    `1/2 * [mean_i (H(p_i) + sum_g p_ig log n_g) + mean_j H(q_j)]`, p and q the targets of an image over texts and of a
    text over images.

    Args:
        targets: How much each text belongs to each image; NaN pairs are left out of the loss.
        texts: Number of each column's text. Only columns of CLIP's targets, the identity, share one.
        form: The loss, see `train.losses`.
        positive_weight: Weight of a positive pair in the sigmoid loss.
    """
    # identical texts are columns of one group: (b, k) -> (b, g)
    group, sizes = np.unique(texts, return_inverse=True, return_counts=True)[1:]
    known, wanted = ~np.isnan(targets), np.nan_to_num(targets.astype(np.float64))

    if form == "sigmoid":
        belongs = _sum_by_group(positive_weight * wanted, group, len(sizes))
        does_not = _sum_by_group(known * (1 - wanted), group, len(sizes))
        both = belongs + does_not
        return float((xlogy(both, both) - xlogy(belongs, belongs) - xlogy(does_not, does_not)).sum() / len(targets))

    # each image over the texts: (b, k) -> (b, g)
    of_image = _sum_by_group(wanted / wanted.sum(axis=1, keepdims=True), group, len(sizes))
    per_image = (-xlogy(of_image, of_image) + of_image * np.log(sizes)).sum() / len(targets)

    # each text over the images, the mean of its group: (b, k) -> (b, g)
    of_text = _sum_by_group(wanted / wanted.sum(axis=0), group, len(sizes)) / sizes
    per_text = (-xlogy(of_text, of_text) * sizes).sum() / len(texts)

    return float((per_image + per_text) / 2)


def _sum_by_group(values: Float[np.ndarray, "b k"], group: Int[np.ndarray, "k"], n: int) -> Float[np.ndarray, "b g"]:
    """Return the sums over the columns of each group; the values themselves if every column is its own group."""
    if n == len(group):
        return values
    # (b, k) @ (k, g) -> (b, g)
    sums: np.ndarray = values @ np.eye(n)[group]
    return sums
