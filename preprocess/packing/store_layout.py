"""The image store as a file: made with room for every row, filled by others, and then called complete.

Pixels are contiguous, allocated when the file is made and never filled by HDF5, so that rows can be written, and later
memory-mapped, at a fixed place. Everything but the pixels is there from the start: to complete a file, one byte of it
changes. So the bytes of a store do not depend on how often the job was stopped on the way.
"""

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from jaxtyping import Float32, UInt8

from cohort.store import CHECKSUMS, FORMAT_VERSION, IDS, IMAGES, LOCKING_ADVICE
from preprocess.packing.block import JobFailedError, PackSpec, RowPlaces
from preprocess.packing.journal import Entry, ImageToPack
from preprocess.preprocess_config import Dtype

_STORED = {"uint8": "|u1", "float32": "<f4"}
_CHECKSUM = "<u4"
_COPIED_ROWS = 256
_NAMED = 5


class Source(NamedTuple):
    """Rows of a file that hold pixels."""

    path: Path
    offset: int
    """Where the pixels begin, bytes."""
    dtype: str
    """Of the pixels, as numpy writes it."""
    side: int
    """Of a row, pixels."""
    rows: list[int]
    """The rows wanted, increasing."""


def fingerprint(entries: Sequence[Entry] | Sequence[ImageToPack]) -> str:
    """Return the sha256 of ids and file sizes in row order: equal wherever the archive lies."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.image_id}\t{entry.n_bytes}\n".encode())
    return digest.hexdigest()


def create(path: Path, image_ids: Sequence[str], *, spec: PackSpec, archive: str) -> RowPlaces:
    """Create a store with room for all rows, incomplete, and return where in it the rows are."""
    shape = (len(image_ids), spec.resolution, spec.resolution)
    with _open_to_write(path, "w") as file:
        if spec.with_ids:
            attributes = {
                "format_version": FORMAT_VERSION,
                "resolution": spec.resolution,
                "resize_rule": spec.resize_rule,
                "archive_fingerprint": archive,
                "complete": False,
            }
            describe(file, image_ids, attributes)
        checksums = create_checksums(file, len(image_ids)).get_offset() if spec.with_ids else None
        return RowPlaces(create_pixels(file, shape, spec.dtype).get_offset(), checksums)


def create_pixels(file: h5py.File, shape: tuple[int, int, int], dtype: Dtype) -> h5py.h5d.DatasetID:
    """Add room for the pixels."""
    return _create(file, IMAGES, shape, _STORED[dtype])


def create_checksums(file: h5py.File, n_rows: int) -> h5py.h5d.DatasetID:
    """Add room for the CRC-32 of every row's grey levels, one byte each."""
    return _create(file, CHECKSUMS, (n_rows,), _CHECKSUM)


def _create(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> h5py.h5d.DatasetID:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    element = h5py.h5t.py_create(np.dtype(dtype))
    return h5py.h5d.create(file.id, name.encode(), element, h5py.h5s.create_simple(shape), dcpl=layout)


def describe(file: h5py.File, image_ids: Sequence[str], attributes: Mapping[str, Any]) -> None:
    """Add ids and attributes, in an order of their own, so that equal content gives equal bytes."""
    for name in sorted(attributes):
        file.attrs[name] = attributes[name]
    encoded = [image_id.encode() for image_id in image_ids]
    strings = h5py.string_dtype("utf-8", length=max(map(len, encoded)))
    file.create_dataset(IDS, data=np.array(encoded).astype(strings), track_times=False)


def complete(path: Path) -> None:
    """Say of a store with ids that all of it is there; once more changes nothing."""
    with _open_to_write(path, "r+") as file:
        file.attrs.modify("complete", True)


def _open_to_write(path: Path, mode: str) -> h5py.File:
    try:
        return h5py.File(path, mode)
    except OSError as error:
        advice = f"; {LOCKING_ADVICE}" if "unable to lock" in str(error) else ""
        raise JobFailedError(f"{path} cannot be written ({error}){advice}") from error


def copy_rows(
    sources: Sequence[Source], target: Path, places: RowPlaces, *, spec: PackSpec, entries: Sequence[Entry]
) -> None:
    """Write the rows of all sources one after the other into a store, in its own element type, with their checksums.

    Args:
        sources: Rows to copy.
        target: Store to write.
        places: Where in it the rows go.
        spec: Form of the rows.
        entries: What was packed, in the order of the rows.

    Raises:
        JobFailedError: Rows are not as they were packed: copied, they would get a valid checksum.
    """
    dtype, checksums, damaged = np.dtype(_STORED[spec.dtype]), [], []
    expected = iter(entries)
    with target.open("r+b") as written:
        written.seek(places.pixels)
        for source in sources:
            for rows in _blocks(source):
                rows.astype(dtype, copy=False).tofile(written)
                for row, entry in zip(rows.astype(np.uint8, copy=False), expected, strict=False):
                    checksums.append(zlib.crc32(row))
                    if hashlib.sha256(row).hexdigest() != entry.sha256:
                        damaged.append((entry.image_id, source.path))
        if damaged:
            named = ", ".join(image_id for image_id, _ in damaged[:_NAMED])
            raise JobFailedError(
                f"{damaged[0][1]}: {len(damaged):,} of {len(entries):,} rows are not as they were packed: {named}; "
                "delete that file and its journal, and preprocess again; and look at that disk"
            )
        if places.checksums is not None:
            written.seek(places.checksums)
            np.array(checksums, _CHECKSUM).tofile(written)


def _blocks(source: Source) -> Iterator[UInt8[np.ndarray, "n r r"] | Float32[np.ndarray, "n r r"]]:
    """Yield the rows of a source in order, some at a time."""
    dtype, size = np.dtype(source.dtype), source.side**2
    with source.path.open("rb") as file:
        for first, last in runs(source.rows):
            file.seek(source.offset + first * size * dtype.itemsize)
            for row in range(first, last + 1, _COPIED_ROWS):
                block = np.fromfile(file, dtype, size * min(_COPIED_ROWS, last + 1 - row))
                yield block.reshape(-1, source.side, source.side)


def read_row(source: Source, row: int) -> UInt8[np.ndarray, "r r"]:
    """Return the pixels of one row."""
    dtype, size = np.dtype(source.dtype), source.side**2
    pixels = np.fromfile(source.path, dtype, size, offset=source.offset + row * size * dtype.itemsize)
    return pixels.astype(np.uint8).reshape(source.side, source.side)


def runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of every stretch of consecutive rows."""
    breaks = [place for place, (row, following) in enumerate(pairwise(rows)) if following != row + 1]
    starts = [0, *(place + 1 for place in breaks)]
    ends = [*breaks, len(rows) - 1]
    yield from ((rows[start], rows[end]) for start, end in zip(starts, ends, strict=True))
