"""Images to rows of an image store: only those that are not packed yet, on one machine or many, whole or not at all."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import UInt8

from cohort.store import CHECKSUMS, IMAGES, open_images
from common.notes import note
from common.progress import progress
from preprocess.packing import store_layout as layout
from preprocess.packing.block import Block, JobFailedError, PackSpec, pack_block
from preprocess.packing.engines import Engine, in_this_process
from preprocess.packing.journal import Entry, ImageToPack, read_finished, rows_of, write_finished
from preprocess.packing.partial import PartialStore, PlannedImages, as_grown, journal_of
from preprocess.packing.store_layout import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStore:
    """Rows that are written, in a store that is not in its place yet."""

    entries: dict[str, Entry] = field(repr=False)
    """Image id -> what became of it, for every image asked for."""
    rows: list[str] = field(repr=False)
    """Image ids in row order."""
    n_decoded: int
    """Images that this job opened; the others were packed before."""
    sources: Sequence[Source] = field(repr=False)
    """Where the rows lie until then, in row order."""

    def read(self, row: int) -> UInt8[np.ndarray, "r r"]:
        """Return the pixels of a row."""
        for source in self.sources:
            if row < len(source.rows):
                return layout.read_row(source, source.rows[row])
            row -= len(source.rows)
        raise IndexError(f"packing: wanted one of {len(self.rows)} rows, found {row} beyond the last.")


@dataclass(frozen=True, slots=True)
class _EarlierStore:
    """The finished store of an earlier job, as far as its rows can be used again."""

    source: Source
    entries: list[Entry]
    header: dict[str, object]


@contextmanager
def pack_images(
    store: Path,
    images: Sequence[ImageToPack],
    *,
    spec: PackSpec,
    engine: Engine = in_this_process,
    tolerated_failures: int = 0,
    overwrite: bool = False,
) -> Iterator[NewStore]:
    """Pack images, hand out what became of them, and put the store in its place when the `with` block ends well.

    Rows that a finished store or a stopped job already has are kept; they come first and in their old order, new ones
    follow in the order given. The bytes of the file depend on nothing else: not on workers, nor on where a job was
    stopped. If an error leaves the block, the former store stays and the rows wait for the next job.

    Args:
        store: The file.
        images: What to pack, ids unique.
        spec: Form of the rows.
        engine: Where to pack.
        tolerated_failures: More unreadable images than these stop the job at once.
        overwrite: Delete the rows of a stopped job with other settings.

    Raises:
        ValueError: No images, or a stopped job with other settings is in the way.
        JobFailedError: Too many unreadable images, none readable, too small a disk, workers that died, or another job
            at work on the same file.
        OSError: The disk fails.
    """
    if not images:
        raise ValueError("packing: no images to pack")
    # Workers of a cluster start elsewhere, and an earlier job may have; links stay links.
    images = [image._replace(path=os.path.abspath(image.path)) for image in images]  # noqa: PTH100

    # An earlier job may have died between its last renames.
    grown = PartialStore(store)
    grown.settle()

    with grown.locked():
        # Only images that no earlier job has packed are opened.
        stored = _read_stored(store, spec)
        if overwrite:
            grown.discard_other_rows(spec)
        batches = _planned(grown, images, stored, spec)
        entries, n_decoded = _pack_missing(
            images, batches, stored, spec=spec, engine=engine, tolerated_failures=tolerated_failures
        )
        kept = {entry.image for entry in entries.values() if not entry.reason}
        if not kept:
            raise JobFailedError(f"none of {len(images)} images could be read; the last one: {entries[images[-1]]}")

        sources = _sources(kept, batches, stored, side=spec.resolution)
        in_order = [entries[key] for key in _row_order(kept, batches, stored)]
        packed = NewStore(
            entries={image.image_id: entry for image, entry in entries.items()},
            rows=[entry.image_id for entry in in_order],
            n_decoded=n_decoded,
            sources=sources,
        )
        yield packed

        # The caller has written its tables: now the store takes its place, unless it would be the same file again.
        archive = layout.fingerprint(in_order)
        header = {**spec.pixel_rule, "dtype": spec.dtype, "with_ids": spec.with_ids, "archive_fingerprint": archive}
        if stored is None or sources != [stored.source] or header != stored.header:
            _finish(grown, sources, batches, in_order, spec=spec, archive=archive)

        failed = [entry for entry in entries.values() if entry.reason]
        write_finished(grown.finished_journal, header, [*in_order, *failed])
        grown.settle()


def _read_stored(store: Path, spec: PackSpec) -> _EarlierStore | None:
    """Return the finished store, if there is one whose rows were made by the same rule and can be copied."""
    try:
        header, entries = read_finished(journal_of(store))
        open_images(store).close()  # refuses a damaged store, whose images are then all read again
        with h5py.File(store, "r") as file:
            offset, dtype, n_rows = file[IMAGES].id.get_offset(), file[IMAGES].dtype.str, len(file[IMAGES])
            archive = file.attrs.get("archive_fingerprint", header["archive_fingerprint"])
            complete = header["with_ids"] == (CHECKSUMS in file)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, OSError) as error:
        if "cannot be locked" in str(error):
            raise JobFailedError(str(error)) from error
        note(f"{store} is packed anew: {error}")
        return None
    rows = rows_of(entries)
    same_rule = all(header.get(name) == value for name, value in spec.pixel_rule.items())
    same_job = complete and n_rows == len(rows) and archive == header["archive_fingerprint"]
    if offset is None or not same_job or not same_rule:
        note(f"{store} is packed anew: its layout, version or settings are others")
        return None
    return _EarlierStore(Source(store, offset, dtype, spec.resolution, list(range(n_rows))), rows, header)


def _planned(
    grown: PartialStore, images: Sequence[ImageToPack], stored: _EarlierStore | None, spec: PackSpec
) -> list[PlannedImages]:
    """Return the batches of earlier jobs, and one more for the images that are new."""
    batches = grown.batches(spec)
    known = {key for batch in batches for key in batch.rows}
    if stored is not None:
        known |= {entry.image for entry in stored.entries}
    new = [image for image in images if image not in known]
    if new:
        _refuse_small_disk(grown.folder, len(new) * spec.resolution**2)
        number = max((int(batch.folder.name) for batch in batches), default=-1) + 1
        batches.append(grown.plan(new, spec=spec, number=number))
    return batches


def _pack_missing(
    images: Sequence[ImageToPack],
    batches: Sequence[PlannedImages],
    stored: _EarlierStore | None,
    *,
    spec: PackSpec,
    engine: Engine,
    tolerated_failures: int,
) -> tuple[dict[ImageToPack, Entry], int]:
    """Return what became of every image, having packed those of which nothing is known yet."""
    known = {} if stored is None else {entry.image: entry for entry in stored.entries}
    for batch in batches:
        known |= batch.entries()
    entries = {image: known[image] for image in images if image in known}
    blocks: list[Block] = []
    for batch in batches:
        blocks += batch.blocks(image for image in images if image in batch.rows and image not in entries)
    failed = [entry for entry in entries.values() if entry.reason]
    with _resumable(), progress(total=len(images), initial=len(entries), unit="image", desc="images") as bar:
        _refuse_failures(failed, len(images), tolerated_failures)
        # Closed at once when the loop ends early: otherwise workers would decode the whole archive first.
        with closing(engine(partial(pack_block, spec=spec), blocks)) as results:
            for block_entries in results:
                entries |= {entry.image: entry for entry in block_entries}
                failed += [entry for entry in block_entries if entry.reason]
                _refuse_failures(failed, len(images), tolerated_failures)
                bar.update(len(block_entries))
                bar.set_postfix(failures=len(failed), refresh=False)
    return {image: entries[image] for image in images}, sum(len(block.images) for block in blocks)


@contextmanager
def _resumable() -> Iterator[None]:
    """Say after Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped by Ctrl-C; the same command continues where this one stopped") from None


def _refuse_failures(failed: Sequence[Entry], n_images: int, tolerated: int) -> None:
    if len(failed) > tolerated:
        raise JobFailedError(
            f"{len(failed)} of {n_images} images could not be read, {tolerated} are tolerated (--max_failed_share); "
            f"the last one: {failed[-1].detail}"
        )


def _row_order(
    kept: set[ImageToPack], batches: Sequence[PlannedImages], stored: _EarlierStore | None
) -> list[ImageToPack]:
    order = [] if stored is None else [entry.image for entry in stored.entries]
    for batch in batches:
        order += batch.rows
    return [key for key in order if key in kept]


def _sources(
    kept: set[ImageToPack], batches: Sequence[PlannedImages], stored: _EarlierStore | None, *, side: int
) -> list[Source]:
    sources = []
    if stored is not None:
        rows = [row for row, entry in enumerate(stored.entries) if entry.image in kept]
        sources.append(stored.source._replace(rows=rows))
    for batch in batches:
        rows = [row for key, row in batch.rows.items() if key in kept]
        sources.append(Source(batch.pixels, batch.places.pixels, "|u1", side, rows))
    return [source for source in sources if source.rows]


def _finish(
    grown: PartialStore,
    sources: Sequence[Source],
    batches: Sequence[PlannedImages],
    entries: Sequence[Entry],
    *,
    spec: PackSpec,
    archive: str,
) -> None:
    """Make the finished file: a batch that holds exactly its rows is one; otherwise rows are copied together.

    HDF5 can neither shorten nor lengthen a contiguous dataset in place.
    """
    whole = [batch for batch in batches if batch.pixels == sources[0].path and batch.archive == archive]
    if len(sources) == 1 and whole and spec == as_grown(spec):
        layout.complete(sources[0].path)
        sources[0].path.replace(grown.finished)
        return
    _refuse_small_disk(grown.folder, len(entries) * spec.row_bytes)
    places = layout.create(grown.finished, [entry.image_id for entry in entries], spec=spec, archive=archive)
    layout.copy_rows(sources, grown.finished, places, spec=spec, entries=entries)
    if spec.with_ids:
        layout.complete(grown.finished)


def _refuse_small_disk(folder: Path, needed: int) -> None:
    """Fail now rather than after hours: a file with holes proves nothing about the disk."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise JobFailedError(
            f"{folder.parent} has {free / 1e9:.1f} GB free, the images need {needed / 1e9:.1f} GB; free some, choose "
            "another --cxr_out_path, or a smaller --resolution; the same command continues where this one stopped"
        )
