"""The folder beside a store in which its next version grows: what a stopped job leaves, and the next one continues.

    data/cxr.h5               the finished store, if there is one; replaced in the last moment
    data/cxr.h5.journal       what became of every image in it
    data/cxr.h5.partial/0/    a batch: pixels.h5 with room for its images, plan.json, and one journal per block
    data/cxr.h5.partial/1/    images that the archive did not list yet when batch 0 was planned

A batch is never planned anew. So a row, once written, stays where it is until the store is put together.
"""

import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.atomic import write_text
from common.notes import note
from preprocess.packing import store_layout as layout
from preprocess.packing.block import Block, JobFailedError, PackSpec, RowPlaces
from preprocess.packing.journal import Entry, ImageToPack, read_journal

_LARGEST_BLOCK = 64
_FEWEST_BLOCKS = 64

_FORMAT = 3
"""Of plan.json; format 1 did not know when files were changed"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedImages:
    """Images that were planned together."""

    folder: Path
    """Folder of this batch"""
    places: RowPlaces
    """Where in its file the rows are"""
    archive: str
    """Fingerprint that its file carries"""
    rows: dict[ImageToPack, int]
    """Image -> row"""

    @property
    def pixels(self) -> Path:
        """The file of the rows."""
        return self.folder / "pixels.h5"

    def entries(self) -> dict[ImageToPack, Entry]:
        """Return what became of the images so far."""
        return {
            entry.image: entry
            for path in sorted((self.folder / "journal").iterdir())
            for entry in read_journal(path).entries.values()
        }

    def blocks(self, images: Iterable[ImageToPack]) -> Iterator[Block]:
        """Yield the blocks in which images of this batch are left to pack."""
        size = max(1, min(_LARGEST_BLOCK, len(self.rows) // _FEWEST_BLOCKS))
        blocks: dict[int, list[tuple[int, ImageToPack]]] = {}
        for image in images:
            row = self.rows[image]
            blocks.setdefault(row // size, []).append((row, image))
        for number in sorted(blocks):
            journal = self.folder / "journal" / f"{number:06}.jsonl"
            yield Block(self.pixels, self.places, journal, tuple(blocks[number]))


class PartialStore:
    """The folder of a job that is not finished."""

    def __init__(self, store: Path) -> None:
        self.store = store.absolute()  # Workers of a cluster start elsewhere.
        self.journal = journal_of(self.store)
        self.folder = self.store.with_name(f"{store.name}.partial")
        self.finished = self.folder / "finished.h5"
        self.finished_journal = self.folder / "finished.journal"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second job away from the same files; the lock goes with its process, however that ends.

        Raises:
            JobFailedError: Another job has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise JobFailedError(f"another job is writing {self.store}; wait for it or stop it") from error
            except OSError as error:
                note(
                    f"{self.folder} cannot be locked ({error.strerror}), so see to it that no other job writes "
                    f"{self.store}; if HDF5 cannot lock it either, set HDF5_USE_FILE_LOCKING=FALSE"
                )
            try:
                yield
            finally:
                if not any(self.folder.glob("*/plan.json")):
                    shutil.rmtree(self.folder, ignore_errors=True)

    def batches(self, spec: PackSpec) -> list[PlannedImages]:
        """Return the batches that earlier jobs planned.

        Raises:
            ValueError: They were made by another rule for pixels.
        """
        plans = sorted(self.folder.glob("*/plan.json"), key=lambda path: int(path.parent.name))
        batches = []
        for path in plans:
            plan = _read_plan(path)
            if plan["pixel_rule"] != spec.pixel_rule:
                raise ValueError(
                    f"{self.folder} holds rows of a job that was stopped and had other settings: "
                    f"{_difference(plan['pixel_rule'], spec.pixel_rule)}; finish it with its own settings, or "
                    "delete its rows with --overwrite"
                )
            if not (path.parent / "pixels.h5").exists():  # Stopped between finishing it and noting so.
                self.finished.replace(path.parent / "pixels.h5")
            rows = {ImageToPack(*image): row for row, image in enumerate(plan["images"])}
            places = RowPlaces(*plan["places"])
            batches.append(PlannedImages(folder=path.parent, places=places, archive=plan["archive"], rows=rows))
        return batches

    def discard_other_rows(self, spec: PackSpec) -> None:
        """Delete batches that were made by another rule for pixels or cannot be continued."""
        try:
            self.batches(spec)
        except ValueError:
            for path in self.folder.glob("*/plan.json"):
                shutil.rmtree(path.parent)

    def plan(self, images: Sequence[ImageToPack], *, spec: PackSpec, number: int) -> PlannedImages:
        """Plan a batch: its file with room for all images, then the plan, without which the folder says nothing."""
        folder = self.folder / str(number)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "journal").mkdir(parents=True)
        archive = layout.fingerprint(images)
        ids = [image.image_id for image in images]
        rows = {image: row for row, image in enumerate(images)}
        places = layout.create(folder / "pixels.h5", ids, spec=as_grown(spec), archive=archive)
        plan = {"places": places, "archive": archive, "images": list(rows)}
        write_text(folder / "plan.json", json.dumps({"format": _FORMAT, "pixel_rule": spec.pixel_rule, **plan}))
        return PlannedImages(folder=folder, places=places, archive=archive, rows=rows)

    def settle(self) -> None:
        """Put a finished store in its place; does the rest when a job was stopped within, else nothing.

        The journal of the finished store is written last, so where it is, everything is. Renaming is all that is left.
        """
        if not self.finished_journal.exists():
            return
        if self.finished.exists():
            self.finished.replace(self.store)
        self.finished_journal.replace(self.journal)
        shutil.rmtree(self.folder)


def journal_of(store: Path) -> Path:
    """Return where the journal of a finished store lies."""
    return store.with_name(f"{store.name}.journal")


def as_grown(spec: PackSpec) -> PackSpec:
    """Return how rows are stored while they are packed: always as bytes with ids, whatever the finished file has."""
    return PackSpec(resolution=spec.resolution, exact=spec.exact, sixteen_bit=spec.sixteen_bit)


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = json.loads(path.read_bytes())
        if plan.get("format") == _FORMAT:
            return plan
        fault = f"format {plan.get('format', 1)}, this program continues {_FORMAT}"
    except (ValueError, AttributeError) as error:
        fault = str(error)
    raise ValueError(
        f"{path} is not a plan that this program can continue ({fault}); delete the rows in "
        f"{path.parent.parent} with --overwrite"
    )


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    return "; ".join(
        f"{name} {theirs[name]!r}, asked now {ours[name]!r}" for name in ours if theirs[name] != ours[name]
    )
