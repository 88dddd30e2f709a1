"""Retrieval: at which rank the first right answer is, and recall at 1, 5 and 10. A query may have several answers."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from metrics.resampling import ReplicateWeights, mean_replicates

DEPTHS = (1, 5, 10)
"""Ranks up to which recall is reported"""
CELLS = 2**23
"""Similarities held at a time: 32 MB in float32, whatever the size of the archive"""


def first_hit_ranks(similarity: Real[np.ndarray, "n m"], relevant: Bool[np.ndarray, "n m"]) -> Int[np.ndarray, "n"]:
    """Return for each of n queries the rank of its best relevant candidate among m, 1 for the first.

        1 + |{j : not relevant_ij and s_ij >= max_{k relevant to i} s_ik}|

    Irrelevant candidates that tie come before the hit, so constant scores find nothing. Other relevant candidates are
    not counted.

    Raises:
        ValueError: a query has no relevant candidate, or a similarity is NaN.
    """
    if not relevant.any(axis=1).all():
        raise ValueError(f"query {np.flatnonzero(~relevant.any(axis=1))[0]} has no relevant candidate: leave it out")
    if np.isnan(similarity).any():
        raise ValueError("similarities hold NaN, which has no rank")

    best = np.where(relevant, similarity, -np.inf).max(axis=1)
    ranks: np.ndarray = 1 + ((similarity >= best[:, None]) & ~relevant).sum(axis=1)
    return ranks


class Ranks(NamedTuple):
    """Ranks of n pairs of image and text in one direction, by two definitions of a hit."""

    same_text: Int[np.ndarray, "n"]
    """Anything with the same text is a hit; copies of a text count as one candidate"""
    own_pair: Int[np.ndarray, "n"]
    """Only the query's own partner (the diagonal) is a hit; each copy is another candidate, which ties with it"""


def image_to_text_ranks(
    images: Real[np.ndarray, "n d"],
    texts: Real[np.ndarray, "m d"],
    content: Int[np.ndarray, "n"],
    *,
    cells: int = CELLS,
) -> Ranks:
    """Return for each image the rank of its text, as `first_hit_ranks` counts, without holding the whole matrix.

    `same_text` ranks among the m distinct texts; `own_pair` among the n texts with all copies, so that a text with k
    copies is at best on rank k.

    Args:
        images: features.
        texts: features of the distinct texts.
        content: the text of each image; each text belongs to at least one image.
        cells: similarities held at a time (at least one row); it changes results by rounding only.

    Raises:
        ValueError: a feature is not finite, content is not a text's number, or a text belongs to no image.
    """
    copies = _copies(images, texts, content)  # (m,)

    # Repeated texts come first, so that their extra copies are a short slice of each row.
    order = np.argsort(-copies, kind="stable")
    own = np.argsort(order)[content]  # (n,) the place of each image's text in that order
    n_repeated = np.count_nonzero(copies > 1)
    extra = copies[order[:n_repeated]] - 1

    ranks = Ranks(np.empty(len(images), dtype=np.int64), np.empty(len(images), dtype=np.int64))
    for image, similarity in _rows(images, texts[order], cells):  # similarity (m,)
        is_before = similarity >= similarity[own[image]]
        ranks.same_text[image] = np.count_nonzero(is_before)
        ranks.own_pair[image] = ranks.same_text[image] + extra[is_before[:n_repeated]].sum()
    return ranks


def text_to_image_ranks(
    images: Real[np.ndarray, "n d"],
    texts: Real[np.ndarray, "m d"],
    content: Int[np.ndarray, "n"],
    *,
    cells: int = CELLS,
) -> Ranks:
    """Return for each image's text the rank of an image among all n, as `first_hit_ranks` counts.

    `same_text` is the rank of the best image with this text, not counting the others with it; it is the same for all of
    them. `own_pair` is the rank of this very image. Arguments and errors are those of `image_to_text_ranks`.
    """
    copies = _copies(images, texts, content)  # (m,)

    # Images sorted by their text: those of one text are a slice that ends at `ends`.
    order = np.argsort(content, kind="stable")
    ends = np.cumsum(copies)

    ranks = Ranks(np.empty(len(images), dtype=np.int64), np.empty(len(images), dtype=np.int64))
    for text, similarity in _rows(texts, images[order], cells):  # similarity (n,)
        share = slice(ends[text] - copies[text], ends[text])
        hits, pairs = similarity[share], order[share]
        best = hits.max()
        ranks.same_text[pairs] = 1 + np.count_nonzero(similarity >= best) - np.count_nonzero(hits >= best)
        ranks.own_pair[pairs] = [np.count_nonzero(similarity >= hit) for hit in hits]
    return ranks


def _copies(
    images: Real[np.ndarray, "n d"], texts: Real[np.ndarray, "m d"], content: Int[np.ndarray, "n"]
) -> Int[np.ndarray, "m"]:
    """Return how many images each text has, after checking the features and the numbers of the texts."""
    for what, features in (("images", images), ("texts", texts)):
        if not np.isfinite(features).all():
            raise ValueError(f"features of {what} are not all finite, so they have no rank")
    if len(content) and not 0 <= content.min() <= content.max() < len(texts):
        raise ValueError(f"content must be 0 to {len(texts) - 1}; found {content.min()} to {content.max()}")
    copies = np.bincount(content, minlength=len(texts))
    if (copies == 0).any():
        raise ValueError(f"text {np.flatnonzero(copies == 0)[0]} belongs to no image: leave it out")
    return copies


def _rows(
    queries: Real[np.ndarray, "n d"], candidates: Real[np.ndarray, "m d"], cells: int
) -> Iterator[tuple[int, Real[np.ndarray, "m"]]]:
    """Yield each query's similarities to all candidates, row by row: a row stays in the cache while it is counted."""
    n_rows = max(1, min(len(queries), cells // max(1, len(candidates))))
    # Products of integers or half floats overflow in their own type.
    number = np.result_type(queries, candidates, np.float32)
    turned = np.ascontiguousarray(candidates.T, dtype=number)  # (d m)
    block = np.empty((n_rows, len(candidates)), dtype=number)
    for begin in range(0, len(queries), n_rows):
        taken = queries[begin : begin + n_rows].astype(number, copy=False)
        yield from enumerate(np.matmul(taken, turned, out=block[: len(taken)]), start=begin)


def recall_at(ranks: Int[np.ndarray, "n"], depth: int) -> float:
    """Return the share of queries whose first relevant candidate is among the first `depth`; NaN without queries."""
    return float((ranks <= depth).mean()) if len(ranks) else float("nan")


def recall_replicates(
    ranks: Int[np.ndarray, "n"], weights: ReplicateWeights, *, parts: Real[np.ndarray, "n"] | None = None
) -> Float[np.ndarray, "r k"]:
    """Return recall at each of the k `DEPTHS` in each replicate, for an interval.

    Queries are resampled with their patients, while the candidates stay: an interval describes other queries against
    the same candidates.

    Args:
        ranks: of n queries.
        weights: of the same n queries.
        parts: weight of each row, 1/k if k rows ask the same and shall count as one query; 1 by default.

    Raises:
        ValueError: the weights are for another number of queries.
    """
    part = np.ones(len(ranks)) if parts is None else parts
    found = (ranks[:, None] <= np.array(DEPTHS)) * part[:, None]
    means = mean_replicates(np.column_stack([found, part]), weights)
    recalls: Float[np.ndarray, "r k"] = means[:, :-1] / means[:, -1:]
    return recalls


def rank_figures(ranks: Int[np.ndarray, "n"]) -> dict[str, float]:
    """Return recall_at_1, recall_at_5, recall_at_10 and median_rank of n queries; NaN without queries."""
    recalls = {f"recall_at_{depth}": recall_at(ranks, depth) for depth in DEPTHS}
    return {**recalls, "median_rank": float(np.median(ranks)) if len(ranks) else float("nan")}


def retrieval_figures(similarity: Float[np.ndarray, "n m"], relevant: Bool[np.ndarray, "n m"]) -> dict[str, float]:
    """Return `rank_figures` of `first_hit_ranks`.

    Merge candidates of equal content, or mark all of them as relevant: a duplicate is not a mistake. Recall at k falls
    with the number of candidates, so compare within one set only.
    """
    return rank_figures(first_hit_ranks(similarity, relevant))
