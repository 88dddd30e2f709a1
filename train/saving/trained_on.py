"""The record of the images that a run trains on and validates on; evaluations read it to exclude images seen before."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt64

from cohort.exposure import image_hashes
from cohort.image_reader import ImageReader
from cohort.training_record import TRAINED_ON, read_trained_on, write_trained_on
from models.checkpoint import find_beside, is_trained
from train.input.pairs import Pairs
from train.train_config import TrainConfig

AT_ONCE = 256
"""Images that are hashed together"""


def record_trained_on(folder: Path, pairs: Pairs, config: TrainConfig, *, selected: pd.DataFrame | None) -> None:
    """Write `trained_on.csv.gz` into a run's folder; without a cohort the images are not known and nothing is written.

    A run that starts from another run's checkpoint inherits its record. The training images of published weights are
    not recorded anywhere; the record then names the weights as unrecorded.

    Args:
        folder: Folder of the run.
        pairs: Pairs that it trains on.
        config: Options of the run.
        selected: Cohort rows of the images whose validation chooses the checkpoint.
    """
    if pairs.cohort is None:
        return

    # this run's own images
    seen = [pairs.cohort.assign(role="trained")]
    if selected is not None:
        seen.append(selected.assign(role="selected"))
    images = pd.concat(seen, ignore_index=True)
    hashes = _hashes(pairs.images, images["h5_row"].to_numpy(np.int64)) if config.record_pictures else None

    # those of the run it starts from, or the name of weights without a record
    unrecorded = ""
    earlier = find_beside(config.model, TRAINED_ON)
    if earlier is not None:
        before = read_trained_on(earlier)
        images, unrecorded = pd.concat([images, before.images], ignore_index=True), before.unrecorded
        both = hashes is not None and before.hashes is not None
        hashes = np.concatenate([hashes, before.hashes]) if both else None
    elif is_trained(config.model):
        unrecorded = config.model
    elif config.pretrained is not None and not config.random_init:
        names = (config.image_tower, config.text_tower)
        unrecorded = " and ".join(name or f"{config.model}:{config.pretrained}" for name in dict.fromkeys(names))

    write_trained_on(folder / TRAINED_ON, images, hashes, unrecorded=unrecorded)


def _hashes(images: ImageReader, rows: np.ndarray) -> UInt64[np.ndarray, "n 8"]:
    parts = np.array_split(rows, max(1, -(-len(rows) // AT_ONCE)))
    return np.concatenate([image_hashes(images.read(part)) for part in parts])
