"""Thresholds of largest F1 and MCC against a search over all candidates with scikit-learn's scores."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef, roc_curve

from metrics.rates import decide
from metrics.threshold_rules import max_f1_threshold, max_mcc_threshold, threshold_at_fpr, threshold_at_tpr


def sample(n, seed, shift=1.0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(int)
    return y, np.round(rng.normal(size=n) + shift * y, 1), rng


@given(st.integers(0, 5000), st.sampled_from([-1.0, 0.0, 1.0]))
@settings(max_examples=20, deadline=None)
def test_the_f1_threshold_is_the_highest_of_the_best_candidates(seed, shift):
    y, s, _ = sample(25, seed, shift)
    if len(set(y.tolist())) < 2:
        return
    values = {t: f1_score(y, s >= t) for t in np.unique(s)}
    assert max_f1_threshold(y, s) == max(t for t, value in values.items() if value > max(values.values()) - 1e-12)


@given(st.integers(0, 5000), st.sampled_from([-1.0, 0.0, 1.0]))
@settings(max_examples=20, deadline=None)
def test_the_mcc_threshold_is_the_first_ascending_of_the_roc_thresholds(seed, shift):
    y, s, _ = sample(25, seed, shift)
    if len(set(y.tolist())) < 2:
        return
    candidates = np.sort(roc_curve(y, s)[2][1:])
    values = np.array([matthews_corrcoef(y, s >= t) for t in candidates])
    assert max_mcc_threshold(y, s) == candidates[np.flatnonzero(values > values.max() - 1e-12)[0]]


def test_equally_good_thresholds_go_to_the_highest_for_f1_and_the_lowest_for_mcc():
    y, s = np.array([1, 0, 0, 1]), np.array([4, 3, 2, 1])
    assert [f1_score(y, s >= t) for t in (4, 1)] == pytest.approx([2 / 3, 2 / 3])
    assert max_f1_threshold(y, s) == 4
    y, s = np.array([1, 0, 1, 0]), np.array([4, 3, 2, 1])
    assert matthews_corrcoef(y, s >= 4) == matthews_corrcoef(y, s >= 2)
    assert max_mcc_threshold(y, s) == 2


def test_where_nothing_beats_chance_the_mcc_threshold_calls_everything_positive():
    assert max_mcc_threshold(np.array([1, 1, 0, 0]), np.array([1, 2, 3, 4])) == 1


def test_the_mcc_of_a_large_set_does_not_overflow():
    # 400,000 images: the product of the four margins has 71 bits; the oracle counts in Python's unbounded integers.
    s, per_score = np.repeat(np.arange(8), 50_000), np.array([500, 1000, 2000, 4000, 9000, 20_000, 30_000, 40_000])
    y = (np.arange(len(s)) % 50_000 < per_score[s]).astype(int)
    values = []
    for t in range(1, 8):
        tp, called, positives, n = int(per_score[t:].sum()), 50_000 * (8 - t), int(per_score.sum()), len(s)
        margins = called * (n - called) * positives * (n - positives)
        values.append((tp * n - called * positives) / math.sqrt(margins))
    assert max_mcc_threshold(y, s) == 1 + int(np.argmax(values))


@pytest.mark.parametrize("y", [[0, 0], [1, 1], []])
def test_thresholds_of_one_class_are_nan(y):
    y, s = np.array(y, dtype=int), np.linspace(0, 1, len(y))
    assert np.isnan(max_f1_threshold(y, s))
    assert np.isnan(max_mcc_threshold(y, s))


@pytest.mark.parametrize(
    ("target", "expected"),
    # Negatives score 1, 3, 5, 7: the rate is 1/4 from 7 to above 5, 2/4 from 5 to above 3, and so on.
    [(0.0, 8), (0.2, 8), (0.25, 6), (0.49, 6), (0.5, 4), (0.75, 2), (1.0, 1)],
)
def test_the_threshold_at_a_false_positive_rate_is_the_lowest_that_keeps_to_it(target, expected):
    y, s = np.array([0, 1, 0, 1, 0, 1, 0, 1]), np.array([1, 2, 3, 4, 5, 6, 7, 8])
    t = threshold_at_fpr(y, s, target)
    assert t == expected
    assert (s[y == 0] >= t).mean() <= target
    assert t == 1 or (s[y == 0] >= t - 1).mean() > target, "one step lower there are too many"


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "int8"])
@pytest.mark.parametrize("top", [100, 0])
def test_where_every_threshold_has_too_many_false_positives_nothing_is_called_positive(kind, top):
    y, s = np.array([1, 0, 0]), np.array([0, top, 0]).astype(kind)
    t = threshold_at_fpr(y, s, 0.1)
    assert t > float(s.max())
    assert not decide(s, t).any()
    assert decide(s, float(s.max())).any()


def test_the_threshold_at_a_true_positive_rate_is_the_highest_that_reaches_it():
    y, s = np.array([0, 1, 0, 1, 0, 1, 0, 1]), np.array([1, 2, 3, 4, 5, 6, 7, 8])
    assert [threshold_at_tpr(y, s, target) for target in (0.0, 0.25, 0.26, 0.5, 1.0)] == [8, 8, 6, 6, 2]


def test_unsigned_scores_have_the_thresholds_of_signed_ones():
    y, s = np.array([0, 1, 0]), np.array([0, 200, 100], dtype=np.uint8)
    assert [threshold_at_fpr(y, s, 0.0), threshold_at_fpr(y, s, 0.5)] == [200, 100]
    assert threshold_at_tpr(y, s, 1.0) == 200
