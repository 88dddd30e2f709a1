"""One image file in, its pixels out, or the reason why there are none."""

import os
import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import simplejpeg
from jaxtyping import Integer, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from preprocess.pixels.picture_quality import MARKED
from preprocess.pixels.reading_rules import MAX_PIXELS, Pixels, UnreadableImageError, brightest_of_film

SixteenBitRule = Literal["window", "high_byte"]

# Pillow tries every parser it has unless told otherwise; radiographs come in few formats, and each parser more is one
# more way in for a crafted file.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")

# What the parsers raise on damaged files, besides Pillow's own classes.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)

# libjpeg has vector code for these fractions of the size only: 3/8 takes as long as 4/8 and looks worse at edges.
_REDUCTIONS = (8, 4, 2)

_DICOM_PREAMBLE = 128
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
"""How a DICOM file begins that was saved without its preamble"""
_WHITE_IS_ZERO, _PHOTOMETRIC_INTERPRETATION = 0, 262

CANNOT_BE_READ = "image file cannot be read"
"""The reason that lies with rights and disks and not with the image."""


class DecodedImage(NamedTuple):
    """The pixels of an image, and how large it was before it was decoded at a fraction of its size."""

    pixels: Pixels
    """Grey levels 0..255, or R, G, B."""
    width: int
    """Of the whole image, upright, in pixels."""
    height: int
    """Likewise."""
    shrunk: int = 1
    """Whole pixels per pixel in `pixels`, along each side."""
    format: str = ""
    """"JPEG", "PNG", "BMP", "TIFF", "WEBP" or "DICOM", by content, whatever the file's name says"""
    transparent: bool = False
    """Whether it had an alpha channel that was not opaque everywhere"""
    odd: tuple[str, ...] = ()
    """Flags of `picture_quality` that only the decoder can know"""


def read_image(path: Path | str, *, sixteen_bit: SixteenBitRule = "window") -> Pixels:
    """Return the pixels of an image file at full size, see `decode_image`."""
    return decode_image(path, sixteen_bit=sixteen_bit).pixels


def decode_image(
    path: Path | str, *, sixteen_bit: SixteenBitRule = "window", enough: int | None = None
) -> DecodedImage:
    """Return the pixels of an image file: one channel where the file has one, else three in the order R, G, B.

    EXIF orientation is applied, alpha is dropped without blending, a palette is looked up. A damaged file is an error,
    and so is one that libjpeg warns about: it fills what it cannot read with grey. (OpenCV only says so on stderr, and
    Pillow notices a file that ends too early, but not one damaged in the middle.) The pixels of whole files are the
    same in all three, because all of them use libjpeg-turbo.

    Args:
        path: a JPEG, PNG, BMP, TIFF, WebP or DICOM file, whatever its name says.
        sixteen_bit: how 16-bit grey becomes 8-bit, see `to_eight_bits`. DICOM files say themselves how.
        enough: pixels of the long side that suffice. A JPEG is then decoded at 1/2, 1/4 or 1/8 where that leaves as
            many, which costs a fraction; other formats are always decoded whole. None decodes everything whole.

    Raises:
        UnreadableImageError: no such file, no right to read it, not an image, incomplete or damaged, more than
            `MAX_PIXELS`, several frames, or pixels that 8 bits cannot hold. Nothing else is raised for a bad file.
    """
    with _open(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            start = file.read(_DICOM_PREAMBLE + 4)
            if start[_DICOM_PREAMBLE:] == b"DICM":
                return _decode_dicom(file, path)
            file.seek(0)
            try:
                image = Image.open(file, formats=FORMATS)
            except UnidentifiedImageError:
                if start[:2] in _FIRST_GROUPS:
                    return _decode_dicom(file, path)
                raise
            with image:
                _refuse_before_decoding(image, path)
                if image.format in {"JPEG", "MPO"} and image.mode in {"L", "RGB"}:
                    return _decode_jpeg(image, file, enough)
                return _decode_whole(image, file, path, sixteen_bit)
        except UnreadableImageError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise UnreadableImageError("image has too many pixels", f"{path}: {error}") from error
        except UnidentifiedImageError as error:
            raise UnreadableImageError("not an image file", f"{path} is none of {', '.join(FORMATS)}, DICOM") from error
        except _DAMAGE as error:
            raise UnreadableImageError("image is damaged", f"{path}: {error}") from error


def _open(path: Path | str) -> BinaryIO:
    try:
        # Without waiting: a pipe has no end, or no writer.
        file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    except FileNotFoundError as error:
        raise UnreadableImageError("image file is missing", str(path)) from error
    except OSError as error:
        raise UnreadableImageError(CANNOT_BE_READ, f"{path}: {error.strerror}") from error
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise UnreadableImageError(CANNOT_BE_READ, f"{path}: not a regular file")
    if found.st_size == 0:
        file.close()
        raise UnreadableImageError("image file is empty", str(path))
    return file


def _whole(pixels: Pixels, kind: str, odd: tuple[str, ...] = ()) -> DecodedImage:
    return DecodedImage(pixels, pixels.shape[1], pixels.shape[0], format=kind, odd=odd)


def _decode_dicom(file: BinaryIO, path: Path | str) -> DecodedImage:
    from preprocess.pixels.dicom import read_dicom  # noqa: PLC0415  (pydicom, which most archives do not need)

    pixels, odd = read_dicom(file, path)
    return _whole(pixels, "DICOM", odd)


def _decode_whole(image: Image.Image, file: BinaryIO, path: Path | str, sixteen_bit: SixteenBitRule) -> DecodedImage:
    """Decode by Pillow, or by OpenCV what Pillow would cut to 8 bits."""
    # Pillow cuts 16-bit colour to the upper byte without a word; only the raw mode of the file still tells.
    raw_modes = [str(tile[-1]) for tile in getattr(image, "tile", [])]
    image.load()
    if sixteen_bit == "window" and image.mode in {"RGB", "RGBA", "LA"} and any("16" in mode for mode in raw_modes):
        # Only now, because OpenCV fills what a damaged file lacks.
        pixels, odd = _sixteen_bit_colour(file, path, image.getexif().get(ExifTags.Base.Orientation, 1))
    else:
        pixels, odd = _pixels(ImageOps.exif_transpose(image), path, sixteen_bit)
        if image.mode.startswith("I") and _is_white_zero(image):
            pixels = np.iinfo(np.uint8).max - pixels  # Pillow turns 8-bit TIFFs of this kind, but not 16-bit ones
    return _whole(pixels, str(image.format), odd)._replace(transparent=_is_transparent(image))


def _sixteen_bit_colour(file: BinaryIO, path: Path | str, orientation: int) -> tuple[Pixels, tuple[str, ...]]:
    """Return a picture of 16 bits per channel as 8 bits, without alpha; grey if its channels are equal."""
    import cv2  # noqa: PLC0415  (slow to load, and such files are rare)

    content = np.frombuffer(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0), np.uint8)
    deep = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16:
        raise UnreadableImageError("image is 16-bit colour", f"{path}: convert it to 16-bit grey or 8-bit colour")
    if deep.ndim == 3:
        blue, green, red = (deep[..., channel] for channel in range(3))
        is_grey = np.array_equal(red, green) and np.array_equal(green, blue)
        deep = green if is_grey else np.stack([red, green, blue], axis=-1)
    pixels, odd = _eight_bits(deep, "window")
    if orientation in _UPRIGHT:
        pixels = np.asarray(Image.fromarray(pixels).transpose(_UPRIGHT[orientation]))
    return pixels, odd


def _decode_jpeg(image: Image.Image, file: BinaryIO, enough: int | None) -> DecodedImage:
    """Decode by simplejpeg, which is as fast as Pillow but makes an error of every warning of libjpeg."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    shrunk = 1
    # The last pixel may stand for less than a whole one; turned round, it would come first.
    if enough is not None and orientation == 1:
        shrunk = next((factor for factor in _REDUCTIONS if max(image.size) >= factor * enough), 1)
    width, height = (-(-side // shrunk) for side in image.size)
    # Past the buffer, which would copy it once more.
    content = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
    pixels = simplejpeg.decode_jpeg(
        content, "GRAY" if image.mode == "L" else "RGB", min_width=width, min_height=height, strict=True
    )
    if image.mode == "L":
        pixels = pixels[..., 0]
    if orientation in _UPRIGHT:
        return _whole(np.asarray(Image.fromarray(pixels).transpose(_UPRIGHT[orientation])), "JPEG")
    return DecodedImage(pixels, image.width, image.height, shrunk, "JPEG")


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the picture upright."""


def to_eight_bits(pixels: Integer[np.ndarray, "h w"], rule: SixteenBitRule = "window") -> UInt8[np.ndarray, "h w"]:
    """Return grey levels 0..65535 as 0..255: `pixels >> (bits - 8)`.

    "window" takes for `bits` the smallest depth of 8 or more that holds the film, see `brightest_of_film`, so a 12-bit
    picture in a 16-bit file keeps 256 grey levels; brighter marks become white. "high_byte" is `bits = 16` always,
    CheXzero's way, which leaves 16 of them. The two agree if the film reaches 32,768.
    """
    return _eight_bits(pixels, rule)[0]


def _eight_bits(pixels: Integer[np.ndarray, "..."], rule: SixteenBitRule) -> tuple[Pixels, tuple[str, ...]]:
    """Return grey levels 0..255, and a flag if marks were clipped."""
    bits = 16
    if rule == "window":
        counts = np.bincount(pixels.ravel())
        values = np.flatnonzero(counts)
        bits = max(int(brightest_of_film(values, counts[values], 0.0)).bit_length(), 8)
    levels = pixels >> (bits - 8)
    clipped = bool(levels.max() > np.iinfo(np.uint8).max)
    return np.minimum(levels, np.iinfo(np.uint8).max).astype(np.uint8), (MARKED,) if clipped else ()


def _refuse_before_decoding(image: Image.Image, path: Path | str) -> None:
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height}, at most {MAX_PIXELS:,} pixels are read"
        raise UnreadableImageError("image has too many pixels", f"{path}: {size}")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise UnreadableImageError("image has several frames", str(path))


def _is_transparent(image: Image.Image) -> bool:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in {"LA", "La", "RGBA", "RGBa"}:
        return False
    return bool(np.asarray(image.getchannel(len(image.mode) - 1)).min() < np.iinfo(np.uint8).max)


def _pixels(image: Image.Image, path: Path | str, sixteen_bit: SixteenBitRule) -> tuple[Pixels, tuple[str, ...]]:
    """Return the pixels of a loaded image, and what the decoder knows to be odd about them."""
    if image.mode == "L":
        return np.asarray(image), ()
    if image.mode == "1":
        return np.asarray(image.convert("L")), ()
    if image.mode in {"LA", "La"}:
        return np.asarray(image.getchannel(0)), ()
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max:
            raise UnreadableImageError("image is not 8- or 16-bit", f"{path}: {pixels.min()} to {pixels.max()}")
        return _eight_bits(pixels, sixteen_bit)
    if image.mode == "F":
        raise UnreadableImageError("image is not 8- or 16-bit", f"{path}: floating point")
    return np.asarray(image.convert("RGB")), ()


def _is_white_zero(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO)
