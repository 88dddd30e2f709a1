"""One image file in, its pixels out, or the reason why there are none."""

import struct
import warnings
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

SixteenBitRule = Literal["window", "high_byte"]
Pixels = UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]

# Pillow tries every parser it has unless told otherwise; radiographs come in few formats, and each parser more is one
# more way in for a crafted file.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF")

# The largest radiographs have about 20 million pixels. Pillow itself warns from 89 million on.
MAX_PIXELS = 80_000_000

# What Pillow's parsers raise on damaged files, besides its own classes.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


class UnreadableImageError(ValueError):
    """An image that cannot become a row.

    Attributes:
        reason: a short phrase that is the same for all images with this fault, so that a flow table can count it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def read_image(path: Path | str, *, sixteen_bit: SixteenBitRule = "window") -> Pixels:
    """Return the pixels of an image file: one channel where the file has one, else three in the order R, G, B.

    EXIF orientation is applied, alpha is dropped without blending, a palette is looked up. An incomplete file is an
    error. (OpenCV fills what is missing from a JPEG with grey and says so on stderr only; Pillow refuses, which is why
    Pillow reads. The pixels of complete files are the same: both use libjpeg-turbo.)

    Args:
        path: a JPEG, PNG, BMP or TIFF file.
        sixteen_bit: how 16-bit grey becomes 8-bit, see `to_eight_bits`.

    Raises:
        UnreadableImageError: no such file, not an image, incomplete or damaged, more than `MAX_PIXELS`, several
            frames, or pixels that 8 bits cannot hold. Nothing else is raised for a bad file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _refuse_before_decoding(image, path, sixteen_bit)
                image.load()
                return _pixels(ImageOps.exif_transpose(image), path, sixteen_bit)
    except UnreadableImageError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError("image file is missing", str(path)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError("image has too many pixels", f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image file", f"{path} is none of {', '.join(FORMATS)}") from error
    except _DAMAGE as error:
        raise UnreadableImageError("image is damaged", f"{path}: {error}") from error


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
