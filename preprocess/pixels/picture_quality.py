"""What can be seen to be odd about a picture without knowing what is on it. Flags inform; they exclude nothing."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

BLANK, NEAR_CONSTANT, INVERTED, ODD_ASPECT = "blank", "near-constant", "inverted", "odd aspect"
LATERAL = "lateral by metadata"
MISNAMED = "file is not what its name says"
COLOURED, TRANSPARENT = "colour made grey", "transparency dropped"
FEW_LEVELS, MARKED, WINDOW = "few grey levels", "bright marks clipped", "DICOM window unusable"
POLARITY = "DICOM polarity contradictory"

FLAGS = (
    *(BLANK, NEAR_CONSTANT, FEW_LEVELS, INVERTED, ODD_ASPECT, LATERAL),
    *(COLOURED, TRANSPARENT, MARKED, WINDOW, POLARITY, MISNAMED),
)
"""In the order in which they are written"""

FAULTS = (MISNAMED,)
"""Flags that tell of damage to the archive, and not only of an unusual film."""

_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".dcm": "DICOM",
    ".dicom": "DICOM",
}
"""What the name of a file promises; other names promise nothing."""

_SPREAD = 3.0
"""Standard deviation, grey levels, below which a picture shows nothing: 255 real films have at least 24."""
_FEWEST_LEVELS = 32
"""Films have 100 grey levels or more; 16 are what is left of 12 bits cut to the upper byte of 16."""
_SAMPLED_PIXELS = 100_000
_LONGEST_ASPECT = 2.0
"""Films have at most 17 x 14 inches (1.2); 2 leaves room for what is cropped."""
_CORNER = 0.12
_BRIGHT, _BRIGHTER_BY = 190.0, 50.0


def flags(picture: UInt8[np.ndarray, "h w"], *, width: int, height: int) -> tuple[str, ...]:
    """Return what is odd about a picture.

    * blank: every pixel is the same.
    * near-constant: the standard deviation is below 3 grey levels.
    * inverted: both upper corners, which on a film show air beside the neck, are bright, and much brighter than the
      picture as a whole. A guess: collimation and dense shoulders can fool it either way.
    * odd aspect: one side more than twice the other.

    Args:
        picture: Grey levels of the resized picture, without padding.
        width: Of the original, pixels.
        height: Likewise.
    """
    found = []
    if picture.min() == picture.max():
        found.append(BLANK)
    elif picture.std() < _SPREAD:
        found.append(NEAR_CONSTANT)
    elif _is_inverted(picture):
        found.append(INVERTED)
    if max(width, height) > _LONGEST_ASPECT * min(width, height):
        found.append(ODD_ASPECT)
    return tuple(found)


def has_few_levels(pixels: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]) -> bool:
    """Return whether a picture has more than one, but fewer than 32 grey levels (in the green channel, of colour)."""
    grey = pixels if pixels.ndim == 2 else pixels[..., 1]
    step = max(1, math.isqrt(grey.size // _SAMPLED_PIXELS))
    n_levels = np.count_nonzero(np.bincount(grey[::step, ::step].ravel(), minlength=256))
    return bool(1 < n_levels < _FEWEST_LEVELS)


def is_coloured(pixels: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]) -> bool:
    """Return whether a picture is more than grey in three equal channels."""
    if pixels.ndim == 2:
        return False
    red, green, blue = (pixels[..., channel] for channel in range(3))
    return not (np.array_equal(red, green) and np.array_equal(green, blue))


def is_misnamed(path: str, kind: str) -> bool:
    """Return whether a file's name promises another format than `kind`, which `decode.DecodedImage` has by content."""
    return _FORMATS.get(Path(path).suffix.lower(), kind) != kind


def _is_inverted(picture: UInt8[np.ndarray, "h w"]) -> bool:
    down, across = (max(1, int(side * _CORNER)) for side in picture.shape)
    corners = min(np.median(picture[:down, :across]), np.median(picture[:down, -across:]))
    return bool(corners > _BRIGHT and corners > np.median(picture) + _BRIGHTER_BY)
