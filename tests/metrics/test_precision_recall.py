"""AUPRC and partial AUROC against scikit-learn, and against walking over the thresholds one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from metrics import auprc, auroc, patient_weights, unit_weights
from metrics.precision_recall import (
    adjusted_auprc,
    auprc_matrix,
    auprc_reason,
    auprc_replicates,
    partial_auroc,
    partial_auroc_replicates,
    prevalence_replicates,
)
from metrics.resampling import image_weights


def sample(n, seed, ties=True):
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.3
    s = rng.normal(size=n) + y
    return y.astype(int), np.round(s, 1) if ties else s, rng


def walked(y, s, w):
    """Average precision by its definition, one threshold at a time."""
    area, recall = 0.0, 0.0
    for t in sorted(set(s.tolist()), reverse=True):
        called = s >= t
        if w[called].sum() == 0:
            continue
        new = w[called & (y == 1)].sum() / w[y == 1].sum()
        area += (new - recall) * w[called & (y == 1)].sum() / w[called].sum()
        recall = new
    return area


@pytest.mark.parametrize("ties", [False, True])
def test_auprc_equals_scikit_learn(ties):
    for seed in range(20):
        y, s, _ = sample(300, seed, ties)
        assert auprc(y, s) == pytest.approx(average_precision_score(y, s), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_weighted_auprc_with_ties_equals_scikit_learn_and_the_definition(dtype):
    for seed in range(10):
        y, s, rng = sample(120, seed)
        w = (rng.exponential(2, size=120) if dtype is np.float64 else rng.integers(0, 3, 120)).astype(dtype)
        assert auprc(y, s, w) == pytest.approx(average_precision_score(y, s, sample_weight=w), abs=1e-12)
        assert auprc(y, s, w) == pytest.approx(walked(y, s, w), abs=1e-12)


def test_equal_scores_are_one_step():
    assert auprc(np.array([1, 0, 0, 1]), np.full(4, 0.5)) == 0.5
    assert auprc(np.array([0, 1, 0]), np.array([0.9, 0.9, 0.1])) == 0.5


def test_a_highest_score_without_weight_changes_nothing():
    y, s, w = np.array([1, 1, 0, 1]), np.array([9.0, 3.0, 2.0, 1.0]), np.array([0, 1, 1, 1])
    assert auprc(y, s, w) == pytest.approx(auprc(y[1:], s[1:]), abs=1e-15)


@given(st.integers(0, 10_000), st.integers(1, 25))
@settings(max_examples=25, deadline=None)
def test_integer_weights_equal_a_table_with_copied_rows(seed, n):
    y, s, rng = sample(n, seed)
    counts = rng.integers(0, 4, n)
    many, few = auprc(np.repeat(y, counts), np.repeat(s, counts)), auprc(y, s, counts)
    np.testing.assert_allclose(few, many, rtol=0, atol=1e-14)  # NaN equals NaN here


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_row_order_does_not_change_a_single_bit(seed, random):
    y, s, _ = sample(80, seed)
    subjects = np.array([f"p{i // 3}" for i in range(80)])
    order = np.array(random.sample(range(80), 80))
    first = patient_weights(subjects, 20, np.random.default_rng(1))
    second = patient_weights(subjects[order], 20, np.random.default_rng(1))
    np.testing.assert_array_equal(auprc_replicates(y, s, first), auprc_replicates(y[order], s[order], second))
    np.testing.assert_array_equal(
        partial_auroc_replicates(y, s, first, 0.2), partial_auroc_replicates(y[order], s[order], second, 0.2)
    )


def test_every_replicate_of_every_finding_equals_scikit_learn_and_blank_labels_are_left_out():
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 2, (90, 3)).astype(float)
    labels[rng.random((90, 3)) < 0.2] = np.nan
    scores = np.round(rng.random((90, 3)), 1)
    weights = patient_weights(rng.integers(0, 30, 90), 19, rng)  # three chunks, the last not full
    result = auprc_matrix(labels, scores, weights)
    assert result.shape == (19, 3)
    for c in range(3):
        known = ~np.isnan(labels[:, c])
        for b in range(19):
            w = weights.counts[b, weights.unit][known]
            expected = average_precision_score(labels[known, c], scores[known, c], sample_weight=w)
            assert result[b, c] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("y", "reason"), [([], "no rows"), ([0, 0], "no positives"), ([1, 1], ""), ([0, 1], "")])
def test_without_positives_auprc_is_nan_with_a_reason(y, reason):
    y = np.array(y, dtype=int)
    assert auprc_reason(y) == reason
    assert np.isnan(auprc(y, np.zeros(len(y)))) == bool(reason)


def test_a_replicate_without_positives_is_nan_and_its_neighbours_are_not():
    y, s = np.array([1, 0, 0]), np.array([0.1, 0.2, 0.3])
    weights = image_weights(np.array([[0, 2, 1], [1, 1, 1]]))
    np.testing.assert_array_equal(auprc_replicates(y, s, weights), [np.nan, 1 / 3])
    np.testing.assert_array_equal(partial_auroc_replicates(y, s, weights, 1.0), [np.nan, 0.0])
    np.testing.assert_array_equal(prevalence_replicates(y, weights), [0.0, 1 / 3])


def test_adjusted_auprc_is_zero_at_the_prevalence_and_one_when_perfect():
    area = np.array([0.02, 1.0, 0.02**0.5, 0.01])
    np.testing.assert_allclose(adjusted_auprc(area, 0.02), [0, 1, 0.5, 1 - np.log(0.01) / np.log(0.02)])
    assert adjusted_auprc(0.01, 0.02) < 0


def test_adjusted_auprc_of_equal_scores_is_zero_whatever_the_prevalence():
    for positives in (1, 7, 40):
        y = np.arange(50) < positives
        weights = unit_weights(50)
        area, share = auprc_replicates(y, np.zeros(50), weights), prevalence_replicates(y, weights)
        assert share == positives / 50
        assert adjusted_auprc(area, share) == pytest.approx(0, abs=1e-12)


def test_adjusted_auprc_without_a_second_class_is_nan():
    np.testing.assert_array_equal(
        adjusted_auprc(np.array([1.0, np.nan, np.nan, 0.5]), np.array([1.0, 0.0, 0.3, np.nan])), np.full(4, np.nan)
    )


def test_adjusted_auprc_refuses_what_no_area_or_share_can_be():
    with pytest.raises(ValueError, match=r"lies in \(0, 1\]; found 0\.\.0.5"):
        adjusted_auprc(np.array([0.0, 0.5]), 0.1)
    assert adjusted_auprc(1 + 1e-15, 0.1) == pytest.approx(1)  # a sum of fractions, rounded
    with pytest.raises(ValueError, match=r"found 1\.1\.\.1\.1"):
        adjusted_auprc(1.1, 0.1)
    with pytest.raises(ValueError, match=r"prevalence lies in \[0, 1\]; found 12\.\.12"):
        adjusted_auprc(0.5, 12.0)


@pytest.mark.parametrize("max_fpr", [0.01, 0.1, 0.25, 0.9, 1.0])
@pytest.mark.parametrize("ties", [False, True])
def test_partial_auroc_equals_scikit_learn(max_fpr, ties):
    for seed in range(10):
        y, s, _ = sample(200, seed, ties)
        assert partial_auroc(y, s, max_fpr) == pytest.approx(roc_auc_score(y, s, max_fpr=max_fpr), abs=1e-12)


def test_partial_auroc_of_every_replicate_equals_scikit_learn_with_its_weights():
    y, s, rng = sample(240, 5)
    weights = patient_weights(rng.integers(0, 60, 240), 19, rng)
    expected = [roc_auc_score(y, s, sample_weight=w[weights.unit], max_fpr=0.15) for w in weights.counts]
    np.testing.assert_allclose(partial_auroc_replicates(y, s, weights, 0.15), expected, rtol=0, atol=1e-12)


def test_partial_auroc_up_to_one_is_the_auroc_and_chance_is_a_half():
    y, s, _ = sample(150, 6)
    assert partial_auroc(y, s, 1.0) == pytest.approx(auroc(y, s), abs=1e-14)
    assert partial_auroc(y, np.zeros(150), 0.1) == pytest.approx(0.5, abs=1e-14)
    assert partial_auroc(y, y.astype(float), 0.1) == 1.0
    assert partial_auroc(y, s, 0.1) == pytest.approx(partial_auroc(y, s, 0.1 + 1e-9), abs=1e-6)


@pytest.mark.parametrize("y", [[0, 0], [1, 1], []])
def test_partial_auroc_of_one_class_is_nan(y):
    assert np.isnan(partial_auroc(np.array(y, dtype=int), np.zeros(len(y)), 0.5))


@pytest.mark.parametrize("max_fpr", [0.0, 1.5, -1.0])
def test_an_impossible_limit_is_refused(max_fpr):
    with pytest.raises(ValueError, match=rf"in \(0, 1\]; found {max_fpr:g}"):
        partial_auroc(np.array([0, 1]), np.array([0.1, 0.2]), max_fpr)


def test_bad_input_is_refused_by_name():
    with pytest.raises(ValueError, match="labels must be 0 or 1; found nan"):
        auprc(np.array([0.0, np.nan]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        auprc(np.array([0, 1]), np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="2 scores and weights for 3 images"):
        auprc_replicates(np.array([0, 1]), np.array([0.1, 0.2]), unit_weights(3))
    with pytest.raises(ValueError, match="not negative"):
        auprc(np.array([0, 1]), np.array([0.1, 0.2]), np.array([1.0, -1.0]))
