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
    """Write `trained_on.csv.gz` into a run's folder.

    Without a cohort only the images' ids are known: archive and patients stay blank. Images without ids are named as
    unrecorded, by the file that holds them. A run that starts from another run's checkpoint inherits its record. The
    training images of published weights are not recorded anywhere; the record then names the weights as unrecorded.

    Args:
        folder: Folder of the run.
        pairs: Pairs that it trains on.
        config: Options of the run.
        selected: Cohort rows of the images whose validation chooses the checkpoint.
    """
    # this run's own images
    own, unrecorded = _own_images(pairs, config)
    seen = [own.assign(role="trained")]
    if selected is not None:
        seen.append(selected.assign(role="selected"))
    images = pd.concat(seen, ignore_index=True)
    hashes = _hashes(pairs.images, images["h5_row"].to_numpy(np.int64)) if config.record_pictures else None

    # those of the run it starts from, or the name of weights without a record
    earlier = find_beside(config.model, TRAINED_ON)
    if earlier is not None:
        before = read_trained_on(earlier)
        images = pd.concat([images, before.images], ignore_index=True)
        unrecorded.append(before.unrecorded)
        both = hashes is not None and before.hashes is not None
        hashes = np.concatenate([hashes, before.hashes]) if both else None
    elif is_trained(config.model):
        unrecorded.append(config.model)
    elif config.pretrained is not None and not config.random_init:
        names = (config.image_tower, config.text_tower)
        unrecorded += [name or f"{config.model}:{config.pretrained}" for name in dict.fromkeys(names)]

    write_trained_on(folder / TRAINED_ON, images, hashes, unrecorded=" and ".join(filter(None, unrecorded)))


def _own_images(pairs: Pairs, config: TrainConfig) -> tuple[pd.DataFrame, list[str]]:
    """Return the images that a run trains on as rows of the record, and a name for those that have none."""
    if pairs.cohort is not None:
        return pairs.cohort, []
    known = {"dataset": "", "subject_id": "", "h5_row": pairs.rows}
    if pairs.image_ids is not None:
        return pd.DataFrame({"image_id": list(pairs.image_ids), **known}), []
    return pd.DataFrame({"image_id": [], "h5_row": []}).assign(dataset="", subject_id=""), [str(config.cxr_filepath)]


def _hashes(images: ImageReader, rows: np.ndarray) -> UInt64[np.ndarray, "n 8"]:
    if len(rows) == 0:
        return np.empty((0, 8), dtype=np.uint64)
    parts = np.array_split(rows, -(-len(rows) // AT_ONCE))
    return np.concatenate([image_hashes(images.read(part)) for part in parts])
