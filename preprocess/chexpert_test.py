"""CheXpert's test set as CheXzero reads it: the first view of each of 500 studies, images only."""

from pathlib import Path

import numpy as np
import pandas as pd

from cohort import FINDINGS, Flow

N_STUDIES = 500
_FIRST_VIEW = "view1"


def list_chexpert_test(folder: Path, *, any_count: bool = False) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of `**/*view1*.jpg` below `folder`, sorted by path, and its flow.

    `image_id` is the path below `folder` without suffix, `study_id` its folder ("patient64741/study1"), which is how
    the published ground truth names a study. Whether a frontal view is PA or AP is not known from the file.

    Raises:
        FileNotFoundError: No such folder, or no JPEG of a first view in it.
        ValueError: Not 500 images, unless `any_count`.

    Source: rajpurkarlab/CheXzero@5c341db, run_preprocess.py and data_process.py.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"CheXpert test set: wanted a folder, found none at {folder}.")
    images = sorted(path.relative_to(folder) for path in folder.rglob("*.jpg"))
    first_views = [image for image in images if _FIRST_VIEW in str(image)]
    if not first_views:
        raise FileNotFoundError(f"CheXpert test set: wanted */*/view1_*.jpg below {folder}, found none.")
    if len(first_views) != N_STUDIES and not any_count:
        raise ValueError(
            f"CheXpert test set: wanted {N_STUDIES} first views below {folder}, found {len(first_views)}. "
            "Give --allow_count if this is meant."
        )
    everything = _table(folder, images)
    flow = Flow()
    flow.start(everything, f"JPEG files below {folder}")
    return flow.keep(everything, everything["path"].str.contains(_FIRST_VIEW), "not the first view of its study"), flow


def _table(folder: Path, images: list[Path]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "image_id": [image.with_suffix("").as_posix() for image in images],
            "subject_id": [image.parts[0] for image in images],
            "study_id": [image.parent.as_posix() for image in images],
            "dataset": "chexpert-test",
            "path": [str(folder / image) for image in images],
            "view": "UNKNOWN",
            "split": "test",
            "source": "real",
            "age_years": np.nan,
        }
    )
    return frame.assign(sex="", race="", insurance="", **dict.fromkeys(FINDINGS, np.nan))
