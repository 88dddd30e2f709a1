"""Retrieval against counting by hand, scikit-learn's ranking, and planted duplicates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from metrics import first_hit_ranks, recall_at, retrieval_figures


def test_the_rank_is_that_of_the_best_relevant_candidate():
    similarity = np.array([[0.1, 0.9, 0.5, 0.2], [0.1, 0.9, 0.5, 0.2], [0.4, 0.3, 0.2, 0.1]])
    relevant = np.array([[0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=bool)
    assert first_hit_ranks(similarity, relevant).tolist() == [2, 1, 4]
    figures = retrieval_figures(similarity, relevant)
    assert figures == {"recall_at_1": 1 / 3, "recall_at_5": 1.0, "recall_at_10": 1.0, "median_rank": 2.0}


@pytest.mark.parametrize("depth", [1, 5, 10])
def test_with_one_right_answer_each_recall_is_scikit_learns_top_k_accuracy(depth):
    rng = np.random.default_rng(0)
    similarity = rng.normal(size=(60, 60)) + 1.5 * np.eye(60)
    ours = recall_at(first_hit_ranks(similarity, np.eye(60, dtype=bool)), depth)
    assert ours == pytest.approx(top_k_accuracy_score(np.arange(60), similarity, k=depth))


def test_a_copy_of_the_right_answer_is_no_mistake():
    rng = np.random.default_rng(1)
    similarity = rng.normal(size=(20, 20)) + 2 * np.eye(20)
    alone = first_hit_ranks(similarity, np.eye(20, dtype=bool))
    copied = first_hit_ranks(np.hstack([similarity] * 2), np.hstack([np.eye(20, dtype=bool)] * 2))
    others = (similarity > np.diag(similarity)[:, None]).sum(axis=1)
    assert copied.tolist() == (1 + 2 * others).tolist()
    assert (copied[alone == 1] == 1).all()


def test_constant_scores_find_nothing():
    assert first_hit_ranks(np.zeros((3, 8)), np.eye(3, 8, dtype=bool)).tolist() == [8, 8, 8]


@given(st.integers(0, 10_000))
def test_the_order_of_the_candidates_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    similarity = np.round(rng.normal(size=(5, 9)), 1)
    relevant = rng.random((5, 9)) < 0.3
    relevant[:, 0] = True
    order = rng.permutation(9)
    ranks = first_hit_ranks(similarity, relevant)
    assert ranks.tolist() == first_hit_ranks(similarity[:, order], relevant[:, order]).tolist()


def test_what_has_no_rank_is_an_error():
    with pytest.raises(ValueError, match="query 1 has no relevant candidate"):
        first_hit_ranks(np.zeros((2, 2)), np.array([[True, False], [False, False]]))
    with pytest.raises(ValueError, match="similarities hold NaN"):
        first_hit_ranks(np.full((1, 2), np.nan), np.array([[True, False]]))
    assert np.isnan(retrieval_figures(np.zeros((0, 3)), np.zeros((0, 3), dtype=bool))["median_rank"])
