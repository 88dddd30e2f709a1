"""The files behind a table of images: which exist, which are missing, which lie elsewhere, and which are unlisted."""
# ruff: noqa: PTH100, PTH118, PTH120, PTH122, PTH208  (hundreds of thousands of paths, which are compared as strings)

import os
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from preprocess.pixels.decode import CANNOT_BE_READ

MISSING = "image file is missing"
LEADS_OUT = "image is a link out of the archive"
UNLISTED = "image file that the archive's tables do not list"

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom"})


class FileState(NamedTuple):
    """What can be said of a file without opening it."""

    n_bytes: int
    """Size of the file, or of the file that a link leads to"""
    modified_ns: int
    """Modification time of its content, nanoseconds since 1970"""
    changed_ns: int
    """Time at which the file system last noted any change of the file or link; programs cannot set it"""
    reason: str
    """Why the file cannot be used; empty if it can"""


def look_up(paths: Sequence[str], *, follow_links: bool) -> list[FileState]:
    """Return the state of every file.

    Args:
        paths: Files of one archive.
        follow_links: Accept links that lead out of the archive, which is the folder that all paths have in common (it
            may itself be a link). Without, a table from somewhere else could make other files of this machine rows.
    """
    if not paths:
        return []
    root = os.path.realpath(_common_folder(paths))
    real_folder = lru_cache(maxsize=None)(os.path.realpath)

    def state(path: str) -> FileState:
        try:
            itself, found = Path(path).lstat(), Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return FileState(0, 0, 0, MISSING)
        except OSError:
            return FileState(0, 0, 0, CANNOT_BE_READ)
        folder, name = os.path.split(path)
        real = os.path.realpath(path) if stat.S_ISLNK(itself.st_mode) else os.path.join(real_folder(folder), name)
        inside = os.path.commonpath([root, real]) == root
        reason = "" if inside or follow_links else LEADS_OUT
        # A link that leads elsewhere now was made anew.
        changed_ns = max(itself.st_ctime_ns, found.st_ctime_ns)
        return FileState(found.st_size, found.st_mtime_ns, changed_ns, reason)

    return [state(path) for path in paths]


def unlisted(paths: Sequence[str], *, whole_tree: bool) -> Iterator[str]:
    """Yield the image files that lie among those listed but are not.

    Args:
        paths: The files listed.
        whole_tree: Look in every folder below the one that all paths have in common; else only in folders that hold a
            listed file, for tables that list a few files of a large tree.
    """
    listed = set(paths)
    if not listed:
        return
    folders = {os.path.dirname(path) for path in listed}
    within = os.walk(_common_folder(paths)) if whole_tree else ((one, [], _names(one)) for one in sorted(folders))
    for folder, _, names in within:
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.splitext(name)[1].lower() in _SUFFIXES and path not in listed:
                yield path


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _common_folder(paths: Sequence[str]) -> str:
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # Absolute and relative paths in one table.
        return os.path.abspath(os.sep)
