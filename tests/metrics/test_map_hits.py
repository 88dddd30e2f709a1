"""Maps against boxes: brute force over pixels, closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.map_hits import box_mask, energy_in_box, pointing_hits

NOWHERE = np.full(4, np.nan)


def inside(box, row, column, tolerance=0.0):
    x0, y0, x1, y1 = box
    return x0 - tolerance <= column + 0.5 < x1 + tolerance and y0 - tolerance <= row + 0.5 < y1 + tolerance


def random_boxes(rng, m):
    corners = rng.uniform(0, 8, (m, 4))
    return np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.7, 2.0]))
def test_a_hit_is_a_highest_pixel_in_the_box_and_equal_ones_share_it(seed, tolerance):
    rng = np.random.default_rng(seed)
    heatmap = rng.integers(0, 6, (7, 9)).astype(float)
    boxes = random_boxes(rng, 4)
    highest = [(r, c) for r in range(7) for c in range(9) if heatmap[r, c] == heatmap.max()]
    expected = [np.mean([inside(box, *pixel, tolerance) for pixel in highest]) for box in boxes]
    np.testing.assert_allclose(pointing_hits(heatmap, boxes, tolerance=tolerance), expected)


@given(st.integers(0, 10_000))
def test_a_map_of_one_value_scores_the_share_of_the_area(seed):
    boxes = random_boxes(np.random.default_rng(seed), 3)
    shares = [box_mask(box, (7, 9)).mean() for box in boxes]
    flat = np.full((7, 9), 2.5)
    np.testing.assert_allclose(pointing_hits(flat, boxes), shares)
    np.testing.assert_allclose([energy_in_box(flat, box) for box in boxes], shares)


def test_whole_pixels_are_counted_with_the_far_edges_exclusive():
    mask = box_mask(np.array([2.0, 1, 5, 3]), (6, 8))
    assert mask.sum() == 6
    assert mask[1:3, 2:5].all()
    assert box_mask(np.array([2.0, 1, 5, 3]), (6, 8), tolerance=1.0).sum() == 20


@given(st.integers(0, 10_000))
def test_energy_is_the_positive_part_in_the_box(seed):
    rng = np.random.default_rng(seed)
    heatmap, box = rng.normal(size=(7, 9)), random_boxes(rng, 1)[0]
    positive = [(r, c) for r in range(7) for c in range(9) if heatmap[r, c] > 0]
    expected = sum(heatmap[p] for p in positive if inside(box, *p)) / sum(heatmap[p] for p in positive)
    assert energy_in_box(heatmap, box) == pytest.approx(expected)


def test_without_positive_evidence_there_is_no_energy_and_no_box_holds_nothing():
    assert np.isnan(energy_in_box(-np.ones((3, 3)), np.array([0.0, 0, 3, 3])))
    assert pointing_hits(np.eye(3), NOWHERE[None]).tolist() == [0]


def test_a_map_that_is_not_finite_is_refused():
    broken = np.array([[0.0, np.nan], [np.inf, 1.0]])
    for ask in (lambda: pointing_hits(broken, NOWHERE[None]), lambda: energy_in_box(broken, NOWHERE)):
        with pytest.raises(ValueError, match=r"2 of 4 values of a heatmap are not finite"):
            ask()
