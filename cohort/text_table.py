"""The text of each image: CheXzero's `filename,impression` CSV, and its joining to the image store by id."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cohort._csv import read_strings, refuse_repeated, some

SUSPICIOUS_ROWS = 32
ADVICE = "Run preprocess_train_data.py again: it writes images and texts together."


def read_texts(path: Path | str) -> pd.DataFrame:
    """Return the texts of a CSV in its order, one row per image, with every word as it is written.

    The file has CheXzero's columns `filename,impression`, and ours add `image_id,study_id,section_used`. A text that
    reads "NA", "None" or nothing stays that string; the reference turns some of them into a missing value, and which
    ones depends on its pandas.

    Returns:
        Columns `image_id` (absent when the file has none), `study_id` (else read from `filename`: "s50000001.txt" is
        study 50000001), `text`, then the file's other columns.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No column `impression`, no rows, blank or repeated image ids, or all of many texts are the same.

    Source:
        rajpurkarlab/CheXzero@5c341db, data_process.py:98-147 writes the file, train.py:37-49 reads it.
    """
    frame = read_strings(path, columns=["impression"], what="the texts").rename(columns={"impression": "text"})
    if "image_id" in frame:
        refuse_repeated(frame["image_id"], what=f"the texts {path}, image_id", advice=ADVICE)
    if "study_id" not in frame and "filename" in frame:
        frame["study_id"] = frame["filename"].str.replace(r"^s(\d+)\.txt$", r"\1", regex=True)
    if len(frame) >= SUSPICIOUS_ROWS and (frame["text"] == frame["text"].iloc[0]).all():
        raise ValueError(
            f"the texts: all {len(frame)} rows of {path} read {frame['text'].iloc[0][:60]!r}; "
            "were the report files downloaded, or are they pointers of Git LFS?"
        )
    first = [name for name in ("image_id", "study_id", "text") if name in frame]
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def align(store_ids: Sequence[str] | None, texts: pd.DataFrame, *, n_images: int | None = None) -> pd.DataFrame:
    """Return the texts in the order of an image store: row i belongs to image i.

    With ids the two are joined by `image_id`. Only when neither has ids, as in CheXzero's own files, are they paired
    by position, and then their lengths must agree.

    Args:
        store_ids: `ImageStore.image_ids`; None for a store without ids.
        texts: What `read_texts` returned.
        n_images: `len(store)`; needed when there are no ids.

    Raises:
        ValueError: An image without text, a text without image, a repeated id, ids on one side only, or unequal
            lengths. The message names the first offenders.
    """
    if store_ids is None or "image_id" not in texts:
        return _pair_by_position(store_ids, texts, n_images)
    refuse_repeated(store_ids, what="the image store, image_id", advice=ADVICE)
    refuse_repeated(texts["image_id"], what="the texts, image_id", advice=ADVICE)
    by_id = texts.set_index("image_id", drop=False).rename_axis(None)
    wanted = pd.Index(store_ids)
    without_text = wanted.difference(by_id.index, sort=False)
    if len(without_text):
        raise ValueError(f"{len(without_text)} of {len(wanted)} images have no text: {some(without_text)}. {ADVICE}")
    without_image = by_id.index.difference(wanted, sort=False)
    if len(without_image):
        raise ValueError(f"{len(without_image)} of {len(texts)} texts have no image: {some(without_image)}. {ADVICE}")
    return by_id.loc[wanted].reset_index(drop=True)


def _pair_by_position(store_ids: Sequence[str] | None, texts: pd.DataFrame, n_images: int | None) -> pd.DataFrame:
    if store_ids is not None:
        raise ValueError(f"the images have ids but the texts have no column 'image_id'. {ADVICE}")
    if "image_id" in texts:
        raise ValueError(f"the texts have a column 'image_id' but the images have no ids. {ADVICE}")
    if n_images is None:
        raise ValueError("images and texts without ids are paired by position: pass n_images, the length of the store")
    if n_images != len(texts):
        raise ValueError(
            f"without ids, images and texts are paired by position, but there are {n_images} images and "
            f"{len(texts)} texts. {ADVICE}"
        )
    return texts.reset_index(drop=True)
