"""`preprocess_train_data.py verify`: compare every row of a store with its journal and, if wanted, with its source."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cohort import open_images
from cohort.store import ImageStore
from common.progress import progress
from preprocess.packing.block import PackSpec, make_row
from preprocess.packing.journal import Entry, read_finished, rows_of
from preprocess.packing.partial import journal_of
from preprocess.pixels.reading_rules import UnreadableImageError
from preprocess.pixels.resize import RULE
from preprocess.preprocess_config import VerifyConfig

_ROWS_AT_ONCE = 64
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verification found."""

    n_rows: int
    """Rows read."""
    damaged: list[str]
    """Images whose row differs from what was packed"""
    changed: list[str] | None = None
    """Images whose source gives other pixels now; None: sources were not read"""
    unreadable: list[str] = field(default_factory=list)
    """Images whose source cannot be read now"""


def verify(config: VerifyConfig) -> Verdict:
    """Return which rows differ from what was packed and, with `source`, from what their files give now.

    Raises:
        FileNotFoundError: No store, or no journal.
        ValueError: A store that `cohort.open_images` refuses, or that has other images than the journal.
    """
    journal = config.journal_filepath or journal_of(config.cxr_filepath)
    with open_images(config.cxr_filepath, check=False) as store:
        if not journal.is_file():
            raise FileNotFoundError(
                f"verify: wanted the journal {journal}, found none; stores of other programs have none; for one of "
                "ours, name it as --journal_filepath or preprocess again"
            )
        header, entries = read_finished(journal)
        rows = rows_of(entries)
        _refuse_other_images(store, rows, journal)
        damaged: list[str] = []
        for first in progress(range(0, len(rows), _ROWS_AT_ONCE), unit_scale=_ROWS_AT_ONCE, unit="row", desc="verify"):
            expected = rows[first : first + _ROWS_AT_ONCE]
            found = _checksums(store, first, len(expected))
            damaged += [entry.image_id for entry, sha256 in zip(expected, found, strict=True) if entry.sha256 != sha256]
    if not config.source:
        return Verdict(n_rows=len(rows), damaged=damaged)
    changed, unreadable = _compare_sources(rows, _spec(header, journal))
    return Verdict(n_rows=len(rows), damaged=damaged, changed=changed, unreadable=unreadable)


def _spec(header: dict[str, Any], journal: Path) -> PackSpec:
    """Return how the rows were made."""
    spec = PackSpec(
        resolution=header["resolution"], exact=header["resize_rule"] == RULE, sixteen_bit=header["sixteen_bit"]
    )
    if any(header[name] != value for name, value in spec.pixel_rule.items()):
        raise ValueError(
            f"verify: wanted rows made by {spec.pixel_rule}, found {header} in {journal}; another version of this "
            "program made them, so its sources cannot be compared"
        )
    return spec


def _compare_sources(rows: Sequence[Entry], spec: PackSpec) -> tuple[list[str], list[str]]:
    """Read the file of every row again, and return which give other pixels and which cannot be read."""
    changed, unreadable = [], []
    for entry in progress(rows, unit="image", desc="sources"):
        try:
            square, _ = make_row(entry.path, spec)
        except UnreadableImageError:
            unreadable.append(entry.image_id)
            continue
        if hashlib.sha256(square.tobytes()).hexdigest() != entry.sha256:
            changed.append(entry.image_id)
    return changed, unreadable


def in_words(verdict: Verdict) -> str:
    """Return the verdict as a sentence that names the first images of each kind."""
    if verdict.damaged:
        counts = f"{len(verdict.damaged):,} of {verdict.n_rows:,}"
        words = f"{counts} rows are not as they were packed: {_named(verdict.damaged)}"
    else:
        words = f"all {verdict.n_rows:,} rows are as they were packed"
    if verdict.changed is not None and not verdict.changed and not verdict.unreadable:
        words += ", and their sources give the same pixels"
    if verdict.changed:
        words += f"; {len(verdict.changed):,} sources give other pixels now: {_named(verdict.changed)}"
    if verdict.unreadable:
        words += f"; {len(verdict.unreadable):,} sources cannot be read now: {_named(verdict.unreadable)}"
    if verdict.damaged or verdict.changed:
        words += "; delete the store and its journal and preprocess again"
    return words + ("; and look at that disk" if verdict.damaged else "")


def _named(image_ids: Sequence[str]) -> str:
    return ", ".join(image_ids[:_NAMED]) + (", ..." if len(image_ids) > _NAMED else "")


def _refuse_other_images(store: ImageStore, rows: list[Entry], journal: Path) -> None:
    ids = [entry.image_id for entry in rows]
    if len(store) != len(ids) or store.image_ids not in (None, ids):
        raise ValueError(
            f"verify: {store.path} ({len(store):,} rows) and {journal} ({len(ids):,} rows) are not of the same job"
        )


def _checksums(store: ImageStore, first: int, n_rows: int) -> list[str]:
    try:
        block = store.read(np.arange(first, first + n_rows))
    except ValueError:
        # A float32 row with something else than grey levels, or a compressed one that cannot be unpacked.
        return [""] * n_rows
    return [hashlib.sha256(row.tobytes()).hexdigest() for row in block]
