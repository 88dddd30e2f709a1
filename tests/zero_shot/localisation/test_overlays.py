"""Pixels of overlays in closed form; pictures whole or not at all."""

import numpy as np
import pytest
from PIL import Image

from zero_shot.localisation.overlays import BOX_COLOUR, OPACITY, colours, overlay, write_overlay

FILM = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


def test_without_positive_evidence_the_film_stays_as_it_is():
    for heatmap in (np.zeros((40, 50)), -np.ones((40, 50))):
        assert np.array_equal(overlay(FILM, heatmap), np.repeat(FILM[..., None], 3, axis=2))


def test_the_strongest_evidence_is_the_last_colour_at_its_opacity_and_what_counts_against_is_not_shown():
    heatmap = np.full((40, 50), -5.0)
    heatmap[3, 4] = 2.0
    painted = overlay(FILM, heatmap)
    last = 255 * np.array(colours()(1.0)[:3])
    np.testing.assert_allclose(painted[3, 4], (1 - OPACITY) * FILM[3, 4] + OPACITY * last, atol=0.51)
    painted[3, 4] = FILM[3, 4]
    assert np.array_equal(painted, np.repeat(FILM[..., None], 3, axis=2))


def test_one_scale_for_several_pictures_gives_equal_evidence_equal_colours():
    flat = np.full((40, 50), 100, np.uint8)
    weak, strong = np.full((40, 50), 1.0), np.full((40, 50), 1.0)
    strong[0, 0] = 4.0
    assert np.array_equal(overlay(flat, weak, top=4.0)[5, 5], overlay(flat, strong)[5, 5])
    assert not np.array_equal(overlay(flat, weak)[5, 5], overlay(flat, strong)[5, 5])


def test_more_evidence_is_lighter_at_every_step():
    """A scale that is not monotonous in lightness shows edges where there are none."""
    heatmap = np.linspace(0, 1, 50)[None].repeat(40, axis=0)
    lightness = overlay(np.full((40, 50), 40, np.uint8), heatmap)[0].astype(int) @ [299, 587, 114]
    assert (np.diff(lightness[2:]) >= -1000).all()
    assert lightness[-1] > lightness[0] + 80_000


def test_a_box_is_a_line_along_the_pixels_inside_it_and_one_of_nan_is_none():
    grey = np.zeros((40, 50))
    painted = overlay(FILM, grey, np.array([10.0, 5.0, 20.0, 15.0]))
    drawn = (painted == BOX_COLOUR).all(axis=2)
    expected = np.zeros((40, 50), bool)
    expected[5:15, 10:20] = True
    expected[6:14, 11:19] = False
    assert np.array_equal(drawn, expected)
    assert np.array_equal(overlay(FILM, grey, np.full(4, np.nan)), overlay(FILM, grey))


def test_the_picture_has_its_size_its_colours_and_leaves_nothing_beside_it(tmp_path):
    heatmap = np.zeros((40, 50))
    heatmap[10:30, 10:30] = 1.0
    write_overlay(tmp_path / "plain.png", FILM, np.zeros((40, 50)), title="Edema: score 0.12", unit="log-odds")
    write_overlay(
        tmp_path / "a.png", FILM, heatmap, title="Edema: score 0.9", unit="log-odds", box=np.array([1.0, 2, 30, 30])
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "plain.png"]
    plain, shown = (
        np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int) for name in ("plain.png", "a.png")
    )
    assert plain.shape == shown.shape == (500, 900, 3)

    def coloured(picture):
        return np.ptp(picture, axis=2) > 40

    assert coloured(plain).mean() < 0.001, "a film without evidence has no colours"
    left, right = coloured(shown)[:, :390], coloured(shown)[:, 420:780]
    assert 0 < left.mean() < 0.02, "the box alone"
    assert right.mean() > 0.1, "the evidence"


def test_a_map_that_is_not_finite_is_refused_and_leaves_no_file(tmp_path):
    broken = np.full((40, 50), np.inf)
    with pytest.raises(ValueError, match=r"the heatmap has values that are not finite"):
        write_overlay(tmp_path / "a.png", FILM, broken, title="Edema", unit="log-odds")
    assert list(tmp_path.iterdir()) == []
