import numpy as np
import pytest
from PIL import Image

from preprocess.contact_sheet import write_contact_sheet
from preprocess.pixels.decode import read_image
from preprocess.pixels.picture_quality import (
    BLANK,
    INVERTED,
    NEAR_CONSTANT,
    ODD_ASPECT,
    flags,
    has_few_levels,
    is_coloured,
    is_misnamed,
)
from preprocess.pixels.resize import fit_to_square, fitted_size


def film():
    """Return dark air, a grey body and bright bones, as on a film."""
    picture = np.full((100, 80), 15, np.uint8)
    picture[15:, 8:-8] = 120
    picture[15:, 36:44] = 220
    return picture


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (film(), ()),
        (255 - film(), (INVERTED,)),
        (np.full((30, 30), 77, np.uint8), (BLANK,)),
        (np.tile(np.array([77, 79], np.uint8), (30, 15)), (NEAR_CONSTANT,)),
    ],
    ids=["film", "inverted", "blank", "near-constant"],
)
def test_what_is_odd_about_a_picture_is_seen(picture, expected):
    assert flags(picture, width=80, height=100) == expected
    assert flags(picture, width=80, height=161) == (*expected, ODD_ASPECT)
    assert flags(picture, width=200, height=100) == expected


def test_grey_in_three_channels_is_no_colour_and_one_level_in_one_channel_is():
    three = np.stack([film()] * 3, axis=-1)
    assert not is_coloured(film())
    assert not is_coloured(three)
    for channel in range(3):
        tinted = three.copy()
        tinted[5, 5, channel] += 1
        assert is_coloured(tinted)


def test_a_film_of_sixteen_levels_is_flagged_and_one_of_many_or_of_one_is_not():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (40, 2))
    assert has_few_levels(ramp // 16)
    assert has_few_levels(ramp // 16 * 16)
    assert has_few_levels(np.stack([ramp // 16] * 3, axis=-1))
    assert not has_few_levels(ramp)
    assert not has_few_levels(np.full((1000, 1000), 9, np.uint8))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a.jpg", "JPEG", False),
        ("a.JPEG", "PNG", True),
        ("a.tif", "TIFF", False),
        ("a.dicom", "DICOM", False),
        ("a.png", "DICOM", True),
        ("1.2.840.113", "DICOM", False),
    ],
)
def test_a_name_that_promises_another_format_is_seen_and_one_that_promises_nothing_is_not(name, kind, expected):
    assert is_misnamed(name, kind) == expected


@pytest.mark.real
def test_hardly_any_real_film_is_called_inverted_but_nearly_all_are_when_they_are(real):
    upright = turned = 0
    paths = sorted((real / "images/nih").glob("*.png"))
    for path in paths:
        pixels = read_image(path)
        height, width = pixels.shape[:2]
        new_width, new_height = fitted_size(width, height, 320)
        inside = fit_to_square(pixels)[(320 - new_height) // 2 :, (320 - new_width) // 2 :][:new_height, :new_width]
        upright += INVERTED in flags(inside, width=width, height=height)
        turned += INVERTED in flags(255 - inside, width=width, height=height)
    print(f"called inverted: {upright} of {len(paths)} as they are, {turned} inverted on purpose")
    assert upright <= 0.05 * len(paths)
    assert turned >= 0.5 * len(paths)


def test_a_contact_sheet_shows_every_image_and_the_beginning_of_its_text(tmp_path):
    images = [np.full((40, 40), 30 * number, np.uint8) for number in range(8)]
    texts = ["word " * 200, *[""] * 7]
    write_contact_sheet(tmp_path / "sheet.png", images, [f"{n}: a very long id {'x' * 80}" for n in range(8)], texts)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * 467 + 12, 6 * 332 + 12)
    for number in range(8):
        top, left = 12 + number // 6 * 467, 12 + number % 6 * 332
        assert set(np.unique(sheet[top : top + 320, left : left + 320])) == {30 * number}
    assert (sheet[350:, 12:332] < 128).sum() > 5 * (sheet[350:479, 344:664] < 128).sum() + 500
    with pytest.raises(ValueError, match="wanted one image or more"):
        write_contact_sheet(tmp_path / "none.png", [], [], [])
