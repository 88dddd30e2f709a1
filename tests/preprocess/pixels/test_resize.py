import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocess.pixels.decode import decode_image, read_image
from preprocess.pixels.reading_rules import UnreadableImageError
from preprocess.pixels.resize import DECODED_PER_TARGET, QUICK, fit_to_square, fitted_size, lanczos

# Sixteen-bit files, where a better reader differs by design.
WINDOWED = {"22_png16_12bit_range.png"}


@pytest.fixture(scope="module")
def reference(golden):
    arrays = np.load(golden / "preprocess/expected.npz", allow_pickle=False)
    return {str(name): image for name, image in zip(arrays["names"], arrays["images"], strict=True)}


@pytest.mark.golden
def test_every_golden_image_equals_the_reference_in_compat_mode(golden, reference):
    assert len(reference) == 32
    for name, expected in reference.items():
        got = fit_to_square(read_image(golden / "preprocess/images" / name, sixteen_bit="high_byte"))
        np.testing.assert_array_equal(got, expected, err_msg=name)


@pytest.mark.golden
def test_by_default_only_the_twelve_bit_file_differs_and_it_keeps_more_grey_levels(golden, reference):
    ours = {name: fit_to_square(read_image(golden / "preprocess/images" / name)) for name in reference}
    assert {name for name in reference if not np.array_equal(ours[name], reference[name])} == WINDOWED
    for name in WINDOWED:
        assert len(np.unique(ours[name])) > 200
        assert len(np.unique(reference[name])) <= 16


def test_the_longest_sides_known_to_truncate_come_out_one_pixel_short():
    short = [side for side in range(200, 4500) if fitted_size(side, side, 320)[0] == 319]
    assert len(short) == 63
    assert short[:10] == [303, 308, 319, 581, 606, 616, 623, 638, 1077, 1162]
    assert all(max(fitted_size(side, 1, 320)) in {319, 320} for side in range(200, 4500))


def test_a_grey_picture_in_three_equal_channels_gives_the_same_rows_as_in_one():
    grey = np.random.default_rng(3).integers(0, 256, (90, 70), dtype=np.uint8)
    np.testing.assert_array_equal(fit_to_square(np.stack([grey] * 3, axis=-1), 32), fit_to_square(grey, 32))


def test_a_picture_of_the_right_size_is_left_alone_and_an_odd_margin_is_wider_below():
    grey = np.random.default_rng(4).integers(1, 256, (33, 64), dtype=np.uint8)
    square = fit_to_square(grey, 64)
    np.testing.assert_array_equal(square[15:48], grey)
    assert not square[:15].any()
    assert not square[48:].any()


def test_a_picture_too_narrow_to_leave_a_pixel_is_refused():
    with pytest.raises(UnreadableImageError, match=r"image is too narrow: 1 x 1000 has no pixel left at 320"):
        fit_to_square(np.zeros((1000, 1), dtype=np.uint8), 320)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(8, 48), st.integers(0, 255))
def test_a_flat_picture_stays_flat_inside_and_black_outside(width, height, resolution, level):
    new_width, new_height = fitted_size(width, height, resolution)
    if min(new_width, new_height) == 0:
        return
    square = fit_to_square(np.full((height, width), level, dtype=np.uint8), resolution)
    assert square.shape == (resolution, resolution)
    assert (square == level).sum() == (new_width * new_height if level else resolution**2)
    assert set(np.unique(square)) <= {0, level}


sizes = st.integers(1, 300)


@settings(max_examples=60)
@given(sizes, sizes, st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_every_resize_is_pillows_bit_for_bit(width, height, new_width, new_height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    expected = (
        Image.fromarray(pixels)
        .resize((new_width, height), Image.Resampling.LANCZOS)
        .resize((new_width, new_height), Image.Resampling.LANCZOS)
    )
    got = lanczos(pixels, (new_width, new_height), (float(width), float(height)))
    np.testing.assert_array_equal(got, np.asarray(expected))


def test_quick_arithmetic_stays_within_one_level_and_is_exact_whatever_the_order_of_its_sums():
    pixels = np.random.default_rng(0).integers(0, 256, (301, 200), dtype=np.uint8)
    size, extent = (60, 90), (200.0, 301.0)
    quick = lanczos(pixels, size, extent, QUICK)
    assert np.abs(quick.astype(int) - lanczos(pixels, size, extent)).max() <= 1
    np.testing.assert_array_equal(lanczos(pixels[::-1, ::-1].copy(), size, extent, QUICK)[::-1, ::-1], quick)


def test_a_last_pixel_that_stands_for_half_a_one_counts_half():
    whole = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 100), dtype=np.uint8), 40, axis=1)[:, :3999]
    halves = np.repeat(whole[:, ::2], 8, axis=0)
    got = lanczos(halves, (100, 8), (1999.5, 8.0), QUICK).astype(int)
    assert np.abs(got - lanczos(np.repeat(whole, 8, axis=0), (100, 8), (3999.0, 8.0))).max() <= 2


@pytest.mark.parametrize("size", [(2544, 3056), (2505, 2021), (2022, 2022), (2640, 1000)])
def test_the_default_stays_close_to_the_exact_rows_even_at_edges_from_black_to_white(tmp_path, size):
    generator = np.random.default_rng(0)
    small = generator.integers(60, 200, (40, 32), dtype=np.uint8)
    film = np.array(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    for _ in range(8):
        top, left = generator.integers(0, size[1] - 100), generator.integers(0, size[0] - 100)
        film[top : top + 90, left : left + 300] = generator.choice([0, 255])
    Image.fromarray(film).save(tmp_path / "film.jpg", quality=95)
    quick = decode_image(tmp_path / "film.jpg", enough=math.ceil(DECODED_PER_TARGET * 320))
    assert quick.shrunk == 2
    gaps = fit_to_square(quick).astype(int) - fit_to_square(decode_image(tmp_path / "film.jpg"))
    assert np.abs(gaps).max() <= 4
    assert 10 * np.log10(255**2 / np.mean(gaps**2)) >= 50
