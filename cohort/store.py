"""The image store: one HDF5 file with all resized images, read by row or by image id.

Format 1: `/cxr` uint8 (n, r, r), contiguous and allocated when created; `/image_id` (n,) strings; `/crc32` (n,), the
CRC-32 of every row's grey levels, absent in files of earlier versions; attributes of the file `format_version`,
`resolution`, `resize_rule`, `archive_fingerprint` and `complete`. Contiguous pixels are mapped into memory at their
place in the file, which costs no handle and survives a fork. Files of other layouts are read through h5py, opened anew
in every process.

A row is compared with its checksum when a process reads it for the first time, some rows when the file is opened: a
disk that lost a part of the file returns black rows without an error.
"""

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt32

from cohort._csv import refuse_repeated, some

IMAGES = "cxr"
IDS = "image_id"
CHECKSUMS = "crc32"
FORMAT_VERSION = 1
ADVICE = "Run preprocess_train_data.py again."
LOCKING_ADVICE = "on file systems without locks, set the environment variable HDF5_USE_FILE_LOCKING=FALSE"
_PROBED_ROWS = 8
_CHECKED_ROWS = 64
"""Rows compared with their checksums when a store is opened: a few milliseconds"""


def open_images(path: Path | str, *, check: bool = True) -> "ImageStore":
    """Open an image store of ours, or a `cxr.h5` of CheXzero, for reading.

    Args:
        path: The file.
        check: Compare rows with their checksums, when opening and on their first reading.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not HDF5, cut short, left incomplete by its writer, of a later format, without the dataset `cxr` of
            shape (n, r, r), with repeated ids, with rows that are not as they were packed, or a file of CheXzero in
            which every image failed or whose values are no grey levels.
    """
    return ImageStore(path, check=check)


class ImageStore:
    """Images in rows. Safe to hand to worker processes: each opens the file for itself on first use.

    Attributes:
        path: The file.
        image_ids: Id of each row; None in files of CheXzero, which have none.
        resolution: Side r of the square images, pixels.
        attributes: What the writer noted on the file; empty for CheXzero.
    """

    def __init__(self, path: Path | str, *, check: bool = True) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"the image store: wanted {self.path}, found none. {ADVICE}")
        try:
            with h5py.File(self.path, "r") as file:
                self._describe(file)
        except OSError as error:
            if "unable to lock" in str(error):
                raise ValueError(
                    f"the image store: {self.path} cannot be locked ({error}); {LOCKING_ADVICE}"
                ) from error
            raise ValueError(f"the image store: {self.path} is no readable HDF5 file ({error}). {ADVICE}") from error
        self._pixels: Any = None
        self._process = 0
        self._rows_by_id: dict[str, int] | None = None
        self._checked = np.full(len(self), not check)
        if self._checksums is None:
            self._refuse_black()
        else:
            self.read(self._spread_rows(_CHECKED_ROWS))

    def _describe(self, file: h5py.File) -> None:
        self.attributes: dict[str, Any] = {name: _plain(value) for name, value in file.attrs.items()}
        self._refuse_incomplete()
        if IMAGES not in file:
            raise ValueError(f"the image store: {self.path} has no dataset {IMAGES!r}; found {some(file)}. {ADVICE}")
        images = file[IMAGES]
        shape, dtype = images.shape, images.dtype
        if len(shape) != 3 or shape[1] != shape[2] or dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"the image store: wanted {IMAGES!r} of shape (n, r, r) in uint8 or float32, "
                f"found {shape} in {dtype} in {self.path}. {ADVICE}"
            )
        # HDF5 returns zeros for what was never written: a file of failures looks like a file of black images.
        if shape[0] == 0 or images.id.get_storage_size() == 0:
            raise ValueError(f"the image store: {self.path} holds no pixels ({shape[0]} rows declared). {ADVICE}")
        self._shape: tuple[int, int, int] = shape
        self._dtype = dtype
        self._offset: int | None = images.id.get_offset()
        self.resolution = int(shape[1])
        self.image_ids = self._read_ids(file)
        self._checksums: UInt32[np.ndarray, "n"] | None = self._read_checksums(file)

    def _refuse_incomplete(self) -> None:
        version = self.attributes.get("format_version")
        if version is None:
            return
        if version > FORMAT_VERSION:
            raise ValueError(
                f"the image store: {self.path} has format {version}, this program reads up to {FORMAT_VERSION}; "
                "update the program"
            )
        if not self.attributes.get("complete", False):
            raise ValueError(f"the image store: {self.path} is incomplete: the job writing it was stopped. {ADVICE}")

    def _read_ids(self, file: h5py.File) -> list[str] | None:
        if IDS not in file:
            if "format_version" in self.attributes:
                raise ValueError(f"the image store: {self.path} has no dataset {IDS!r}. {ADVICE}")
            return None
        ids: list[str] = file[IDS].asstr()[:].tolist()
        if len(ids) != self._shape[0]:
            raise ValueError(f"the image store: {self.path} has {self._shape[0]} images but {len(ids)} ids. {ADVICE}")
        refuse_repeated(ids, what=f"the image store {self.path}, {IDS}", advice=ADVICE)
        return ids

    def _read_checksums(self, file: h5py.File) -> UInt32[np.ndarray, "n"] | None:
        if CHECKSUMS not in file or "format_version" not in self.attributes:
            return None
        checksums: np.ndarray = file[CHECKSUMS][:].astype(np.uint32)
        if checksums.shape != self._shape[:1]:
            raise ValueError(
                f"the image store: {self.path} has {self._shape[0]} images but {len(checksums)} checksums; {ADVICE}"
            )
        return checksums

    def _spread_rows(self, limit: int) -> Int[np.ndarray, "n"]:
        """Return up to `limit` rows from the first to the last at equal distances."""
        return np.unique(np.linspace(0, len(self) - 1, min(len(self), limit)).astype(np.int64))

    def _refuse_black(self) -> None:
        if "format_version" in self.attributes:
            return
        rows = self._spread_rows(_PROBED_ROWS)
        if not self.read(rows).any():
            raise ValueError(
                f"the image store: {self.path} holds black images only ({len(rows)} of {len(self)} looked at); "
                "CheXzero writes such files when every image failed to load; preprocess again"
            )

    def __len__(self) -> int:
        return self._shape[0]

    def rows(self, image_ids: Sequence[str]) -> Int[np.ndarray, "n"]:
        """Return the row of each id.

        Raises:
            ValueError: The file has no ids, or lacks some of those asked for; the first are named.
        """
        if self.image_ids is None:
            raise ValueError(f"the image store: {self.path} has no image ids (a file of CheXzero); use row numbers")
        if self._rows_by_id is None:
            self._rows_by_id = {image_id: row for row, image_id in enumerate(self.image_ids)}
        missing = [image_id for image_id in image_ids if image_id not in self._rows_by_id]
        if missing:
            raise ValueError(
                f"the image store: {len(missing)} of {len(image_ids)} ids are not in {self.path}: {some(missing)}; "
                "do the cohort and the store come from the same run?"
            )
        return np.array([self._rows_by_id[image_id] for image_id in image_ids], dtype=np.int64)

    def read(self, rows: Sequence[int] | Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n r r"]:
        """Return the images of `rows`, which may be in any order and repeat, grey levels 0..255.

        Raises:
            IndexError: A row below 0 or beyond the end.
            ValueError: A float32 file holds something else than whole grey levels, or a compressed row cannot be read.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(
                f"the image store: rows {wanted.min()}..{wanted.max()} asked, {self.path} has 0..{len(self) - 1}."
            )
        pixels = self._open()
        if isinstance(pixels, h5py.Dataset):
            # One by one: a list of rows takes h5py a hundred times as long on a dataset in chunks.
            block = np.empty((len(wanted), *self._shape[1:]), self._dtype)
            try:
                for place, row in enumerate(wanted):
                    pixels.read_direct(block, np.s_[row], np.s_[place])
            except OSError as error:
                advice = "Rows compressed by zstd need the package hdf5plugin: pip install hdf5plugin."
                raise ValueError(f"the image store: {self.path}: a row cannot be read ({error}). {advice}") from error
        else:
            block = pixels[wanted]
        levels = block if block.dtype == np.uint8 else self._grey_levels(block)
        self._refuse_damaged(levels, wanted)
        return levels

    def may_be_constant(self, rows: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """Return False for rows that have more than one grey level, by their checksums; without these, True for all."""
        if self._checksums is None:
            return np.ones(len(rows), dtype=bool)
        of_constant = [zlib.crc32(bytes([level]) * self.resolution**2) for level in range(256)]
        return np.isin(self._checksums[rows], of_constant)

    def _refuse_damaged(self, levels: UInt8[np.ndarray, "n r r"], rows: Int[np.ndarray, "n"]) -> None:
        """Compare rows with their checksums, each once in a process."""
        if self._checksums is None:
            return
        new = np.flatnonzero(~self._checked[rows])
        expected = self._checksums[rows]
        damaged = sorted({int(rows[place]) for place in new if zlib.crc32(levels[place]) != expected[place]})
        if damaged:
            names = damaged if self.image_ids is None else [self.image_ids[row] for row in damaged]
            raise ValueError(
                f"the image store: {self.path}: {len(damaged)} of {len(new)} rows read are not as they were packed: "
                f"{some(names)}; find all with preprocess_train_data.py verify; delete the store and its journal and "
                "preprocess again; and look at that disk"
            )
        self._checked[rows] = True

    def _grey_levels(self, block: np.ndarray) -> UInt8[np.ndarray, "n r r"]:
        with np.errstate(invalid="ignore"):
            levels = block.astype(np.uint8)
        if not np.array_equal(levels, block):
            raise ValueError(
                f"the image store: {self.path} holds values from {np.nanmin(block):g} to {np.nanmax(block):g}; "
                "wanted whole grey levels 0..255, before any normalisation"
            )
        return levels

    def _open(self) -> Any:
        if self._pixels is None or self._process != os.getpid():
            if self._offset is None:
                zstd_filter()
                self._pixels = h5py.File(self.path, "r")[IMAGES]
            else:
                self._pixels = np.memmap(self.path, self._dtype, "r", self._offset, self._shape)
            self._process = os.getpid()
        return self._pixels

    def close(self) -> None:
        """Let go of the file; a later `read` opens it again."""
        if isinstance(self._pixels, h5py.Dataset) and self._process == os.getpid():
            self._pixels.file.close()
        self._pixels = None

    def __enter__(self) -> "ImageStore":  # noqa: PYI034 (the run-time check of shapes knows no Self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}


def zstd_filter() -> Callable[..., Mapping[str, Any]] | None:
    """Return what makes and reads zstd chunks, None without the package hdf5plugin.

    Importing that package is what makes them readable for h5py.
    """
    try:
        zstd: Callable[..., Mapping[str, Any]] = import_module("hdf5plugin").Zstd
    except ImportError:
        return None
    return zstd


def _plain(value: Any) -> Any:
    """Return a numpy scalar of an HDF5 attribute as the Python value it stands for."""
    return value.item() if isinstance(value, np.generic) else value
