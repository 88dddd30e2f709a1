"""`preprocess_train_data.py verify`: read every row of a store again and compare it with its journal."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cohort import open_images
from cohort.store import ImageStore
from preprocess.packing.journal import Entry, read_finished, rows_of
from preprocess.packing.partial import journal_of
from preprocess.preprocess_config import VerifyConfig

_ROWS_AT_ONCE = 64
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verification found."""

    n_rows: int
    """Rows read."""
    damaged: list[str]
    """Images whose row differs from what was packed."""


def verify(config: VerifyConfig) -> Verdict:
    """Return which rows differ from what was packed.

    Raises:
        FileNotFoundError: No store, or no journal.
        ValueError: A store that `cohort.open_images` refuses, or that has other images than the journal.
    """
    journal = config.journal_filepath or journal_of(config.cxr_filepath)
    with open_images(config.cxr_filepath) as store:
        if not journal.is_file():
            raise FileNotFoundError(
                f"verify: wanted the journal {journal}, found none; stores of other programs have none; for one of "
                "ours, name it as --journal_filepath or preprocess again"
            )
        _, entries = read_finished(journal)
        rows = rows_of(entries)
        _refuse_other_images(store, rows, journal)
        damaged: list[str] = []
        for first in tqdm(range(0, len(rows), _ROWS_AT_ONCE), unit_scale=_ROWS_AT_ONCE, unit="row", disable=None):
            expected = rows[first : first + _ROWS_AT_ONCE]
            found = _checksums(store, first, len(expected))
            damaged += [entry.image_id for entry, sha256 in zip(expected, found, strict=True) if entry.sha256 != sha256]
    return Verdict(n_rows=len(rows), damaged=damaged)


def in_words(verdict: Verdict) -> str:
    """Return the verdict as a sentence that names the first damaged rows."""
    if not verdict.damaged:
        return f"all {verdict.n_rows:,} rows are as they were packed"
    named = ", ".join(verdict.damaged[:_NAMED]) + (", ..." if len(verdict.damaged) > _NAMED else "")
    return (
        f"{len(verdict.damaged):,} of {verdict.n_rows:,} rows are not as they were packed: {named}. Delete the store "
        "and its journal and preprocess again; and look at that disk."
    )


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
