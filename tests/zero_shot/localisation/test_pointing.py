"""The pointing game's table, computed again pair by pair."""

import numpy as np
import pytest

from metrics.map_hits import box_mask, energy_in_box, pointing_hits
from zero_shot import pointing_game
from zero_shot.localisation.maps import upsample

FINDINGS = ("Edema", "Fracture")
SIDE = 24


def play(maps, boxes, subjects, **options):
    settings = {"findings": FINDINGS, "resolution": SIDE, "rng": np.random.default_rng(0), "n_replicates": 200}
    return pointing_game(maps, boxes, subjects, **(settings | options)).set_index("finding")


@pytest.fixture
def game():
    rng = np.random.default_rng(3)
    n = 40
    maps = rng.normal(size=(n, 2, 6, 6)).astype(np.float32)
    corners = rng.uniform(0, SIDE / 2, (n, 2, 4))
    boxes = np.concatenate([corners[..., :2], corners[..., :2] + corners[..., 2:]], axis=2)
    boxes[rng.random((n, 2)) < 0.3] = np.nan
    return maps, boxes, [f"p{k // 2}" for k in range(n)]


def pairs_of(game, tolerance=0.0):
    """(image, finding) -> hit, chance, hits by other patients' maps, energy."""
    maps, boxes, subjects = game
    large = upsample(maps, SIDE)
    found = {}
    for c in range(2):
        rows = [r for r in range(len(maps)) if np.isfinite(boxes[r, c, 0])]
        for r in rows:
            hit = {other: pointing_hits(large[other, c], boxes[r, c][None], tolerance=tolerance)[0] for other in rows}
            others = [hit[other] for other in rows if subjects[other] != subjects[r]]
            mask = box_mask(boxes[r, c], (SIDE, SIDE), tolerance=tolerance)
            energy = energy_in_box(large[r, c], boxes[r, c])
            found[r, c] = hit[r], mask.mean(), np.mean(others), energy
    return found


@pytest.mark.parametrize("tolerance", [0.0, 3.0])
def test_figures_are_means_over_pairs_of_image_and_finding(game, tolerance):
    table = play(*game, tolerance=tolerance)
    pairs = pairs_of(game, tolerance)
    for name, wanted in (("Edema", {0}), ("Fracture", {1}), ("all", {0, 1})):
        own = np.array([figures for (_, c), figures in pairs.items() if c in wanted])
        row = table.loc[name]
        assert row["n"] == len(own)
        figures = row[["pointing_score", "chance", "swapped", "energy"]].to_numpy(float)
        np.testing.assert_allclose(figures, own.mean(axis=0), atol=1e-6)


def test_the_interval_comes_from_whole_patients(game):
    _, _, subjects = game
    hits = {pair: figures[0] for pair, figures in pairs_of(game).items()}
    rng = np.random.default_rng(0)
    patients = sorted(set(subjects))
    drawn = []
    for _ in range(200):
        sample = [patients[k] for k in rng.integers(0, len(patients), len(patients))]
        drawn.append(np.mean([hit for patient in sample for (r, _), hit in hits.items() if subjects[r] == patient]))
    row = play(*game).loc["all"]
    np.testing.assert_allclose(row[["low", "high"]].to_numpy(float), np.quantile(drawn, [0.025, 0.975]), atol=1e-9)


def test_maps_that_are_the_same_for_everybody_gain_nothing_over_swapped_ones(game):
    maps, boxes, subjects = game
    boxes = np.where(np.isfinite(boxes), boxes[:1, :1], np.nan)
    row = play(np.broadcast_to(maps[:1], maps.shape).copy(), boxes, subjects).loc["Edema"]
    assert row["pointing_score"] == row["swapped"]


def test_what_cannot_be_judged_is_nan_with_a_reason(game):
    maps, boxes, subjects = game
    boxes[:, 1] = np.nan
    boxes[3:, 0] = np.nan
    boxes[:3, 0] = [2.0, 2.0, 8.0, 8.0]
    table = play(-np.abs(maps), boxes, ["p"] * len(subjects))
    fracture, edema = table.loc["Fracture"], table.loc["Edema"]
    assert (fracture["n"], fracture["status"]) == (0, "undefined")
    assert fracture["reason"] == "not evaluable: no image has a box of it"
    assert np.isnan(fracture["pointing_score"])
    assert np.isnan(edema["swapped"]), "there is no other patient"
    assert np.isnan(edema["energy"])
    assert edema["status"] == "small"
    assert edema["reason"] == "3 boxes (wanted 30); 1 patients (wanted 10); 3 maps have no positive evidence"


def test_rare_boxes_get_no_interval(game):
    maps, boxes, subjects = game
    boxes[2:] = np.nan
    boxes[:2] = [2.0, 2.0, 8.0, 8.0]
    row = play(maps, boxes, subjects).loc["all"]
    assert row["status"] == "sparse"
    assert row["reason"].startswith("sparse: undefined in ")
    assert np.isnan(row["low"])


def test_arrays_of_other_images_are_refused(game):
    maps, boxes, subjects = game
    with pytest.raises(ValueError, match=r"maps \(40, 2\), boxes \(40, 2\), 39 patients and 2 findings must be for"):
        play(maps, boxes, subjects[1:])
