"""One image file in, its pixels out, or the reason why there are none."""

import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import simplejpeg
from jaxtyping import Integer, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from preprocess.pixels.reading_rules import MAX_PIXELS, Pixels, UnreadableImageError

SixteenBitRule = Literal["window", "high_byte"]

# Pillow tries every parser it has unless told otherwise; radiographs come in few formats, and each parser more is one
# more way in for a crafted file.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF")

# What the parsers raise on damaged files, besides Pillow's own classes.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)

# libjpeg has vector code for these fractions of the size only: 3/8 takes as long as 4/8 and looks worse at edges.
_REDUCTIONS = (8, 4, 2)

_DICOM_PREAMBLE = 128

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
    """"JPEG", "PNG", "BMP", "TIFF" or "DICOM", by content, whatever the file's name says."""
    transparent: bool = False
    """Whether it had an alpha channel that was not opaque everywhere."""


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
        path: a JPEG, PNG, BMP, TIFF or DICOM file, whatever its name says.
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
            if file.read(_DICOM_PREAMBLE + 4)[_DICOM_PREAMBLE:] == b"DICM":
                from preprocess.pixels.dicom import read_dicom  # noqa: PLC0415  (pydicom, which most archives do not need)

                return _whole(read_dicom(file, path), "DICOM")
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                _refuse_before_decoding(image, path, sixteen_bit)
                if image.format in {"JPEG", "MPO"} and image.mode in {"L", "RGB"}:
                    return _decode_jpeg(image, file, enough)
                image.load()
                whole = _whole(_pixels(ImageOps.exif_transpose(image), path, sixteen_bit), str(image.format))
                return whole._replace(transparent=_is_transparent(image))
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
        file = Path(path).open("rb")  # noqa: SIM115  (the caller closes it)
    except FileNotFoundError as error:
        raise UnreadableImageError("image file is missing", str(path)) from error
    except OSError as error:
        raise UnreadableImageError(CANNOT_BE_READ, f"{path}: {error.strerror}") from error
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise UnreadableImageError("image file is empty", str(path))
    return file


def _whole(pixels: Pixels, kind: str) -> DecodedImage:
    return DecodedImage(pixels, pixels.shape[1], pixels.shape[0], format=kind)


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

    "window" takes for `bits` the smallest depth of 8 or more that holds the brightest pixel, so a 12-bit picture in a
    16-bit file keeps 256 grey levels. "high_byte" is `bits = 16` always, CheXzero's way, which leaves 16 of them. The
    two agree wherever a pixel reaches 32,768.
    """
    bits = 16 if rule == "high_byte" else max(int(pixels.max()).bit_length(), 8)
    return (pixels >> (bits - 8)).astype(np.uint8)


def _refuse_before_decoding(image: Image.Image, path: Path | str, sixteen_bit: SixteenBitRule) -> None:
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height}, at most {MAX_PIXELS:,} pixels are read"
        raise UnreadableImageError("image has too many pixels", f"{path}: {size}")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise UnreadableImageError("image has several frames", str(path))
    # Pillow cuts 16-bit colour to the upper byte without a word; only the raw mode of the file still tells.
    raw_modes = [str(tile[-1]) for tile in getattr(image, "tile", [])]
    if sixteen_bit == "window" and image.mode in {"RGB", "RGBA", "LA"} and any("16" in mode for mode in raw_modes):
        raise UnreadableImageError("image is 16-bit colour", f"{path}: only 16-bit grey can be windowed")


def _is_transparent(image: Image.Image) -> bool:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in {"LA", "La", "RGBA", "RGBa"}:
        return False
    return bool(np.asarray(image.getchannel(len(image.mode) - 1)).min() < np.iinfo(np.uint8).max)


def _pixels(image: Image.Image, path: Path | str, sixteen_bit: SixteenBitRule) -> Pixels:
    if image.mode == "L":
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode in {"LA", "La"}:
        return np.asarray(image.getchannel(0))
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max:
            raise UnreadableImageError("image is not 8- or 16-bit", f"{path}: {pixels.min()} to {pixels.max()}")
        return to_eight_bits(pixels, sixteen_bit)
    if image.mode == "F":
        raise UnreadableImageError("image is not 8- or 16-bit", f"{path}: floating point")
    return np.asarray(image.convert("RGB"))
