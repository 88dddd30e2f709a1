"""Where pixels come from: anything that returns images by row, such as an image store or an array in memory."""

import os
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, UInt8

from common.progress import progress

CONSTANT = "image has a single grey level"
"""Reason to leave an image out"""
_AT_ONCE = 256
"""Images that are looked at together"""


@runtime_checkable
class ImageReader(Protocol):
    """Images in rows; `cohort.open_images` returns one."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def read(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n h w"]:
        """Return the images of `rows`, grey levels 0..255."""
        ...


@runtime_checkable
class HasChecksums(Protocol):
    """Images whose checksums tell which of them need not be read."""

    def may_be_constant(self, rows: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """Return False for images that have more than one grey level."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayImages:
    """Images in memory as an `ImageReader`."""

    array: UInt8[np.ndarray, "n h w"]
    """Grey levels 0..255"""

    def __len__(self) -> int:
        return len(self.array)

    def read(self, rows: Int[np.ndarray, "m"]) -> UInt8[np.ndarray, "m h w"]:
        """Return the images of `rows`."""
        chosen: np.ndarray = self.array[rows]
        return chosen


def as_reader(images: "ImageReader | UInt8[np.ndarray, 'n h w']") -> ImageReader:
    """Return an array as an `ImageReader`, and a reader as it is."""
    return ArrayImages(images) if isinstance(images, np.ndarray) else images


def constant_images(images: ImageReader, rows: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Return which images have a single grey level, as a failed decode leaves them.

    Reads all of `rows`, or from a store with checksums only those whose checksum is that of such an image.
    """
    suspects = images.may_be_constant(rows) if isinstance(images, HasChecksums) else np.ones(len(rows), dtype=bool)
    found = np.zeros(len(rows), dtype=bool)
    found[suspects] = _constant_by_pixels(images, rows[suspects])
    return found


def _constant_by_pixels(images: ImageReader, rows: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    found = np.zeros(len(rows), dtype=bool)
    is_main = os.environ.get("RANK", "0") == "0"
    for begin in progress(range(0, len(rows), _AT_ONCE), desc="looking at images", unit="block", disable=not is_main):
        pixels = images.read(rows[begin : begin + _AT_ONCE])

        # one pixel in 64 tells nearly all images apart from constant ones: (n, h, w) -> (n,)
        alike = np.ptp(pixels[:, ::8, ::8], axis=(1, 2)) == 0
        alike[alike] = np.ptp(pixels[alike], axis=(1, 2)) == 0
        found[begin : begin + len(pixels)] = alike
    return found
