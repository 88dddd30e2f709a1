"""Arrays and stores as one thing: something to read rows from."""

import numpy as np

from cohort.image_reader import ArrayImages, ImageReader, as_reader, constant_images


def test_an_array_is_read_by_row_and_a_reader_stays_what_it_is():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    reader = as_reader(pixels)
    assert isinstance(reader, ImageReader)
    assert len(reader) == 3
    np.testing.assert_array_equal(reader.read(np.array([2, 0, 2])), pixels[[2, 0, 2]])
    assert as_reader(reader) is reader
    assert not isinstance(pixels, ImageReader)
    assert isinstance(ArrayImages(pixels), ImageReader)


def test_images_of_a_single_grey_level_are_found_in_any_block_and_one_other_pixel_saves_an_image():
    pixels = np.random.default_rng(0).integers(0, 256, (300, 24, 24)).astype(np.uint8)
    pixels[[3, 280]], pixels[[4, 299]] = 0, 200
    pixels[[5, 290]] = 7
    pixels[5, 23, 23] = pixels[290, 1, 1] = 8
    rows = np.arange(300)[::-1].copy()
    found = constant_images(ArrayImages(pixels), rows)
    assert sorted(rows[found]) == [3, 4, 280, 299]
    assert constant_images(ArrayImages(pixels), rows[:0]).tolist() == []
