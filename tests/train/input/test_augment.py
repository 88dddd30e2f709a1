"""Augmentation moves and re-exposes films, and mirrors those alone that it is told to."""

import numpy as np
import pytest
import torch

from train.input.augment import augment, draw_changes
from train.train_config import Augmentation

STRONG = Augmentation(rotation_degrees=10.0, shift=0.1, scale=0.1, brightness=0.3, contrast=0.3)


@pytest.fixture
def films():
    """Black films with one bright square in the upper left."""
    grey = torch.zeros(64, 1, 32, 32)
    grey[:, :, 8:12, 5:9] = 200.0
    return grey


def centre_of_mass(films):
    weights = films[:, 0].double()
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    total = weights.sum(dim=(1, 2))
    return (weights * x).sum(dim=(1, 2)) / total, (weights * y).sum(dim=(1, 2)) / total


def run(films, settings, seed=0):
    return augment(films, draw_changes(len(films), settings, generator=torch.Generator().manual_seed(seed)))


def test_without_changes_the_films_are_returned_as_they_are(films):
    assert run(films, Augmentation()) is films


def test_left_stays_left_in_every_draw(films):
    x, y = centre_of_mass(run(films, STRONG))
    assert (x < 16).all()
    assert (y < 18).all()


def test_moves_stay_within_the_declared_share_and_use_it(films):
    x, y = centre_of_mass(run(films, Augmentation(shift=0.1)))
    for moved in (x - 6.5, y - 9.5):
        assert moved.abs().max() <= 0.1 * 32 + 0.1
        assert moved.min() < -2
        assert moved.max() > 2


def test_turns_keep_the_distance_to_the_centre_and_stay_within_the_declared_angle(films):
    x, y = centre_of_mass(run(films, Augmentation(rotation_degrees=10.0)))
    x, y = x.numpy(), y.numpy()
    angle = np.degrees(np.arctan2(y - 15.5, x - 15.5)) - np.degrees(np.arctan2(9.5 - 15.5, 6.5 - 15.5))
    assert np.abs(angle).max() <= 10.5
    assert np.abs(angle).max() > 7
    assert np.hypot(x - 15.5, y - 15.5) == pytest.approx(np.full(64, np.hypot(9, 6)), abs=0.3)


def test_exposure_keeps_black_black_and_changes_the_rest_both_ways(films):
    changed = run(films, Augmentation(brightness=0.3))
    bright = changed[:, 0, 9, 6]
    assert (changed[:, 0, 20:, 20:] == 0).all()
    assert bright.min() < 200 < bright.max()
    assert bright.min() >= 200 / 1.3 - 1e-3
    assert bright.max() <= 200 * 1.3 + 1e-3


def test_contrast_is_a_power_of_the_grey_level_that_survives_bicubic_overshoot():
    films = torch.full((8, 1, 4, 4), -3.0)
    films[:, :, 1] = 255.0
    films[:, :, 2] = 100.0
    changed = run(films, Augmentation(contrast=0.5))
    assert torch.isfinite(changed).all()
    assert (changed[:, :, 1] == 255.0).all()
    assert (changed[:, :, 0] == 0).all()
    gamma = torch.log(changed[:, 0, 2, 0] / 255) / np.log(100 / 255)
    assert gamma.min() >= 1 / 1.5 - 1e-4
    assert gamma.max() <= 1.5 + 1e-4
    assert gamma.std() > 0.05


def test_each_image_has_its_own_draw_and_the_seed_decides_it(films):
    first = run(films, STRONG)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, run(films, STRONG))
    assert not torch.equal(first, run(films, STRONG, seed=1))


def test_a_part_of_the_batch_gets_the_changes_that_it_has_in_the_whole(films):
    changes = draw_changes(64, STRONG, generator=torch.Generator().manual_seed(0))
    whole = augment(films, changes)
    parts = [augment(films[share], changes.of(share)) for share in (slice(0, 20), slice(20, 64))]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_mirrored_films_are_mirrored_and_the_others_are_not(films):
    is_mirrored = torch.arange(64) % 2 == 0
    none = draw_changes(64, Augmentation(flip=0.5), generator=torch.Generator())
    changed = augment(films, none, is_mirrored=is_mirrored)
    assert torch.equal(changed[0::2], films[0::2].flip(3))
    assert torch.equal(changed[1::2], films[1::2])


def test_a_mirrored_film_is_moved_like_any_other(films):
    changes = draw_changes(64, STRONG, generator=torch.Generator().manual_seed(0))
    wanted = augment(films.flip(3), changes)
    assert torch.equal(augment(films, changes, is_mirrored=torch.ones(64, dtype=torch.bool)), wanted)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match=r"--augment.brightness: wanted 0 or more, found -1.0"):
        Augmentation(brightness=-1.0)
    with pytest.raises(ValueError, match=r"--augment.shift: .* below 1, found 1.5"):
        Augmentation(shift=1.5)
