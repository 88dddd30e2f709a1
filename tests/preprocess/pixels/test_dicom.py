"""DICOM files are made here, with pydicom's encoders; what they should look like is asked of pydicom's own functions."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from simplejpeg import encode_jpeg

from preprocess.pixels.decode import decode_image, read_image
from preprocess.pixels.picture_quality import MARKED, WINDOW
from preprocess.pixels.reading_rules import UnreadableImageError

NAME = "Secret^Patient"
FILM = np.add.outer(np.arange(48) * 40, np.arange(32) * 60).astype(np.uint16) + 100


def make(path, pixels=FILM, *, bits=12, syntax=ExplicitVRLittleEndian, **elements):
    """Write a single-frame digital radiograph of a patient with a name."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    dataset.PatientName, dataset.PatientID, dataset.Modality = NAME, "4711", "DX"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    if syntax in {JPEG2000Lossless, JPEGLSLossless, RLELossless}:
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax != ExplicitVRLittleEndian:
        meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    encoding = {"implicit_vr": syntax == ImplicitVRLittleEndian, "little_endian": syntax != ExplicitVRBigEndian}
    pydicom.dcmwrite(path, dataset, **encoding, force_encoding=True)
    return path


def as_pydicom_shows(path, *, whole_range) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(pixel_array(dataset), dataset), dataset).astype(np.float64)
    lowest, highest = whole_range
    shown = (shown - lowest) / (highest - lowest)
    return 255 * (1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown)


def refusal(path) -> UnreadableImageError:
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path)
    return caught.value


def table(entries, first, bits) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.add_new("LUTData", "US", [int(entry) for entry in entries])
    return Sequence([item])


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        RLELossless,
        JPEG2000Lossless,
        JPEGLSLossless,
    ],
    ids=lambda syntax: syntax.keyword,
)
def test_every_lossless_transfer_syntax_shows_the_same_picture(tmp_path, syntax):
    window = {"WindowCenter": 1500, "WindowWidth": 2500}
    plain = read_image(make(tmp_path / "plain.dcm", **window))
    assert len(np.unique(plain)) > 100
    np.testing.assert_array_equal(read_image(make(tmp_path / "film", syntax=syntax, **window)), plain)


def test_jpeg_lossless_as_the_archives_have_it_is_read(tmp_path):
    """Pixels that predict themselves: all differences are 0 but the first, so the stream can be written by hand."""
    start, end = b"\xff\xd8", b"\xff\xd9"
    frame = b"\xff\xc3" + bytes([0, 11, 12, 0, 16, 0, 16, 1, 1, 0x11, 0])
    # Two Huffman codes of one bit each: 0 for "no difference", 10 for "a difference of 11 bits".
    huffman = b"\xff\xc4" + bytes([0, 19 + 2, 0, 1, 1, *[0] * 14, 0, 11])
    scan = b"\xff\xda" + bytes([0, 8, 1, 1, 0, 1, 0, 0])
    # The first pixel is predicted as 2048 and lies 1048 above it; the 255 others are like their neighbour.
    bits = "10" + f"{1048:011b}" + "0" * 255
    bits += "1" * (-len(bits) % 8)
    data = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8))
    code = start + frame + huffman + scan + data + end
    path = make(
        tmp_path / "film.dcm",
        np.zeros((16, 16), np.uint16),
        syntax=JPEGLosslessSV1,
        PixelData=encapsulate([code]),
        WindowCenter=2048.5,
        WindowWidth=4096,
    )
    np.testing.assert_array_equal(read_image(path), np.full((16, 16), round(255 * 3096 / 4095)))


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_applied_as_pydicom_applies_them(tmp_path, function, interpretation):
    path = make(
        tmp_path / "film.dcm",
        PhotometricInterpretation=interpretation,
        VOILUTFunction=function,
        WindowCenter=[1800, 10],
        WindowWidth=[1200, 10],
    )
    assert np.abs(read_image(path) - as_pydicom_shows(path, whole_range=(0, 4095))).max() <= 0.5 + 1e-9


def test_values_are_rescaled_before_the_window(tmp_path):
    signed = FILM.astype(np.int16) - 1500
    path = make(
        tmp_path / "film.dcm", signed, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=500, WindowWidth=2000
    )
    lowest, highest = -2048 * 2 - 100, 2047 * 2 - 100
    assert np.abs(read_image(path) - as_pydicom_shows(path, whole_range=(lowest, highest))).max() <= 0.5 + 1e-9


def test_look_up_tables_come_before_windows(tmp_path):
    curve = (4095 * (np.arange(3000) / 2999) ** 2).astype(int)
    path = make(
        tmp_path / "film.dcm",
        ModalityLUTSequence=table(np.arange(4096)[::-1], 0, 16),
        VOILUTSequence=table(curve, 500, 12),
        WindowCenter=1,
        WindowWidth=1,
    )
    got = read_image(path)
    assert np.abs(got - as_pydicom_shows(path, whole_range=(0, 4095))).max() <= 0.5 + 1e-9
    assert got[0, 0] > got[-1, -1]


def test_without_a_window_the_range_of_the_picture_itself_is_shown_and_padding_is_black(tmp_path):
    padded = FILM.copy()
    padded[:, :4] = 4000
    shown = read_image(make(tmp_path / "film.dcm", padded, PixelPaddingValue=4000))
    assert not shown[:, :4].any()
    inside = FILM[:, 4:].astype(float)
    np.testing.assert_array_equal(
        shown[:, 4:], np.rint(255 * (inside - inside.min()) / (inside.max() - inside.min())).astype(np.uint8)
    )
    assert not read_image(make(tmp_path / "flat.dcm", np.full((5, 5), 7, np.uint16))).any()


UNUSABLE = {
    "no width": {"WindowCenter": 5, "WindowWidth": 0},
    "below all values": {"WindowCenter": -5000, "WindowWidth": 100},
    "above all values": {"WindowCenter": 60_000, "WindowWidth": 100},
    "no number": {"WindowCenter": "1e400", "WindowWidth": 100},
    "no width at all": {"WindowCenter": 5},
    "unknown function": {"WindowCenter": 1800, "WindowWidth": 1200, "VOILUTFunction": "CUBIC"},
    "black table": {"VOILUTSequence": table([0] * 4096, 0, 12)},
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_film_whose_window_shows_nothing_is_read_by_its_own_range_and_flagged(tmp_path, case):
    plain = decode_image(make(tmp_path / "plain.dcm"))
    film = decode_image(make(tmp_path / "film.dcm", **UNUSABLE[case]))
    np.testing.assert_array_equal(film.pixels, plain.pixels)
    assert (film.odd, plain.odd) == ((WINDOW,), ())


@pytest.mark.parametrize(
    ("interpretation", "shape", "flags"),
    [
        ("MONOCHROME2", "INVERSE", ("DICOM polarity contradictory",)),
        ("MONOCHROME1", "IDENTITY", ("DICOM polarity contradictory",)),
        ("MONOCHROME1", "INVERSE", ()),
        ("MONOCHROME2", "IDENTITY", ()),
    ],
)
def test_a_film_whose_header_says_both_polarities_is_flagged(tmp_path, interpretation, shape, flags):
    elements = {"PhotometricInterpretation": interpretation, "PresentationLUTShape": shape}
    assert decode_image(make(tmp_path / "film.dcm", **elements)).odd == flags


@pytest.mark.parametrize("first", [0, -9000, 60_000])
def test_a_later_window_is_taken_if_the_first_shows_nothing(tmp_path, first):
    second = {"WindowCenter": 1800, "WindowWidth": 1200}
    both = {"WindowCenter": [first, 1800], "WindowWidth": [0 if first == 0 else 100, 1200]}
    film = decode_image(make(tmp_path / "film.dcm", **both))
    np.testing.assert_array_equal(film.pixels, read_image(make(tmp_path / "plain.dcm", **second)))
    assert film.odd == (WINDOW,)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("with_meta", [True, False])
def test_a_file_without_preamble_is_read(tmp_path, syntax, with_meta):
    window = {"WindowCenter": 1500, "WindowWidth": 2500}
    path = make(tmp_path / "film.dcm", syntax=syntax, **window)
    plain, content = read_image(path), path.read_bytes()
    body = content.index(b"\x08\x00\x16\x00")
    path.write_bytes(content[132 if with_meta else body :])
    film = decode_image(path)
    np.testing.assert_array_equal(film.pixels, plain)
    assert film.format == "DICOM"


def test_what_only_begins_like_dicom_is_no_image(tmp_path):
    (tmp_path / "noise.dcm").write_bytes(b"\x08\x00" + bytes(range(256)) * 4)
    assert refusal(tmp_path / "noise.dcm").reason in {"not an image file", "image is damaged"}
    (tmp_path / "note.dcm").write_bytes(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100")
    assert refusal(tmp_path / "note.dcm").reason == "not an image file"


@pytest.mark.parametrize("mark", [4095, 0])
def test_without_a_window_a_burnt_in_mark_does_not_take_the_range_from_the_film(tmp_path, mark):
    film = np.add.outer(np.arange(80) * 5, np.arange(80) * 4).astype(np.uint16) + (100 if mark else 3380)
    marked = film.copy()
    marked[:10, :10] = mark
    shown, plain = decode_image(make(tmp_path / "marked.dcm", marked)), read_image(make(tmp_path / "plain.dcm", film))
    outside = np.ones(film.shape, bool)
    outside[:10, :10] = False
    assert np.abs(shown.pixels[outside].astype(int) - plain[outside]).max() <= 15
    assert set(np.unique(shown.pixels[:10, :10])) == {255 if mark else 0}
    assert shown.odd == (MARKED,)


def test_photographs_of_films_keep_their_colours_until_the_resize(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(make(tmp_path / "photo.dcm", colour, bits=8)), colour)


REFUSED = {
    "several frames": ({"NumberOfFrames": 2, "PixelData": FILM.tobytes() * 2}, "image has several frames"),
    "bomb": ({"Rows": 40_000, "Columns": 40_000}, "image has too many pixels"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "DICOM image is neither grey nor true colour"),
    "short": ({"PixelData": FILM.tobytes()[:-2000]}, "image is damaged"),
    "endless slope": ({"RescaleSlope": "1e400", "WindowCenter": 5, "WindowWidth": 5}, "image is damaged"),
    "slope beyond numbers": ({"RescaleSlope": "1e308"}, "image is damaged"),
    "no bits": ({"BitsStored": None}, "image is damaged"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_shown_is_refused_by_its_kind_and_without_a_word_of_the_header(tmp_path, case):
    elements, reason = REFUSED[case]
    error = refusal(make(tmp_path / "film.dcm", **elements))
    assert error.reason == reason
    assert str(tmp_path / "film.dcm") in str(error)
    assert NAME not in str(error)
    assert "4711" not in str(error)


def test_a_dicom_file_without_pixels_is_refused(tmp_path):
    make(tmp_path / "report.dcm")
    content = (tmp_path / "report.dcm").read_bytes()
    place = content.index(b"\xe0\x7f\x10\x00OW")
    (tmp_path / "report.dcm").write_bytes(content[:place])
    assert refusal(tmp_path / "report.dcm").reason == "DICOM pixels are missing or cut short"


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_cut_short_is_refused(tmp_path, syntax, share):
    noise = np.random.default_rng(0).integers(0, 4096, (64, 64), dtype=np.uint16)
    path = make(tmp_path / "film.dcm", noise, syntax=syntax)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert refusal(path).reason in {"image is damaged", "DICOM pixels are missing or cut short"}


@pytest.mark.parametrize("damaged", [False, True])
def test_a_jpeg_inside_is_read_as_one_outside_and_damage_in_it_is_noticed(tmp_path, damaged):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    code = encode_jpeg(picture[..., None], quality=90, colorspace="GRAY", colorsubsampling="Gray")
    (tmp_path / "film.jpg").write_bytes(code)
    code = code[:-200] + code[-2:] if damaged else code
    window = {"WindowCenter": 128, "WindowWidth": 256}
    path = make(
        tmp_path / "film.dcm", picture, bits=8, syntax=JPEGBaseline8Bit, PixelData=encapsulate([code]), **window
    )
    if damaged:
        assert refusal(path).reason == "image is damaged"
    else:
        np.testing.assert_array_equal(read_image(path), read_image(tmp_path / "film.jpg"))


def test_a_film_strip_of_mpeg_is_refused_as_compression_that_nobody_here_knows(tmp_path):
    path = make(tmp_path / "film.dcm", syntax=MPEG2MPML, PixelData=encapsulate([b"\0" * 64]))
    assert refusal(path).reason == "DICOM compression is unknown"


def test_a_dicom_file_by_another_name_is_read_for_what_it_is(tmp_path):
    path = make(tmp_path / "film.dcm", WindowCenter=1500, WindowWidth=2500)
    path.rename(tmp_path / "film.jpg")
    assert read_image(tmp_path / "film.jpg").shape == FILM.shape
