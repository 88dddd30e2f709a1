"""Simultaneous intervals against closed forms."""

import numpy as np
import pytest

from audit.contrasts import simultaneous

MANY = 10**6
"""patients: Student's quantile is then the normal one"""


def half_widths(draws, *, floor=0.0, patients=MANY):
    k = draws.shape[1]
    low, high = simultaneous(np.zeros(k), draws, np.full(k, floor), np.full(k, patients))
    np.testing.assert_allclose(low, -high)
    return high


def test_one_normal_interval_is_the_usual_one_and_ten_are_as_wide_as_theory_says():
    draws = np.random.default_rng(6).normal(size=(20_000, 10)) * np.arange(1, 11)
    assert half_widths(draws[:, :1]) == pytest.approx([1.960], abs=0.03)
    # two-sided normal quantile at 1 - (1 - .95^(1/10))
    np.testing.assert_allclose(half_widths(draws), 2.800 * np.arange(1, 11), rtol=0.04)


def test_a_difference_that_no_resample_moves_has_the_width_of_its_floor():
    draws = np.random.default_rng(7).normal(size=(5000, 2))
    draws[:, 1] = 0.0
    moving, still = half_widths(draws, floor=0.5)
    assert still == pytest.approx(moving / draws[:, 0].std(ddof=1) * 0.5)


def test_few_patients_widen_an_interval_towards_students_quantile():
    draws = np.random.default_rng(8).normal(size=(200_000, 1))
    # 97.5 % quantile of Student's t with 19 degrees of freedom: 2.093
    assert half_widths(draws, patients=20) == pytest.approx([2.093], abs=0.02)


def test_an_empty_family_has_no_intervals():
    low, high = simultaneous(np.zeros(0), np.zeros((5, 0)), np.zeros(0), np.zeros(0, dtype=int))
    assert low.size == high.size == 0
