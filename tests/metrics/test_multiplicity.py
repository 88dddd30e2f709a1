"""Adjusted p-values by their definition, and simultaneous intervals against loops and closed forms."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import max_t
from metrics.multiplicity import holm


def holm_by_hand(p):
    """The smallest level at which the step-down procedure rejects each hypothesis, found by running it."""
    k, adjusted = len(p), []
    for own in range(k):
        for level in sorted({min(1.0, m * value) for value in p for m in range(1, k + 1)}):
            rejected, left = set(), sorted(range(k), key=lambda i: p[i])
            while left and p[left[0]] * len(left) <= level * (1 + 1e-12):
                rejected.add(left.pop(0))
            if own in rejected or level == 1.0:
                adjusted.append(level)
                break
    return adjusted


def test_holm_of_a_textbook_family():
    # 4 x .005, 3 x .01, 2 x .03, and .04 which may not fall below the one before it
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=7, unique=True))
def test_holm_is_the_level_at_which_the_step_down_procedure_rejects(thousandths):
    p = np.array(thousandths) / 1000
    assert holm(p) == pytest.approx(holm_by_hand(p.tolist()))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order_and_lies_between_p_and_bonferroni(values, random):
    p = np.array(values)
    order = np.array(random.sample(range(len(p)), len(p)))
    np.testing.assert_array_equal(holm(p)[order], holm(p[order]))
    assert (holm(p) >= p).all()
    assert (holm(p) <= np.minimum(p * len(p), 1)).all()


def test_a_comparison_that_is_not_evaluable_is_no_member_of_the_family():
    np.testing.assert_array_equal(holm(np.array([0.02, np.nan, 0.01])), [0.02, np.nan, 0.02])
    assert holm(np.zeros(0)).size == 0


def test_a_p_value_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"p-values lie in \[0, 1\]; found 1.5"):
        holm(np.array([0.1, 1.5]))


def family(seed, k=6, r=301):
    rng = np.random.default_rng(seed)
    difference = rng.normal(size=k)
    common = rng.normal(size=(r, 1))
    return difference, difference + (common + rng.normal(size=(r, k))) * np.arange(1, k + 1) / k, rng


def test_max_t_equals_a_loop_over_replicates():
    difference, replicates, rng = family(0)
    replicates[rng.random(replicates.shape) < 0.01] = np.nan
    floor, widening = rng.random(6), 1 + rng.random(6)
    error = [max(np.std([v for v in replicates[:, j] if v == v], ddof=1), floor[j]) for j in range(len(difference))]
    largest = [
        max(abs(v - d) / e for v, d, e in zip(row, difference, error, strict=True) if v == v) for row in replicates
    ]
    result = max_t(difference, replicates, floor=floor, widening=widening, alpha=0.1)
    assert result.critical == pytest.approx(np.percentile(largest, 90))
    for j, (d, e, w) in enumerate(zip(difference, error, widening, strict=True)):
        assert result.low[j] == pytest.approx(d - result.critical * w * e)
        assert result.high[j] == pytest.approx(d + result.critical * w * e)
        assert result.p[j] == pytest.approx((1 + sum(top >= abs(d) / (w * e) for top in largest)) / (301 + 1))


@pytest.mark.parametrize("k", [1, 3, 20])
def test_independent_normals_have_the_critical_value_of_theory(k):
    replicates = np.random.default_rng(1).normal(size=(40_000, k))
    theory = NormalDist().inv_cdf((1 + 0.95 ** (1 / k)) / 2)
    # the quantile's own Monte-Carlo error: sqrt(.95 x .05 / r) / density, with the maximum's density at its quantile
    density = k * 0.95 ** ((k - 1) / k) * 2 * NormalDist().pdf(theory)
    assert max_t(np.zeros(k), replicates).critical == pytest.approx(
        theory, abs=4 * np.sqrt(0.95 * 0.05 / 40_000) / density
    )


def test_equal_members_cost_nothing():
    """Perfectly dependent differences are one difference: the interval is the pointwise one."""
    one = np.random.default_rng(2).normal(size=(500, 1))
    assert max_t(np.zeros(9), np.repeat(one, 9, axis=1)).critical == pytest.approx(max_t(np.zeros(1), one).critical)


@given(st.integers(0, 2000))
def test_an_interval_excludes_zero_where_its_p_value_is_small(seed):
    difference, replicates, _ = family(seed)
    # 300 members of the quantile's steps: alpha lies between two possible p-values
    result = max_t(difference, replicates, alpha=0.05)
    excludes = (result.low > 0) | (result.high < 0)
    assert (excludes <= (result.p <= 0.06)).all()
    assert ((result.p <= 0.045) <= excludes).all()


def test_what_cannot_be_tested_is_nan_and_leaves_the_others_alone():
    difference, replicates, _ = family(3, k=4)
    alone = max_t(difference[:2], replicates[:, :2])
    difference[2] = np.nan
    replicates[:, 3] = difference[3]  # no replicate moves it
    result = max_t(difference, replicates)
    np.testing.assert_array_equal(result.low[:2], alone.low)
    np.testing.assert_array_equal(result.p[:2], alone.p)
    for values in (result.low, result.high, result.p):
        assert np.isnan(values[2:]).all()
    assert np.isnan(max_t(difference[2:], replicates[:, 2:]).critical)


def test_a_replicate_in_which_nothing_is_defined_is_left_out():
    difference, replicates, _ = family(4)
    more = np.vstack([replicates, np.full((1, 6), np.nan)])
    np.testing.assert_array_equal(max_t(difference, more).low, max_t(difference, replicates).low)
