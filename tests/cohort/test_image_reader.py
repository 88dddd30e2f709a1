"""Arrays and stores as one thing: something to read rows from."""

import numpy as np

from cohort.image_reader import ArrayImages, ImageReader, as_reader


def test_an_array_is_read_by_row_and_a_reader_stays_what_it_is():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    reader = as_reader(pixels)
    assert isinstance(reader, ImageReader)
    assert len(reader) == 3
    np.testing.assert_array_equal(reader.read(np.array([2, 0, 2])), pixels[[2, 0, 2]])
    assert as_reader(reader) is reader
    assert not isinstance(pixels, ImageReader)
    assert isinstance(ArrayImages(pixels), ImageReader)
