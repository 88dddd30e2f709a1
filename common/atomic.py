"""Files written whole or not at all: temporary name in the same folder, fsync, rename."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4


@contextmanager
def write_whole(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, on any error removed.

    The temporary name keeps the suffix of `path`, because writers such as pandas choose a format by it.

    Raises:
        OSError: The disk is full or fails; the error names `path`.
        Whatever else the caller's block raises, after the temporary file is gone. `path` is then as it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid4().hex[:8]}{path.suffix}")
    try:
        mode = _usual_mode(temporary)
        yield temporary
        temporary.chmod(mode)  # some writers, such as safetensors, make files that only their owner can read
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        _name_file(error, path, temporary)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _usual_mode(path: Path) -> int:
    """Return the mode that a new file of this process gets, by its umask; `path` is gone again afterwards."""
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode


def _name_file(error: OSError, path: Path, temporary: Path) -> None:
    """Let an error about writing, such as a full disk, name the file that was wanted."""
    if error.errno is not None and error.filename in (None, str(temporary), temporary):
        error.filename = str(path)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path | str, table: Any) -> None:
    """Write a pandas table as CSV without its index, whole or not at all."""
    with write_whole(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON. NaN and infinities are refused: an undefined number is `None` with a reason."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
