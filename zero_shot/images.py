"""The images to be scored: rows of a store in scoring order, read in batches and checked."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from cohort.image_reader import ImageReader, as_reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Images in scoring order, with their ids."""

    reader: ImageReader
    """Where pixels are read from"""
    rows: Int[np.ndarray, "n"]
    """Row of every image in the reader"""
    ids: tuple[str, ...]
    """Id of every image, in tables and errors"""

    def __post_init__(self) -> None:
        if len(self.rows) == 0:
            raise ValueError("there is no image to score")
        if len(self.rows) != len(self.ids):
            raise ValueError(f"{len(self.rows)} rows but {len(self.ids)} image ids")
        refuse_repeated(self.ids, "the images to score")

    def __len__(self) -> int:
        return len(self.rows)

    def followed_by(self, others: "Images") -> "Images":
        """Return these images followed by others of the same store.

        Raises:
            ValueError: an image is in both.
        """
        return Images(reader=self.reader, rows=np.concatenate([self.rows, others.rows]), ids=(*self.ids, *others.ids))

    def batches(self, batch_size: int) -> Iterator[UInt8[np.ndarray, "b h w"]]:
        """Yield the pixels in order.

        Raises:
            ValueError: an image is all zero, as a failed decode leaves it; it would be scored like any other.
        """
        for begin in range(0, len(self), batch_size):
            pixels = self.reader.read(self.rows[begin : begin + batch_size])
            black = np.flatnonzero(~pixels.any(axis=(1, 2)))
            if black.size:
                names = ", ".join(self.ids[begin + k] for k in black[:5])
                raise ValueError(
                    f"{black.size} images are all zero, first {names}: they were never decoded; "
                    "preprocess them again, or leave them out by their status"
                )
            yield pixels

    def fingerprint(self, batch_size: int = 256) -> str:
        """Return the SHA-256 of all pixels and ids in order. Reading them costs little compared with encoding."""
        digest = hashlib.sha256("\n".join(self.ids).encode())
        for pixels in self.batches(batch_size):
            digest.update(f"{pixels.shape[1:]}".encode())
            digest.update(pixels.tobytes())
        return digest.hexdigest()


def refuse_repeated(ids: Sequence[str], what: str) -> None:
    """Raise `ValueError` naming the first ids that occur more than once in `what`."""
    repeated = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(f"{what}: {len(repeated)} image ids occur more than once, first {', '.join(repeated[:3])}")


def as_images(images: "Images | ImageReader | UInt8[np.ndarray, 'n h w']") -> Images:
    """Return `images` as `Images`; an array or a whole store keeps its order.

    A store's ids are kept; images without ids are named by their row, "row 0".
    """
    if isinstance(images, Images):
        return images
    reader = as_reader(images)
    ids = getattr(reader, "image_ids", None) or [f"row {row}" for row in range(len(reader))]
    return Images(reader=reader, rows=np.arange(len(reader)), ids=tuple(ids))
