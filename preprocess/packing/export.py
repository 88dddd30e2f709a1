"""`preprocess_train_data.py export`: a store in another layout, compressed for transport or unpacked again."""

import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cohort import open_images
from cohort.store import IMAGES, ImageStore, zstd_filter
from common.atomic import write_whole
from common.progress import progress
from preprocess.packing.partial import journal_of
from preprocess.packing.store_layout import create_checksums, create_pixels, describe
from preprocess.preprocess_config import Compression, Dtype, ExportConfig

_ZSTD_LEVEL, _GZIP_LEVEL = 3, 1
_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSummary:
    """What was written."""

    out: Path
    """The file."""
    compression: Compression
    """What was taken."""
    n_rows: int
    """Rows."""
    n_bytes: int
    """Size of the file."""


def export(config: ExportConfig) -> ExportSummary:
    """Write the copy, and the journal beside it, whole or not at all.

    A compressed file has one chunk per row, so that a row can be read without unpacking others.

    Raises:
        FileNotFoundError: No store.
        ValueError: A store that `cohort.open_images` refuses, the same file for both, or a file in its place.
        OSError: The disk fails.
    """
    if config.out.absolute() == config.cxr_filepath.absolute():
        raise ValueError(f"export: wanted another file than the store itself as --out, found {config.out}")
    if config.out.exists() and not config.overwrite:
        raise ValueError(f"--out: wanted a new file, found {config.out}; name another, or replace it with --overwrite")
    compression = config.compression
    if compression == "zstd" and zstd_filter() is None:
        compression = "gzip"
    with open_images(config.cxr_filepath) as store, write_whole(config.out) as temporary:
        _copy(store, temporary, config.dtype, compression)
    if journal_of(config.cxr_filepath).is_file():
        with write_whole(journal_of(config.out)) as temporary:
            shutil.copyfile(journal_of(config.cxr_filepath), temporary)
    return ExportSummary(out=config.out, compression=compression, n_rows=len(store), n_bytes=config.out.stat().st_size)


def _copy(store: ImageStore, path: Path, dtype: Dtype, compression: Compression) -> None:
    with h5py.File(path, "w") as file:
        if store.image_ids is not None:
            describe(file, store.image_ids, store.attributes)
            # Stores of earlier versions have no checksums: the copy gets those of what is read.
            checksums = h5py.Dataset(create_checksums(file, len(store)))
        pixels = _pixels(file, store, dtype, compression)
        for first in progress(range(0, len(store), _ROWS_AT_ONCE), unit_scale=_ROWS_AT_ONCE, unit="row", desc="export"):
            rows = np.arange(first, min(first + _ROWS_AT_ONCE, len(store)))
            block = store.read(rows)
            pixels[first : first + len(rows)] = block
            if store.image_ids is not None:
                checksums[first : first + len(rows)] = [zlib.crc32(row) for row in block]


def _pixels(file: h5py.File, store: ImageStore, dtype: Dtype, compression: Compression) -> h5py.Dataset:
    shape = (len(store), store.resolution, store.resolution)
    if compression == "none":
        return h5py.Dataset(create_pixels(file, shape, dtype))
    options: Mapping[str, Any] = {"compression": "gzip", "compression_opts": _GZIP_LEVEL}
    zstd = zstd_filter()
    if compression == "zstd" and zstd is not None:
        options = zstd(clevel=_ZSTD_LEVEL)
    return file.create_dataset(IMAGES, shape, np.dtype(dtype), chunks=(1, *shape[1:]), track_times=False, **options)
