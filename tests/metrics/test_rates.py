"""Rates and thresholds against confusion matrices and ROC curves of scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, matthews_corrcoef, precision_score, roc_curve

from metrics import patient_weights, resampling, roc_points, unit_weights
from metrics.rates import confusion, decide
from metrics.threshold_rules import threshold_at_fpr, threshold_at_tpr, youden_threshold


def sample(n, seed):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(int)
    return y, np.round(rng.normal(size=n) + y, 1), rng


def test_rates_of_groups_rest_and_overall_equal_scikit_learn(monkeypatch):
    monkeypatch.setattr(resampling, "FLOATS", 200)  # several chunks of replicates
    y, s, rng = sample(300, 0)
    groups = rng.integers(-1, 3, 300)
    weights = patient_weights(rng.integers(0, 70, 300), 7, rng)
    called = decide(s, 0.5)
    table = confusion(y, called, groups, 3, weights)
    for b in range(7):
        w = weights.counts[b, weights.unit].astype(float)

        def expected(rows, w=w):
            tn, fp, fn, tp = confusion_matrix(y[rows], called[rows], sample_weight=w[rows], labels=[0, 1]).ravel()
            return tp / (tp + fn), fp / (fp + tn)

        assert (table.overall().tpr()[b, 0], table.overall().fpr()[b, 0]) == pytest.approx(expected(groups >= 0))
        for g in range(3):
            assert (table.tpr()[b, g], table.fpr()[b, g]) == pytest.approx(expected(groups == g))
            rest = (groups >= 0) & (groups != g)
            assert (table.rest().tpr()[b, g], table.rest().fpr()[b, g]) == pytest.approx(expected(rest))


def test_f1_mcc_ppv_and_npv_of_every_replicate_and_group_equal_scikit_learn():
    y, s, rng = sample(300, 2)
    groups = rng.integers(0, 2, 300)
    weights = patient_weights(rng.integers(0, 70, 300), 7, rng)
    called = decide(s, 0.5)
    table = confusion(y, called, groups, 2, weights)
    for b in range(7):
        for g in range(2):
            rows = groups == g
            truth, calls, w = y[rows], called[rows], weights.counts[b, weights.unit][rows]
            assert table.f1()[b, g] == pytest.approx(f1_score(truth, calls, sample_weight=w))
            assert table.mcc()[b, g] == pytest.approx(matthews_corrcoef(truth, calls, sample_weight=w))
            assert table.ppv()[b, g] == pytest.approx(precision_score(truth, calls, sample_weight=w))
            assert table.npv()[b, g] == pytest.approx(precision_score(truth, calls, sample_weight=w, pos_label=0))


def test_f1_mcc_ppv_and_npv_with_an_empty_denominator_are_nan():
    def of(y, called):
        y, called = np.array(y), np.array(called, dtype=bool)
        table = confusion(y, called, np.zeros(len(y), dtype=int), 1, unit_weights(len(y)))
        return [float(value[0, 0]) for value in (table.f1(), table.mcc(), table.ppv(), table.npv())]

    nan = np.nan
    np.testing.assert_array_equal(of([0, 0], [0, 0]), [nan, nan, nan, 1])
    np.testing.assert_array_equal(of([0, 0], [1, 0]), [0, nan, 0, 1])
    np.testing.assert_array_equal(of([1, 0], [0, 0]), [0, nan, nan, 0.5])
    np.testing.assert_array_equal(of([1, 0], [1, 1]), [2 / 3, nan, 0.5, nan])
    np.testing.assert_array_equal(of([1, 0], [0, 1]), [0, -1, 0, 0])


def test_an_empty_cell_is_nan_and_not_the_worst_group():
    y, called, groups = np.array([1, 0, 0]), np.array([True, True, False]), np.array([0, 0, 1])
    table = confusion(y, called, groups, 3, unit_weights(3))
    np.testing.assert_array_equal(table.tpr()[0], [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(table.fpr()[0], [1.0, 0.0, np.nan])


def test_a_score_equal_to_the_threshold_is_positive():
    np.testing.assert_array_equal(decide(np.array([0.4, 0.5, 0.6]), 0.5), [False, True, True])


def test_an_undefined_threshold_is_refused():
    with pytest.raises(ValueError, match="threshold is NaN"):
        decide(np.array([0.1]), float("nan"))


def test_roc_points_equal_scikit_learn():
    y, s, _ = sample(200, 1)
    fpr, tpr, thresholds = roc_points(y, s)
    expected = roc_curve(y, s, drop_intermediate=False)
    for ours, theirs in zip((fpr, tpr, thresholds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs[1:])  # theirs begins with a threshold above all scores


@given(st.integers(0, 5000), st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]))
@settings(max_examples=60, deadline=None)
def test_thresholds_equal_a_search_over_all_candidates(seed, target):
    y, s, _ = sample(40, seed)
    if len(set(y.tolist())) < 2:
        return
    candidates = np.unique(s)

    def rate(t, label):
        return (s[y == label] >= t).mean()

    low = [t for t in candidates if rate(t, 0) <= target]
    chosen = threshold_at_fpr(y, s, target)
    assert chosen == min(low) if low else not decide(s, chosen).any()
    assert threshold_at_tpr(y, s, target) == max(t for t in candidates if rate(t, 1) >= target)
    best = max(rate(t, 1) - rate(t, 0) for t in candidates)
    t = youden_threshold(y, s)
    assert rate(t, 1) - rate(t, 0) == pytest.approx(best)
    assert t == max(c for c in candidates if rate(c, 1) - rate(c, 0) > best - 1e-12)


@pytest.mark.parametrize("y", [[0, 0], [1, 1], []])
def test_thresholds_of_one_class_are_nan(y):
    y = np.array(y, dtype=int)
    s = np.linspace(0, 1, len(y))
    assert np.isnan(youden_threshold(y, s))
    assert np.isnan(threshold_at_fpr(y, s, 0.2)) == (0 not in y)
    assert np.isnan(threshold_at_tpr(y, s, 0.8)) == (1 not in y)
