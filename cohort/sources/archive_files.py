"""The files of an archive as it was unpacked: which table is where, which image is where, and what is missing."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cohort._csv import some
from cohort.flow import Flow

TABLE_DEPTH = 3
"""How far below the named folder tables are looked for."""

_OF_ONE_PATIENT = re.compile(r"(patient|study|p|s)\d+|\d+(\.\d+)+")
"""Folders of patients, studies and DICOM series, of which there are tens of thousands: no table lies in them."""

MARK_OF_SIMULATION = "scenario.json"
"""Lies in every folder that `phantom/` writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFiles:
    """What the messages about an archive need to say."""

    name: str
    """As its authors call it."""
    dataset: str
    """The word in the cohort's column `dataset`."""
    access: str
    """Where to apply for it or to download it."""


def archive_root(root: Path | str, archive: ArchiveFiles) -> Path:
    """Return the folder of an archive.

    Raises:
        FileNotFoundError: No such folder; the message says where to get the archive.
    """
    if not Path(root).is_dir():
        raise FileNotFoundError(
            f"{archive.name}: wanted its folder, found none at {root}; it is available at {archive.access}"
        )
    return Path(root)


def table_below(root: Path, *names: str, depth: int = TABLE_DEPTH) -> Path | None:
    """Return the first of the tables `names`, plain or with ".gz", in `root` or `depth` folders below, or None."""
    folders = [root, *_folders(root, depth)]
    candidates = (folder / f"{name}{end}" for name in names for folder in folders for end in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def needed_table(root: Path, *names: str, archive: ArchiveFiles) -> Path:
    """Return `table_below`.

    Raises:
        FileNotFoundError: None of the tables is there.
    """
    found = table_below(root, *names)
    if found is None:
        raise FileNotFoundError(
            f"{archive.name}: wanted {' or '.join(names)} in {root} or below, found none; unpack the archive as it is "
            f"distributed ({archive.access})"
        )
    return found


def source_of(root: Path) -> str:
    """Return "phantom" for a folder inside a simulated archive, else "real"."""
    above = (root.resolve(), *root.resolve().parents)
    return "phantom" if any((folder / MARK_OF_SIMULATION).is_file() for folder in above) else "real"


def image_files(root: Path, suffixes: Sequence[str]) -> pd.Series:
    """Return the path of every file below `root` that ends in one of `suffixes`, indexed by file name.

    Archives are unpacked in many ways (`images_001/images/`, `0/`, all in one folder), but their file names are unique.
    Where a name is there twice, both paths are returned. Linked folders are followed, none of them twice.
    """
    found = [
        (entry.name, entry.path) for entry in _entries(root, seen=set()) if entry.name.lower().endswith(tuple(suffixes))
    ]
    names, paths = zip(*sorted(found), strict=True) if found else ((), ())
    return pd.Series(paths, index=pd.Index(names, dtype=str), dtype=str)


def add_paths(
    frame: pd.DataFrame,
    names: pd.Series,
    files: pd.Series,
    *,
    root: Path,
    archive: ArchiveFiles,
    flow: Flow,
    check: bool,
) -> pd.DataFrame:
    """Return the images with `path`; those without a file are left out, or kept under a path below `root`.

    Counted in the flow are also the files that no table lists, and names that two files have: the first path is taken.

    Args:
        frame: The images that the tables list, (n,).
        names: File name of each image, (n,).
        files: `image_files`.
        root: Folder of the archive.
        archive: For the messages.
        flow: Receives the counts.
        check: Leave out images without a file.

    Raises:
        FileNotFoundError: `check`, and not one image has a file.
    """
    first = files[~files.index.duplicated()]
    extra = int((~first.index.isin(names)).sum())
    flow.note(frame, "image files that no table lists", rows=extra)
    flow.note(frame, "file names that occur twice: the first path is taken", rows=len(files) - len(first), fault=True)
    paths = names.map(first)
    there = paths.notna()
    frame = frame.assign(path=paths.where(there, f"{root}{os.sep}" + names))
    return _keep(frame, there, flow, archive) if check else frame


def keep_existing(frame: pd.DataFrame, flow: Flow, *, archive: ArchiveFiles) -> pd.DataFrame:
    """Return the images whose `path` exists, for archives whose tables name the whole path.

    Raises:
        FileNotFoundError: Not one image exists.
    """
    return _keep(frame, frame["path"].map(os.path.isfile).astype(bool), flow, archive)


def _keep(frame: pd.DataFrame, there: pd.Series, flow: Flow, archive: ArchiveFiles) -> pd.DataFrame:
    kept = flow.keep(frame, there, "image file not in the archive")
    if kept.empty:
        raise FileNotFoundError(
            f"{archive.name}: not one of the {len(frame)} images that the tables list is there; looked for "
            f"{some(frame['path'], 3)}; are the images unpacked?"
        )
    return kept


def _folders(root: Path, depth: int) -> Iterator[Path]:
    if depth == 0:
        return
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith(".") and not _OF_ONE_PATIENT.fullmatch(entry.name):
            yield Path(entry.path)
            yield from _folders(Path(entry.path), depth - 1)


def _entries(folder: Path | str, *, seen: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]]:
    """Yield the files below `folder`; a link back to a folder above would otherwise go round for ever."""
    status = os.stat(folder)  # noqa: PTH116 - a DirEntry's own stat would be that of the link
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _entries(entry.path, seen=seen)
            elif not entry.name.startswith("."):
                yield entry
