"""Any header and any bytes: the DICOM reader returns a picture or refuses the file, and never tells whose it is."""

import logging
import struct
import warnings
from io import BytesIO

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from simplejpeg import encode_jpeg

from preprocess.pixels.decode import decode_image
from preprocess.pixels.reading_rules import MAX_PIXELS, UnreadableImageError

pytestmark = pytest.mark.slow

SECRET = "Secret^Patient"
SYNTAXES = (ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGBaseline8Bit, JPEGLosslessSV1)
SIDES = (32, 32, 32, 32, 32, 16)
OTHERS = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.1.99", "1.2", "")
TAGS = {
    "SamplesPerPixel": (0x0028, 0x0002, b"US"),
    "PhotometricInterpretation": (0x0028, 0x0004, b"CS"),
    "PlanarConfiguration": (0x0028, 0x0006, b"US"),
    "NumberOfFrames": (0x0028, 0x0008, b"IS"),
    "Rows": (0x0028, 0x0010, b"US"),
    "Columns": (0x0028, 0x0011, b"US"),
    "BitsAllocated": (0x0028, 0x0100, b"US"),
    "BitsStored": (0x0028, 0x0101, b"US"),
    "HighBit": (0x0028, 0x0102, b"US"),
    "PixelRepresentation": (0x0028, 0x0103, b"US"),
    "PixelPaddingValue": (0x0028, 0x0120, b"US"),
    "PixelPaddingRangeLimit": (0x0028, 0x0121, b"US"),
    "WindowCenter": (0x0028, 0x1050, b"DS"),
    "WindowWidth": (0x0028, 0x1051, b"DS"),
    "RescaleIntercept": (0x0028, 0x1052, b"DS"),
    "RescaleSlope": (0x0028, 0x1053, b"DS"),
    "VOILUTFunction": (0x0028, 0x1056, b"CS"),
}
"""In the order of a file. Written by hand below, because pydicom does not write what it would not read."""


def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    wide = kind in {b"OB", b"OW", b"SQ"}
    length = b"\0\0" + struct.pack("<I", len(value)) if wide else struct.pack("<H", len(value))
    return struct.pack("<HH", group, number) + kind + length + value


def look_up_table(number: int, descriptor: list[int], entries: bytes) -> bytes:
    """Write a modality (0x3000) or VOI (0x3010) look-up table as a sequence of one item."""
    content = element(0x0028, 0x3002, b"US", struct.pack(f"<{len(descriptor)}H", *descriptor))
    content += element(0x0028, 0x3006, b"OW", entries)
    return element(0x0028, number, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content)


def file_of(header: dict[str, object], pixels: bytes | None, *, tables: bytes = b"", syntax: str) -> bytes:
    """Write a DICOM file whose elements say exactly this."""
    meta = element(2, 0x10, b"UI", syntax.encode())
    body = element(0x0010, 0x0010, b"PN", SECRET.encode()) + element(0x0010, 0x0020, b"LO", SECRET.encode())
    for name, (group, number, kind) in TAGS.items():
        if name not in header:
            continue
        value = header[name]
        raw = value if isinstance(value, bytes) else struct.pack("<H", value) if kind == b"US" else str(value).encode()
        body += element(group, number, kind, raw)
    body += tables
    body += b"" if pixels is None else element(0x7FE0, 0x0010, b"OW", pixels)
    return b"\0" * 128 + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + body


SHORT = st.integers(0, 65535)
NUMBER = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.integers(-(2**40), 2**40).map(str),
    st.sampled_from(["", " ", "1\\2", "0.4\\", "\\", "1e400", "-0", "nan", SECRET, f"12\\{SECRET}", "1" * 20]),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "SamplesPerPixel": st.one_of(st.sampled_from([1, 3]), SHORT, st.just(b"")),
        "PhotometricInterpretation": st.sampled_from(
            ["MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR", "", SECRET, "RGB\\RGB"]
        ),
        "PlanarConfiguration": st.sampled_from([0, 1, 2, b""]),
        "NumberOfFrames": st.one_of(st.sampled_from(["1", "0", "2", "-1", "", "x", "1.5", SECRET]), st.text("0123456789", max_size=14)),
        "Rows": st.one_of(st.integers(0, 70), SHORT, st.sampled_from([b"", b"\1\0\2\0", b"\1"])),
        "Columns": st.one_of(st.integers(0, 70), SHORT, st.just(b"")),
        "BitsAllocated": st.one_of(st.sampled_from([1, 8, 12, 16, 32, 64]), SHORT, st.just(b"")),
        "BitsStored": st.one_of(st.integers(0, 33), SHORT, st.just(b"")),
        "HighBit": st.one_of(st.integers(0, 33), SHORT, st.just(b"")),
        "PixelRepresentation": st.sampled_from([0, 1, 2, b""]),
        "PixelPaddingValue": st.one_of(SHORT, st.sampled_from([b"", b"\1\0\2\0"])),
        "PixelPaddingRangeLimit": st.one_of(SHORT, st.just(b"")),
        "WindowCenter": NUMBER,
        "WindowWidth": NUMBER,
        "RescaleSlope": NUMBER,
        "RescaleIntercept": NUMBER,
        "VOILUTFunction": st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", "", "linear", SECRET, "LINEAR\\LINEAR"]),
    },
)  # fmt: skip
FILM = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": 12,
    "Columns": 10,
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
}
TABLES = st.lists(
    st.builds(
        look_up_table,
        st.sampled_from([0x3000, 0x3010]),
        st.lists(st.one_of(SHORT, st.sampled_from([0, 8, 16, 256])), max_size=4),
        st.binary(max_size=600),
    ),
    max_size=2,
    unique_by=lambda table: table[2:4],
).map(lambda tables: b"".join(sorted(tables)))

bounded = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def _quiet(capfd):
    """See to it that nothing is printed or logged, by no decoder in whatever language, whatever they stumble over."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    assert lines == []
    assert capfd.readouterr() == ("", "")


def judge(content: bytes, path) -> np.ndarray | None:
    """Read the file and check everything that holds whatever it contains; return the picture, or None if refused."""
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        try:
            decoded = decode_image(path)
        except UnreadableImageError as error:
            decoded, refusal = None, error
    assert [str(one.message) for one in leaked] == []
    if decoded is None:
        assert "Secret" not in str(refusal)
        assert str(refusal).startswith(f"{refusal.reason}: {path}")
        return None
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape in {(decoded.height, decoded.width), (decoded.height, decoded.width, 3)}
    assert 0 < decoded.pixels.size <= 3 * MAX_PIXELS
    return decoded.pixels


@settings(bounded, max_examples=2500)
@given(
    changes=HEADERS,
    dropped=st.sets(st.sampled_from(sorted(FILM)), max_size=1),
    pixels=st.one_of(st.none(), st.binary(max_size=400), st.just(bytes(range(240)))),
    tables=TABLES,
    syntax=st.sampled_from([*map(str, SYNTAXES), *OTHERS]),
    plain=st.booleans(),
)
def test_whatever_the_header_says(tmp_path, changes, dropped, pixels, tables, syntax, plain):
    header = {name: value for name, value in (FILM | changes).items() if name not in dropped}
    shown = judge(
        file_of(header, pixels, tables=tables, syntax=str(ExplicitVRLittleEndian) if plain else syntax),
        tmp_path / "film.dcm",
    )
    if shown is not None:
        assert shown.shape[:2] == (header["Rows"], header["Columns"])


@settings(bounded, max_examples=1500)
@given(
    changes=st.fixed_dictionaries(
        {},
        optional={
            "PhotometricInterpretation": st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
            "BitsStored": st.integers(1, 16),
            "PixelRepresentation": st.sampled_from([0, 1]),
            "PixelPaddingValue": SHORT,
            "PixelPaddingRangeLimit": SHORT,
            "WindowCenter": st.floats(-1e5, 1e5).map("{:.9g}".format),
            "WindowWidth": st.floats(1, 1e5).map("{:.9g}".format),
            "RescaleSlope": st.floats(0.001, 1e3).map("{:.9g}".format),
            "RescaleIntercept": st.floats(-1e5, 1e5).map("{:.9g}".format),
            "VOILUTFunction": st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
        },
    ),
    pixels=st.binary(min_size=240, max_size=240),
)
def test_every_sound_combination_is_shown_and_brighter_values_are_never_darker(tmp_path, changes, pixels):
    header = FILM | changes
    header["HighBit"] = header["BitsStored"] - 1
    shown = judge(file_of(header, pixels, syntax=str(ExplicitVRLittleEndian)), tmp_path / "film.dcm")
    assert shown is not None
    assert shown.shape == (12, 10)
    # The bits that are stored, as signed where the header says so; what lies above them is not part of the value.
    unused = 16 - header["BitsStored"]
    raw = np.frombuffer(pixels, "<u2").astype(np.uint16) << np.uint16(unused)
    stored = (raw.view(np.int16) if header["PixelRepresentation"] else raw) >> unused
    values = stored.astype(np.int64).reshape(12, 10)
    steps = np.diff(shown.astype(int)[np.unravel_index(np.argsort(values, axis=None, kind="stable"), values.shape)])
    if not {"PixelPaddingValue", "PixelPaddingRangeLimit"} & set(changes):
        assert (steps <= 0).all() if header["PhotometricInterpretation"] == "MONOCHROME1" else (steps >= 0).all()


@settings(bounded, max_examples=200)
@given(
    name=st.sampled_from(["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"]),
    value=st.sampled_from(["nan", "inf", "-inf", "1e400", "x"]),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_no_picture_is_made_with_what_is_no_number(tmp_path, name, value, function):
    rescaled, window = {"RescaleSlope": "1", "RescaleIntercept": "0"}, {"WindowCenter": "50", "WindowWidth": "60"}
    header = FILM | rescaled | window | {"VOILUTFunction": function, name: value}

    def shown(elements):
        return judge(file_of(elements, bytes(range(240)), syntax=str(ExplicitVRLittleEndian)), tmp_path / "film.dcm")

    if name in window:  # says nothing of the film, which is then shown by its own range
        np.testing.assert_array_equal(shown(header), shown(FILM | rescaled))
    else:
        assert shown(header) is None


def lossless_jpeg() -> bytes:
    """Write a 12-bit lossless JPEG of 16 x 16 equal pixels by hand: only the first one differs from its prediction."""
    frame = b"\xff\xc3" + bytes([0, 11, 12, 0, 16, 0, 16, 1, 1, 0x11, 0])
    huffman = b"\xff\xc4" + bytes([0, 21, 0, 1, 1, *[0] * 14, 0, 11])
    bits = "10" + f"{1048:011b}" + "0" * 255
    bits += "1" * (-len(bits) % 8)
    data = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8))
    return b"\xff\xd8" + frame + huffman + b"\xff\xda" + bytes([0, 8, 1, 1, 0, 1, 0, 0]) + data + b"\xff\xd9"


def sound_files() -> list[bytes]:
    """Return one valid film per transfer syntax."""
    files = []
    for syntax, side in zip(SYNTAXES, SIDES, strict=True):
        noise = np.random.default_rng(0).integers(0, 4096, (side, side), dtype=np.uint16)
        wide = syntax != JPEGBaseline8Bit
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
        dataset.PatientName = dataset.PatientID = SECRET
        dataset.Rows = dataset.Columns = side
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (16, 12, 11) if wide else (8, 8, 7)
        dataset.PixelRepresentation, dataset.WindowCenter, dataset.WindowWidth = 0, 2000, 3000
        dataset.PixelData = noise.tobytes()
        if syntax in {JPEGBaseline8Bit, JPEGLosslessSV1}:
            grey = (noise >> 4).astype(np.uint8)[..., None]
            code = lossless_jpeg() if wide else encode_jpeg(grey, colorspace="GRAY", colorsubsampling="Gray")
            dataset.PixelData = encapsulate([code])
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = syntax
        elif syntax != ExplicitVRLittleEndian:
            dataset.compress(syntax, generate_instance_uid=False)
        buffer = BytesIO()
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
        files.append(buffer.getvalue())
    return files


SOUND = sound_files()
FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", range(len(SYNTAXES)), ids=[syntax.keyword for syntax in SYNTAXES])
def test_the_files_to_be_damaged_are_sound(tmp_path, kind):
    shown = judge(SOUND[kind], tmp_path / "film.dcm")
    assert shown is not None
    assert shown.shape == (SIDES[kind], SIDES[kind])


@settings(bounded, max_examples=4000)
@given(
    kind=st.integers(0, len(SOUND) - 1),
    flips=FLIPS,
    only_pixels=st.booleans(),
    share=st.one_of(st.just(1.0), st.floats(0.3, 1.0)),
)
@example(kind=0, flips=[(0.0, 255)], only_pixels=True, share=1.0)
def test_bytes_are_changed_anywhere_or_the_end_is_missing(tmp_path, kind, flips, only_pixels, share):
    content = bytearray(SOUND[kind])
    start = content.index(b"\xe0\x7f\x10\x00") if only_pixels else 132
    for place, value in flips:
        content[start + int(place * (len(content) - start))] = value
    judge(bytes(content[: max(140, int(share * len(content)))]), tmp_path / "film.dcm")


@settings(bounded, max_examples=400)
@given(kind=st.integers(0, len(SOUND) - 1), claimed=st.sampled_from([*map(str, SYNTAXES), *OTHERS]))
def test_the_wrong_transfer_syntax_is_claimed(tmp_path, kind, claimed):
    dataset = pydicom.dcmread(BytesIO(SOUND[kind]))
    body = SOUND[kind][SOUND[kind].index(b"\x08\x00\x16\x00UI") :]
    meta = element(2, 0x10, b"UI", claimed.encode())
    content = b"\0" * 128 + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + body
    shown = judge(content, tmp_path / "film.dcm")
    if claimed == dataset.file_meta.TransferSyntaxUID:
        np.testing.assert_array_equal(shown, judge(SOUND[kind], tmp_path / "sound.dcm"))
