"""Whether the scored images were seen in training, by the records that lie beside the checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt64

from cohort import check_exposure, open_images
from cohort.exposure import Cohort, TrainingExposure, image_hashes
from cohort.image_reader import ImageReader
from cohort.training_record import TRAINED_ON, read_trained_on
from models.checkpoint import find_beside
from zero_shot.images import Images

HASH_BATCH = 256
STORE = "cxr.h5"
"""Name of the image store beside an archive's cohort table"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureStamp:
    """Exposure of an evaluation, and the records it was read from."""

    exposure: TrainingExposure
    """Stamp of every image, and of all"""
    records: Mapping[str, str | None]
    """Checkpoint -> record of its training, or None if none was found"""
    named: tuple[str, ...]
    """Records that the user named"""

    def to_json(self) -> dict[str, Any]:
        """Return what `spec.json` says of it."""
        return {
            "stamp": self.exposure.stamp,
            "images": self.exposure.counts,
            "records": dict(self.records),
            "named_records": list(self.named),
        }


def stamp(
    checkpoints: Sequence[str], chosen: pd.DataFrame, images: Images, *, named: Sequence[Path | str] = ()
) -> ExposureStamp:
    """Return whether the images, or their patients, were seen by any of the checkpoints.

    Without a record of each checkpoint no image is "clean", unless the user names records: those then count for all
    checkpoints. If a record has hashes of its images, or its store lies beside it, the pictures are compared too.

    Args:
        checkpoints: as `models.load` takes them.
        chosen: cohort rows of the images, in their order.
        images: the images to be scored.
        named: further records, beside those found next to the checkpoints.

    Raises:
        FileNotFoundError, ValueError: see `cohort.read_trained_on`.
    """
    records = {checkpoint: find_beside(checkpoint, TRAINED_ON) for checkpoint in sorted(checkpoints)}
    files = [*dict.fromkeys(path for path in records.values() if path is not None), *map(Path, named)]
    trained = [_with_pictures(read_trained_on(path), Path(path)) for path in files]
    if not named and None in records.values():
        nothing = pd.DataFrame(columns=["dataset", "image_id", "subject_id"], dtype=str)
        trained.append(Cohort(images=nothing, unrecorded="the model"))

    columns = [name for name in ("dataset", "image_id", "subject_id", "origin_image_id") if name in chosen]
    hashes = None
    if any(cohort.hashes is not None for cohort in trained):
        hashes = _hashes(images.reader, images.rows)
    evaluated = Cohort(images=chosen[columns], hashes=hashes)
    return ExposureStamp(
        exposure=check_exposure(evaluated, trained),
        records={checkpoint: None if path is None else str(path) for checkpoint, path in records.items()},
        named=tuple(map(str, named)),
    )


def _with_pictures(trained: Cohort, path: Path) -> Cohort:
    """Return a record with hashes: its own, or those of the image store beside it, such as beside an archive's cohort.

    A record without either stays as it is; the reason of a clean image then says that pictures were not compared.
    """
    beside = path.parent / STORE
    if trained.hashes is not None or trained.images.empty or not beside.is_file():
        return trained
    with open_images(beside) as store:
        ids = trained.images["image_id"].tolist()
        if not set(ids) <= set(store.image_ids or ()):
            return trained
        return replace(trained, hashes=_hashes(store, store.rows(ids)))


def _hashes(reader: ImageReader, rows: Int[np.ndarray, "n"]) -> UInt64[np.ndarray, "n 8"]:
    parts = np.array_split(rows, max(1, -(-len(rows) // HASH_BATCH)))
    return np.concatenate([image_hashes(reader.read(part)) for part in parts])
