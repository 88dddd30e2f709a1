"""Retrieval: where in a ranking the first right answer stands. A query may have several right answers."""

import numpy as np
from jaxtyping import Bool, Float, Int, Real

DEPTHS = (1, 5, 10)
"""ranks up to which recall is reported"""


def first_hit_ranks(similarity: Real[np.ndarray, "n m"], relevant: Bool[np.ndarray, "n m"]) -> Int[np.ndarray, "n"]:
    """Return for each of n queries the rank of its best relevant candidate among m, 1 for the first.

    `1 + |{j : not relevant_ij and s_ij >= max_{k relevant to i} s_ik}|`: candidates that tie with it are placed before
    it, so that constant scores find nothing, and other relevant ones do not count as being in its way.

    Raises:
        ValueError: a query without relevant candidate, or a similarity that is NaN.
    """
    if not relevant.any(axis=1).all():
        raise ValueError(f"query {np.flatnonzero(~relevant.any(axis=1))[0]} has no relevant candidate: leave it out")
    if np.isnan(similarity).any():
        raise ValueError("similarities hold NaN, which has no rank")
    best = np.where(relevant, similarity, -np.inf).max(axis=1)
    ranks: np.ndarray = 1 + ((similarity >= best[:, None]) & ~relevant).sum(axis=1)
    return ranks


def recall_at(ranks: Int[np.ndarray, "n"], depth: int) -> float:
    """Return the share of queries whose first relevant candidate is among the first `depth`; NaN without queries."""
    return float((ranks <= depth).mean()) if len(ranks) else float("nan")


def retrieval_figures(similarity: Float[np.ndarray, "n m"], relevant: Bool[np.ndarray, "n m"]) -> dict[str, float]:
    """Return recall_at_1, recall_at_5, recall_at_10 and median_rank of n queries; see `first_hit_ranks`.

    Candidates with equal content are one candidate, or all relevant together: a duplicate is no mistake. Recall at k
    falls with the number of candidates, so compare within one set only.
    """
    ranks = first_hit_ranks(similarity, relevant)
    recalls = {f"recall_at_{depth}": recall_at(ranks, depth) for depth in DEPTHS}
    return {**recalls, "median_rank": float(np.median(ranks)) if len(ranks) else float("nan")}
