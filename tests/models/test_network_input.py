"""Grey levels to network input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import models


def test_without_a_resize_the_input_is_the_standardised_grey_level_in_three_channels():
    images = torch.arange(2 * 4 * 4, dtype=torch.uint8).reshape(2, 4, 4)
    ours = models.to_network_input(images, models.Preprocessing(image_size=4, mean=(10.0,), std=(2.0,)))
    wanted = (images.numpy().astype(np.float64) - 10) / 2
    for channel in range(3):
        np.testing.assert_allclose(ours[:, channel], wanted, atol=1e-6)


def test_statistics_may_differ_by_channel():
    images = torch.full((1, 4, 4), 100, dtype=torch.uint8)
    settings_ = models.Preprocessing(image_size=4, mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 3.0))
    assert models.to_network_input(images, settings_)[0, :, 0, 0].tolist() == pytest.approx([90, 40, 70 / 3])


@settings(max_examples=15, deadline=None)
@given(grey=st.integers(0, 255), size=st.integers(3, 40), antialias=st.booleans())
def test_a_flat_image_stays_flat_whatever_the_size(grey, size, antialias):
    images = torch.full((1, 20, 20), grey, dtype=torch.uint8)
    ours = models.to_network_input(images, models.Preprocessing(image_size=size, antialias=antialias))
    assert ours.shape == (1, 3, size, size)
    assert ours.numpy() == pytest.approx((grey - 101.48761) / 83.43944, abs=1e-5)


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match=r"square.*found 4 x 6"):
        models.to_network_input(torch.zeros((1, 4, 6), dtype=torch.uint8), models.CHEXZERO)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 0}, "at least 1 pixel"),
        ({"image_size": 8, "mean": (1.0, 2.0)}, "1 or 3 values"),
        ({"image_size": 8, "std": (0.0,)}, "above 0"),
        ({"image_size": 8, "crop_from": 8}, "crop_from must be above image_size 8, found 8"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        models.Preprocessing(**fields)
