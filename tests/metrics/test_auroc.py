"""AUROC against scikit-learn and against counting every pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from metrics import auroc, auroc_matrix, auroc_replicates, patient_weights, unit_weights
from metrics.auroc import _number_type, one_class_reason, pair_wins
from metrics.resampling import image_weights


def sample(n, seed, ties=True):
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.3
    s = rng.normal(size=n) + y
    return y.astype(int), np.round(s, 1) if ties else s, rng


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_equals_scikit_learn(ties):
    for seed in range(20):
        y, s, _ = sample(300, seed, ties)
        assert auroc(y, s) == pytest.approx(roc_auc_score(y, s), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_weighted_auroc_with_ties_equals_scikit_learn(dtype):
    for seed in range(20):
        y, s, rng = sample(300, seed)
        weights = (rng.exponential(2, size=300) if dtype is np.float64 else rng.integers(0, 4, 300)).astype(dtype)
        assert auroc(y, s, weights) == pytest.approx(roc_auc_score(y, s, sample_weight=weights), abs=1e-12)


def test_weighted_auroc_equals_counting_every_pair():
    y, s, rng = sample(60, 3)
    w = rng.random(60)
    pos, neg = y == 1, y == 0
    won = (s[pos][:, None] > s[neg]) + 0.5 * (s[pos][:, None] == s[neg])
    pairs = w[pos][:, None] * w[neg]
    assert auroc(y, s, w) == pytest.approx((won * pairs).sum() / pairs.sum(), abs=1e-14)


def test_integer_weights_equal_a_table_with_copied_rows():
    y, s, rng = sample(200, 4)
    counts = rng.integers(0, 5, 200)
    assert auroc(y, s, counts) == pytest.approx(roc_auc_score(np.repeat(y, counts), np.repeat(s, counts)), abs=1e-14)


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_row_order_does_not_change_a_single_bit(seed, random):
    y, s, _ = sample(80, seed)
    subjects = np.array([f"p{i // 3}" for i in range(80)])
    order = np.array(random.sample(range(80), 80))
    first = auroc_replicates(y, s, patient_weights(subjects, 20, np.random.default_rng(1)))
    second = auroc_replicates(y[order], s[order], patient_weights(subjects[order], 20, np.random.default_rng(1)))
    np.testing.assert_array_equal(first, second)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_strictly_increasing_transforms_change_nothing(seed):
    y, s, _ = sample(80, seed)
    if one_class_reason(y) == "":
        assert auroc(y, s) == auroc(y, np.exp(s) * 3 - 1) == pytest.approx(1 - auroc(y, -s), abs=1e-15)


def test_every_replicate_equals_scikit_learn_with_that_replicates_weights():
    y, s, rng = sample(240, 5)
    weights = patient_weights(rng.integers(0, 60, 240), 30, rng)
    expected = [roc_auc_score(y, s, sample_weight=weights.counts[b, weights.unit]) for b in range(30)]
    np.testing.assert_allclose(auroc_replicates(y, s, weights), expected, rtol=0, atol=1e-12)


def test_groups_rest_and_across_equal_scikit_learn_on_subsets():
    y, s, rng = sample(400, 6)
    groups = rng.integers(-1, 4, 400)
    weights = patient_weights(rng.integers(0, 120, 400), 12, rng)
    table = pair_wins(y, s, groups, 4, weights)
    for b in range(12):
        w = weights.counts[b, weights.unit]

        def expected(rows, w=w):
            return roc_auc_score(y[rows], s[rows], sample_weight=w[rows])

        assert table.overall()[b] == pytest.approx(expected(groups >= 0), abs=1e-12)
        for g in range(4):
            assert table.within()[b, g] == pytest.approx(expected(groups == g), abs=1e-12)
            assert table.rest()[b, g] == pytest.approx(expected((groups >= 0) & (groups != g)), abs=1e-12)
            other = ((groups == g) & (y == 1)) | ((groups >= 0) & (groups != g) & (y == 0))
            assert table.across()[b, g] == pytest.approx(expected(other), abs=1e-12)


def test_empty_and_one_class_groups_are_nan_and_leave_their_neighbours_alone():
    y = np.array([1, 0, 0, 0, 1, 0, 1, 0])
    s = np.array([0.9, 0.1, 0.2, 0.8, 0.7, 0.6, 0.5, 0.6])
    groups = np.array([0, 0, 1, 1, 2, 4, 4, 4])  # 1 has no positives, 2 no negatives, 3 and 5 nobody
    table = pair_wins(y, s, groups, 6, unit_weights(8))
    np.testing.assert_array_equal(table.within()[0], [1.0, np.nan, np.nan, np.nan, 0.0, np.nan])
    np.testing.assert_array_equal(table.positives[0], [1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(table.negatives[0], [1, 2, 0, 0, 2, 0])


def test_a_group_without_others_has_no_rest():
    y, s, _ = sample(50, 7)
    table = pair_wins(y, s, np.zeros(50, dtype=int), 1, image_weights(np.full((1, 50), 0.1)))
    assert np.isnan(table.rest()).all()
    assert np.isnan(table.across()).all()


def test_a_matrix_of_findings_equals_one_finding_at_a_time_and_skips_blank_labels():
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 2, (90, 3)).astype(float)
    labels[rng.random((90, 3)) < 0.2] = np.nan
    scores = rng.random((90, 3))
    weights = patient_weights(rng.integers(0, 30, 90), 9, rng)
    result = auroc_matrix(labels, scores, weights)
    for c in range(3):
        known = ~np.isnan(labels[:, c])
        for b in range(9):
            w = weights.counts[b, weights.unit][known]
            expected = roc_auc_score(labels[known, c], scores[known, c], sample_weight=w)
            assert result[b, c] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("y", "reason"), [([], "no rows"), ([0, 0], "no positives"), ([1, 1], "no negatives"), ([0, 1], "")]
)
def test_one_class_is_nan_with_a_reason(y, reason):
    y = np.array(y, dtype=int)
    assert one_class_reason(y) == reason
    assert np.isnan(auroc(y, np.zeros(len(y)))) == bool(reason)


def test_a_class_without_weight_is_nan():
    assert np.isnan(auroc(np.array([0, 1]), np.array([0.1, 0.2]), np.array([1.0, 0.0])))


def test_large_weights_are_counted_in_wide_integers():
    y, s, _ = sample(1000, 9)
    weights = image_weights(np.full((1, 1000), 60_000, dtype=np.uint16))
    assert _number_type(weights, 1000) is np.int64
    assert auroc_replicates(y, s, weights)[0] == pytest.approx(roc_auc_score(y, s), abs=1e-12)


@pytest.mark.parametrize(
    ("y", "s", "message"),
    [
        (np.array([0.0, np.nan]), np.array([0.1, 0.2]), "labels must be 0 or 1; found nan"),
        (np.array([0, -1]), np.array([0.1, 0.2]), "labels must be 0 or 1; found -1"),
        (np.array([0, 1]), np.array([0.1, np.nan]), "1 of 2 scores are NaN"),
    ],
)
def test_bad_labels_and_scores_are_refused_by_name(y, s, message):
    with pytest.raises(ValueError, match=message):
        auroc(y, s)


def test_negative_weights_and_wrong_groups_are_refused():
    y, s = np.array([0, 1]), np.array([0.1, 0.2])
    with pytest.raises(ValueError, match="not negative"):
        auroc(y, s, np.array([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"group numbers must be -1\.\.1; found 0\.\.2"):
        pair_wins(y, s, np.array([0, 2]), 2, unit_weights(2))
    with pytest.raises(ValueError, match="weights for 3 images"):
        pair_wins(y, s, np.array([0, 1]), 2, unit_weights(3))
