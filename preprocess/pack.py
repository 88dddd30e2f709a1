"""Images to rows of one HDF5 file: decoded in worker processes, written by them, and complete or not there at all.

Every image has its row from the start, so each worker writes its own rows at the pixels' offset in the file and nothing
passes through one writer. That is also what a later resume needs: a row, once written, stays where it is. Images that
turn out to be unreadable leave holes, which are closed by copying before the file is called complete.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import h5py
import numpy as np
from tqdm import tqdm

from atomic import write_whole
from cohort.store import FORMAT_VERSION, IDS, IMAGES
from preprocess.decode import SixteenBitRule, UnreadableImageError, read_image
from preprocess.resize import RESIZE_RULE, fit_to_square

Dtype = Literal["uint8", "float32"]

# A process takes longer to start than these many images to decode.
_IMAGES_PER_WORKER = 16
_COPIED_AT_ONCE = 64 * 2**20


class JobFailedError(RuntimeError):
    """The job was asked for correctly but could not be done."""


class Failure(NamedTuple):
    """Why an image has no row."""

    reason: str
    """The same words for all images with this fault."""
    detail: str
    """What is known about this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSpec:
    """How pixels are stored, apart from which."""

    resolution: int = 320
    """Side of the square rows, pixels."""
    dtype: Dtype = "uint8"
    """Grey levels 0..255 as bytes, or as float32, which is what CheXzero's training reads."""
    sixteen_bit: SixteenBitRule = "window"
    """How 16-bit files become 8-bit, see `decode.to_eight_bits`."""
    with_ids: bool = True
    """False writes the pixels only, without ids and attributes: CheXzero's own layout."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.resolution**2 * np.dtype(self.dtype).itemsize


def available_workers() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pack_images(
    path: Path,
    *,
    image_ids: Sequence[str],
    image_paths: Sequence[str],
    spec: PackSpec,
    fingerprint: str,
    workers: int = 1,
    tolerated_failures: int = 0,
) -> list[Failure | None]:
    """Write an image store and return for each image why it has no row, None where it has one.

    Rows are the readable images in the order given. The file's bytes do not depend on `workers`.

    Args:
        path: The file; overwritten, and of no use if this function raises, so pass a temporary name.
        image_ids: Ids, one per image.
        image_paths: Files, one per image.
        spec: Form of the rows.
        fingerprint: Identifies the archive; noted in the file.
        workers: Processes that decode. 1 decodes in this one.
        tolerated_failures: More unreadable images than these stop the job at once.

    Raises:
        ValueError: No images.
        JobFailedError: Too many unreadable images, none readable, too small a disk, or a worker that died.
        OSError: The disk fails.
    """
    if not image_paths:
        raise ValueError("packing: no images to pack.")
    _refuse_small_disk(path, len(image_paths) * spec.row_bytes)
    offset = _create(path, n_rows=len(image_paths), spec=spec)
    tasks = list(enumerate(image_paths))
    outcomes: list[Failure | None] = []
    n_failed = 0
    with _progress(partial(_pack_row, path, offset, spec), tasks, workers) as (results, bar):
        for failure in results:
            outcomes.append(failure)
            if failure is not None:
                n_failed += 1
                bar.set_postfix(failures=n_failed)
            if failure is not None and n_failed > tolerated_failures:
                raise JobFailedError(
                    f"{n_failed} of {len(tasks)} images could not be read, {tolerated_failures} are tolerated "
                    f"(--max_failed_share). The last one: {failure.detail}"
                )
    kept = [row for row, failure in enumerate(outcomes) if failure is None]
    if not kept:
        raise JobFailedError(f"none of {len(tasks)} images could be read. The last one: {outcomes[-1]}")
    if n_failed:
        _close_holes(path, offset, kept, spec)
    if spec.with_ids:
        _describe(path, [image_ids[row] for row in kept], spec=spec, fingerprint=fingerprint)
    return outcomes


def _pack_row(path: Path, offset: int, spec: PackSpec, task: tuple[int, str]) -> Failure | None:
    """Decode one image into its row; only a bad image is a result, a bad disk is an error."""
    row, image_path = task
    try:
        pixels = fit_to_square(read_image(image_path, sixteen_bit=spec.sixteen_bit), spec.resolution)
    except UnreadableImageError as error:
        return Failure(error.reason, str(error))
    with path.open("r+b") as file:
        file.seek(offset + row * spec.row_bytes)
        file.write(pixels.astype(_little_endian(spec)).tobytes())
    return None


@contextmanager
def _progress(
    pack: "partial[Failure | None]", tasks: Sequence[tuple[int, str]], workers: int
) -> "Iterator[tuple[Iterator[Failure | None], tqdm[Failure | None]]]":
    """Yield the results in the order of the tasks, and the progress bar they move."""
    n_processes = min(workers, -(-len(tasks) // _IMAGES_PER_WORKER))
    if n_processes <= 1:
        with tqdm(map(pack, tasks), total=len(tasks), unit="image", desc="images", disable=None) as bar:
            yield iter(bar), bar
        return
    # A fresh interpreter per worker: forking copies locks that other threads of this process may hold.
    pool = ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"))
    try:
        results = pool.map(pack, tasks, chunksize=_IMAGES_PER_WORKER)
        with tqdm(results, total=len(tasks), unit="image", desc=f"images, {n_processes} workers", disable=None) as bar:
            yield iter(bar), bar
    except BrokenProcessPool as error:
        raise JobFailedError(
            "a worker process died while decoding, most often for lack of memory. Try fewer --workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _refuse_small_disk(path: Path, needed: int) -> None:
    """Fail now rather than after hours: the file has holes at first, so creating it proves nothing."""
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise JobFailedError(
            f"{path.parent} has {free / 1e9:.1f} GB free, the images need {needed / 1e9:.1f} GB. Free some, choose "
            "another --cxr_out_path, or a smaller --resolution."
        )


def _little_endian(spec: PackSpec) -> str:
    return "|u1" if spec.dtype == "uint8" else "<f4"


def _create(path: Path, *, n_rows: int, spec: PackSpec) -> int:
    """Create the file with room for all rows and return where in it the pixels begin.

    Contiguous and allocated now, so that rows can be written, and later memory-mapped, at a fixed place; never filled,
    because every row is written anyway. Incomplete until `_describe` says otherwise.
    """
    shape = (n_rows, spec.resolution, spec.resolution)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    with h5py.File(path, "w") as file:
        if spec.with_ids:
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["complete"] = False
        element = h5py.h5t.py_create(np.dtype(_little_endian(spec)))
        pixels = h5py.h5d.create(file.id, IMAGES.encode(), element, h5py.h5s.create_simple(shape), dcpl=layout)
        offset: int = pixels.get_offset()
    return offset


def _close_holes(path: Path, offset: int, kept: Sequence[int], spec: PackSpec) -> None:
    """Replace the file by one that has the kept rows only.

    HDF5 cannot shorten a contiguous dataset in place. The copy runs only when an image failed.
    """
    with write_whole(path) as smaller:
        new_offset = _create(smaller, n_rows=len(kept), spec=spec)
        with path.open("rb") as source, smaller.open("r+b") as target:
            target.seek(new_offset)
            for first, last in _runs(kept):
                source.seek(offset + first * spec.row_bytes)
                _copy(source, target, (last - first + 1) * spec.row_bytes)


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of every stretch of consecutive rows."""
    breaks = [place for place, (row, following) in enumerate(pairwise(rows)) if following != row + 1]
    starts = [0, *(place + 1 for place in breaks)]
    ends = [*breaks, len(rows) - 1]
    yield from ((rows[start], rows[end]) for start, end in zip(starts, ends, strict=True))


def _copy(source: BinaryIO, target: BinaryIO, n_bytes: int) -> None:
    while n_bytes > 0:
        block = source.read(min(n_bytes, _COPIED_AT_ONCE))
        target.write(block)
        n_bytes -= len(block)


def _describe(path: Path, image_ids: Sequence[str], *, spec: PackSpec, fingerprint: str) -> None:
    """Add ids and attributes; the last of them says that the file is complete."""
    encoded = [image_id.encode() for image_id in image_ids]
    with h5py.File(path, "r+") as file:
        strings = h5py.string_dtype("utf-8", length=max(map(len, encoded)))
        file.create_dataset(IDS, data=np.array(encoded).astype(strings), track_times=False)
        file.attrs["resolution"] = spec.resolution
        file.attrs["resize_rule"] = RESIZE_RULE
        file.attrs["archive_fingerprint"] = fingerprint
        file.attrs["complete"] = True
