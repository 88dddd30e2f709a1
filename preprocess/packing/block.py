"""What a worker does: a block of images becomes rows of the store and lines of the journal.

Every row has its place in the file, so workers write for themselves and nothing passes through one writer: decode,
write the row, wait until it is on the disk, write the line. This file imports neither pandas nor h5py, to keep workers
small and quick to start.
"""

import hashlib
import math
import os
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from threadpoolctl import ThreadpoolController

from preprocess.packing.journal import Entry, ImageToPack, Writer, read_journal
from preprocess.pixels import picture_quality as quality
from preprocess.pixels.decode import SixteenBitRule, decode_image
from preprocess.pixels.reading_rules import UnreadableImageError
from preprocess.pixels.resize import DECODED_PER_TARGET, REDUCED_RULE, RULE, fit_to_square, fitted_size
from preprocess.preprocess_config import Dtype

CRASHES = "image stops the process that reads it"

CHECKSUM_BYTES = 4
"""Size of a row's CRC-32 in the store"""

MIN_PIXELS = 64
"""Smaller pictures are marks of a failed export, not films: a single pixel would become an evenly grey row."""

_synchronise = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync

_MOST_STARTS = 2
"""An image that was begun so often and never finished took its process with it each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSpec:
    """How pixels are stored, apart from which."""

    resolution: int = 320
    """Side of the square rows, pixels."""
    exact: bool = False
    """Decode JPEGs at full size, always: pixels equal CheXzero's."""
    sixteen_bit: SixteenBitRule = "window"
    """How 16-bit files become 8-bit, see `decode.to_eight_bits`."""
    dtype: Dtype = "uint8"
    """Grey levels 0..255 as bytes, or as float32, which is what CheXzero's training reads."""
    with_ids: bool = True
    """False writes the pixels only, without ids and attributes: CheXzero's own layout."""

    @property
    def resize_rule(self) -> str:
        """The rule in words, as noted in the store."""
        return RULE if self.exact else REDUCED_RULE

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in the finished store."""
        return self.resolution**2 * np.dtype(self.dtype).itemsize

    @property
    def pixel_rule(self) -> dict[str, Any]:
        """What decides about the grey levels of a row; rows made by equal rules may stand in one store."""
        return {"resolution": self.resolution, "resize_rule": self.resize_rule, "sixteen_bit": self.sixteen_bit}


class RowPlaces(NamedTuple):
    """Where in a store the rows are, in bytes from its beginning."""

    pixels: int
    """First pixel of the first row"""
    checksums: int | None
    """Checksum of the first row; None: a store without checksums"""


class Block(NamedTuple):
    """Some images, the file that holds their rows, and the journal that no other block writes."""

    store: Path
    places: RowPlaces
    journal: Path
    images: tuple[tuple[int, ImageToPack], ...]
    """Row and image"""


def pack_block(block: Block, *, spec: PackSpec) -> list[Entry]:
    """Pack the images of a block that its journal does not have yet, and return the entries of all.

    A block can be handed out again after its worker died: what the dead worker finished is not done twice, and an
    image that was begun twice and never finished is given up, because it would kill this worker too.

    Raises:
        OSError: The disk of the store fails or is full. A bad image is a result, not an error.
    """
    past, writer = read_journal(block.journal), Writer(block.journal)
    rows = os.open(block.store, os.O_WRONLY)
    entries = []
    try:
        # Rows are small and workers many: more than one thread for a product only costs.
        with _thread_pools().limit(limits=1, user_api="blas"):
            for row, image in block.images:
                entry = past.entries.get(image.image_id)
                if entry is None and past.starts[image.image_id] >= _MOST_STARTS:
                    entry = _failure(image, UnreadableImageError(CRASHES, image.path))
                    writer.add(entry)
                if entry is None:
                    writer.started(image.image_id)
                    entry = _pack(image, row, rows, block.places, spec)
                    writer.add(entry)
                entries.append(entry)
    except OSError as error:
        if error.filename is None:  # a full disk does not say which
            error.filename = str(block.store)
        raise
    finally:
        os.close(rows)
        writer.close()
    return entries


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    """Return the handle of this process's BLAS, having prepared its memory; both are done once."""
    # glibc hands memory back after every image and takes it again for the next: 2,000 page faults, a fifth of the time.
    # It keeps what is smaller than the largest block ever freed (mallopt(3), M_MMAP_THRESHOLD; at most 32 MiB).
    np.empty(24 * 2**20, dtype=np.uint8)
    return ThreadpoolController()


def make_row(path: str, spec: PackSpec) -> tuple[UInt8[np.ndarray, "r r"], tuple[str, ...]]:
    """Return the row of an image and what is odd about it.

    Raises:
        UnreadableImageError: The image cannot become a row.
    """
    enough = None if spec.exact else math.ceil(DECODED_PER_TARGET * spec.resolution)
    image = decode_image(path, sixteen_bit=spec.sixteen_bit, enough=enough)
    if image.width * image.height < MIN_PIXELS:
        size = f"{image.width} x {image.height}, {MIN_PIXELS} pixels or more are wanted"
        raise UnreadableImageError("image is too small", f"{path}: {size}")
    square = fit_to_square(image, spec.resolution)
    width, height = fitted_size(image.width, image.height, spec.resolution)
    left, top = (spec.resolution - width) // 2, (spec.resolution - height) // 2
    inside = square[top : top + height, left : left + width]
    found = quality.flags(inside, width=image.width, height=image.height)
    of_file = {
        quality.FEW_LEVELS: quality.has_few_levels(image.pixels),
        quality.COLOURED: quality.is_coloured(image.pixels),
        quality.TRANSPARENT: image.transparent,
        quality.MISNAMED: quality.is_misnamed(path, image.format),
    }
    return square, (*found, *image.odd, *(flag for flag, holds in of_file.items() if holds))


def _pack(image: ImageToPack, row: int, rows: int, places: RowPlaces, spec: PackSpec) -> Entry:
    try:
        square, flags = make_row(image.path, spec)
    except UnreadableImageError as error:
        return _failure(image, error)
    content = square.tobytes()
    _write_all(rows, content, places.pixels + row * len(content))
    if places.checksums is not None:
        checksum = zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "little")
        _write_all(rows, checksum, places.checksums + row * CHECKSUM_BYTES)
    _synchronise(rows)
    return Entry(**image._asdict(), sha256=hashlib.sha256(content).hexdigest(), flags=flags)


def _failure(image: ImageToPack, error: UnreadableImageError) -> Entry:
    return Entry(**image._asdict(), reason=error.reason, detail=str(error))


def _write_all(file: int, content: bytes, offset: int) -> None:
    """Write at a place in the file; a disk that fills up takes a part first and refuses the rest."""
    left = memoryview(content)
    while left:
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written


class JobFailedError(RuntimeError):
    """The job was asked for correctly but could not be done."""
