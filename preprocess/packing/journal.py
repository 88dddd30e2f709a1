"""What became of every image, one line of JSON each: written while rows are packed, kept beside the finished store.

A line is written after its row is safely on the disk, in one call, at the end of the file. So whatever a crash leaves,
every whole line is true, and at most the last line is torn.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from common.atomic import write_text
from preprocess.pixels.decode import CANNOT_BE_READ

FORMAT = 1

_STARTED = "started"


class ImageToPack(NamedTuple):
    """One image to pack; if any of the fields changes, its row is made again."""

    image_id: str
    path: str
    """Absolute path of its file"""
    n_bytes: int
    """Size of the file"""
    modified_ns: int
    """Modification time of the file's content, nanoseconds since 1970"""
    changed_ns: int
    """Time at which the file system last noted any change of the file: a restored modification time does not hide it"""

    @classmethod
    def of_file(cls, image_id: str, path: Path) -> "ImageToPack":
        """Return the image of a file that is there."""
        found = path.stat()
        return cls(image_id, str(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What became of one image."""

    image_id: str
    """Id of the image."""
    path: str = ""
    """See `ImageToPack`; empty in journals of earlier versions, whose images are read again"""
    n_bytes: int
    """See `ImageToPack`"""
    modified_ns: int = 0
    """See `ImageToPack`"""
    changed_ns: int = 0
    """See `ImageToPack`"""
    sha256: str = ""
    """Of the row's grey levels, one byte each, in hexadecimal; empty when the image has no row."""
    flags: tuple[str, ...] = ()
    """See `quality.flags`."""
    reason: str = ""
    """Why the image has no row, in the same words for all images with this fault; empty when it has one."""
    detail: str = ""
    """The reason and what is known about this one image."""

    @property
    def image(self) -> ImageToPack:
        """The image and the state of its file when it was read."""
        return ImageToPack(self.image_id, self.path, self.n_bytes, self.modified_ns, self.changed_ns)


@dataclass(slots=True)
class Journal:
    """The content of a journal that is being written."""

    entries: dict[str, Entry] = field(default_factory=dict)
    """Image id -> what became of it."""
    starts: Counter[str] = field(default_factory=Counter)
    """Image id -> how often its decoding began."""


class Writer:
    """Appends to a journal. Lines of several processes do not mix: each is one write to a file opened for appending."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # Ends the line that a crash tore.

    def started(self, image_id: str) -> None:
        """Note that an image is about to be decoded, so that one that kills its process is known afterwards."""
        os.write(self._file, json.dumps({_STARTED: image_id}).encode() + b"\n")

    def add(self, entry: Entry) -> None:
        """Note what became of an image."""
        os.write(self._file, _line(entry))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def read_journal(path: Path) -> Journal:
    """Return what a journal says; torn lines are passed over, and a file that is not there says nothing.

    Images that could not be read for lack of a right or of a working disk are left out: it may have come back.
    """
    journal = Journal()
    if not path.exists():
        return journal
    for line in path.read_bytes().splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if _STARTED in fields:
            journal.starts[fields[_STARTED]] += 1
            continue
        entry = _entry(fields)
        journal.starts[entry.image_id] = 0
        if entry.reason != CANNOT_BE_READ:
            journal.entries[entry.image_id] = entry
    return journal


def write_finished(path: Path, header: dict[str, Any], entries: Iterable[Entry]) -> None:
    """Write the journal of a finished store: a header, the rows in order, then the images without one."""
    first = json.dumps({"format": FORMAT, **header}) + "\n"
    write_text(path, first + b"".join(_line(entry) for entry in entries).decode())


def read_finished(path: Path) -> tuple[dict[str, Any], list[Entry]]:
    """Return header and entries of the journal of a finished store.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a journal, or damaged.
    """
    try:
        first, *lines = path.read_bytes().splitlines()
        header, entries = json.loads(first), [_entry(json.loads(line)) for line in lines]
        version = header.pop("format")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the journal: {path} cannot be read ({error}); preprocess again") from error
    if version != FORMAT:
        raise ValueError(f"the journal: {path} has format {version}, this program reads {FORMAT}")
    return header, entries


def rows_of(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that have a row; in a finished journal, in row order."""
    return [entry for entry in entries if not entry.reason]


def _line(entry: Entry) -> bytes:
    filled = {name: value for name, value in asdict(entry).items() if value not in {"", ()}}
    return json.dumps(filled, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def _entry(fields: dict[str, Any]) -> Entry:
    return Entry(**{**fields, "flags": tuple(fields.get("flags", ()))})
