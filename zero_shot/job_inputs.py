"""What the jobs of run_zero_shot.py have in common: images of a split, a model on its device, tables in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

import models
from cohort import open_images, read_cohort
from common.atomic import write_whole
from zero_shot.images import Images
from zero_shot.select import select_images


@contextmanager
def frontal_images(cxr_filepath: Path, cohort_filepath: Path, *, split: str) -> Iterator[tuple[pd.DataFrame, Images]]:
    """Yield the cohort rows and the frontal images of a split; the store is open within the block.

    Raises:
        FileNotFoundError, ValueError: as `cohort.read_cohort`, `cohort.open_images` and `select_images`.
    """
    cohort = read_cohort(cohort_filepath)
    with open_images(cxr_filepath) as store:
        chosen, images, _ = select_images(cohort, store, split=split)
        yield chosen, images


def load_on(checkpoint: str, device: str) -> models.Bundle:
    """Return a checkpoint's model on a device."""
    bundle = models.load(checkpoint)
    bundle.model.to(models.pick_device(device))
    return bundle


def write_tables(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Write every table as NAME.csv into a folder, each whole or not at all."""
    for name, table in tables.items():
        with write_whole(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")


def as_text(table: pd.DataFrame) -> str:
    """Return a table for the screen: three decimals, and nothing where a value is undefined."""
    return table.to_string(index=False, float_format="{:.3f}".format, na_rep="")
