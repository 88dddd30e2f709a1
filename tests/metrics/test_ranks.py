"""Retrieval against counting by hand, the whole matrix, scikit-learn's ranking, and planted duplicates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from metrics import patient_weights, unit_weights
from metrics.ranks import (
    first_hit_ranks,
    image_to_text_ranks,
    rank_figures,
    recall_at,
    recall_replicates,
    retrieval_figures,
    text_to_image_ranks,
)


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


def pairs(seed, n=40, m=23, d=4):
    """Return features in whole numbers, whose products are exact and often tie, and texts of which some are copies."""
    rng = np.random.default_rng(seed)
    content = np.concatenate([np.arange(m), rng.integers(0, m, n - m)])
    rng.shuffle(content)
    return rng.integers(-3, 4, (n, d)).astype(np.float32), rng.integers(-3, 4, (m, d)).astype(np.float32), content


@given(st.integers(0, 10_000))
def test_ranks_in_chunks_are_those_of_the_whole_matrix(seed):
    images, texts, content = pairs(seed)
    distinct = content[:, None] == np.arange(len(texts))
    whole = images @ texts.T
    there = image_to_text_ranks(images, texts, content)
    back = text_to_image_ranks(images, texts, content)
    np.testing.assert_array_equal(there.same_text, first_hit_ranks(whole, distinct))
    np.testing.assert_array_equal(back.same_text, first_hit_ranks(whole.T, distinct.T)[content])
    diagonal = np.eye(len(images), dtype=bool)
    np.testing.assert_array_equal(there.own_pair, first_hit_ranks(images @ texts[content].T, diagonal))
    np.testing.assert_array_equal(back.own_pair, first_hit_ranks(texts[content] @ images.T, diagonal))


@given(st.integers(0, 10_000), st.integers(1, 2000))
def test_neither_the_chunks_nor_the_order_of_the_pairs_matter(seed, cells):
    images, texts, content = pairs(seed)
    order = np.random.default_rng(seed).permutation(len(images))
    for ranks in (image_to_text_ranks, text_to_image_ranks):
        plain, turned = (
            ranks(images, texts, content),
            ranks(images[order], texts, content[order], cells=cells),
        )
        np.testing.assert_array_equal(turned.same_text, plain.same_text[order])
        np.testing.assert_array_equal(turned.own_pair, plain.own_pair[order])


def test_planted_copies_cost_the_diagonal_what_they_cost_and_nobody_else():
    content = np.array([0] * 12 + list(range(1, 29)))
    texts = np.eye(29, dtype=np.float32)
    there, back = (ranks(texts[content], texts, content) for ranks in (image_to_text_ranks, text_to_image_ranks))
    for ranks in (there, back):
        assert rank_figures(ranks.same_text) == {
            "recall_at_1": 1.0,
            "recall_at_5": 1.0,
            "recall_at_10": 1.0,
            "median_rank": 1.0,
        }
        assert recall_at(ranks.own_pair, 10) == 28 / 40
        assert set(ranks.own_pair[:12].tolist()) == {12}


def test_a_wrong_text_with_many_copies_is_in_the_way_once():
    texts = np.array([[1.0], [2.0]], dtype=np.float32)
    content = np.array([0, 1, 1, 1, 1])
    ranks = image_to_text_ranks(np.ones((5, 1), dtype=np.float32), texts, content)
    assert ranks.same_text.tolist() == [2, 1, 1, 1, 1]
    assert ranks.own_pair.tolist() == [5, 4, 4, 4, 4]


def test_no_more_than_a_few_rows_of_similarities_are_held(monkeypatch):
    held = []
    monkeypatch.setattr(np, "matmul", lambda a, b, out: held.append(out.size) or a.__matmul__(b))
    images, texts, content = pairs(0)
    image_to_text_ranks(images, texts, content, cells=100)
    text_to_image_ranks(images, texts, content, cells=100)
    assert held == [4 * 23] * 10 + [2 * 40] * 11 + [40]


def test_recall_is_resampled_with_the_patients_of_the_queries():
    rng = np.random.default_rng(3)
    ranks = rng.integers(1, 15, 60)
    patients = rng.integers(0, 17, 60)
    weights = patient_weights(patients, 50, rng)
    by_copying = [
        [recall_at(np.repeat(ranks, counts[weights.unit]), depth) for depth in (1, 5, 10)] for counts in weights.counts
    ]
    np.testing.assert_allclose(recall_replicates(ranks, weights), by_copying, rtol=0, atol=1e-12)
    estimate = [rank_figures(ranks)[f"recall_at_{depth}"] for depth in (1, 5, 10)]
    np.testing.assert_allclose(recall_replicates(ranks, unit_weights(60))[0], estimate, rtol=0, atol=1e-12)


def test_pairs_that_have_no_rank_are_an_error():
    images, texts, content = pairs(0)
    with pytest.raises(ValueError, match="features of texts are not all finite"):
        image_to_text_ranks(images, np.full_like(texts, np.nan), content)
    with pytest.raises(ValueError, match="text 23 belongs to no image: leave it out"):
        text_to_image_ranks(images, np.vstack([texts, texts[:1]]), content)
    with pytest.raises(ValueError, match="content must be 0 to 22; found 0 to 23"):
        image_to_text_ranks(images, texts, content + (content == 22))
