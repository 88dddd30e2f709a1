"""Where pixels come from: anything that returns images by row, such as an image store or an array in memory."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, UInt8


@runtime_checkable
class ImageReader(Protocol):
    """Images in rows; `cohort.open_images` returns one."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def read(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n h w"]:
        """Return the images of `rows`, grey levels 0..255."""
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
