"""Progress of a long job: a bar on a terminal, a line a minute in a log file."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

SECONDS_PER_LINE = 60.0
"""Time between two lines of a log"""
LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {elapsed} passed, {remaining} left, {rate_fmt}{postfix}"


def progress(iterable: Iterable[Any] | None = None, **settings: Any) -> "tqdm[Any]":
    """Return a progress bar on stderr: tqdm on a terminal, otherwise lines, of which short jobs print none.

    Args:
        iterable: What to count; None: the caller counts with `update`.
        **settings: Settings of tqdm, such as `total`, `desc` and `unit`.
    """
    if sys.stderr.isatty():
        return tqdm(iterable, **settings)
    every = {"mininterval": SECONDS_PER_LINE, "maxinterval": SECONDS_PER_LINE, "miniters": 1}
    lines: tqdm[Any] = _Lines(iterable, **{**every, "bar_format": LINE, "file": sys.stderr, **settings})
    return lines


class _Lines(tqdm):  # type: ignore[type-arg]
    """A tqdm that writes lines, which a log file keeps readable."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write the state as a line, except at the start and at the end."""
        del pos
        if self.n > self.initial:
            self.fp.write(f"{msg or self}\n")
            self.fp.flush()

    def close(self) -> None:
        """Stop counting, without the last line of a bar."""
        self.disable = True
