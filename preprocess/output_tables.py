"""The tables that go with the image store, all in its row order."""

from pathlib import Path

import pandas as pd

from common.atomic import write_csv


def write_paths(rows: pd.DataFrame, path: Path, *, with_ids: bool = True) -> None:
    """Write `Path` (CheXzero's only column) and `image_id` of every row.

    Args:
        rows: Columns path and image_id, in row order.
        path: The CSV file.
        with_ids: False leaves `image_id` out.
    """
    table = rows[["path", "image_id"]].rename(columns={"path": "Path"})
    write_csv(path, table if with_ids else table[["Path"]])


def write_impressions(rows: pd.DataFrame, path: Path, *, with_ids: bool = True) -> None:
    """Write `filename` and `impression` (CheXzero's columns), then `image_id`, `study_id` and `section_used`.

    An empty impression is an empty field. Read the file with NA parsing off (`cohort.read_texts` does): "NA" and
    "None" are texts.

    Args:
        rows: Columns filename, text, image_id, study_id, section_used, in row order.
        path: The CSV file.
        with_ids: False leaves the last three columns out; the bytes are then those CheXzero would write.

    Source: rajpurkarlab/CheXzero@5c341db, data_process.py, write_report_csv.
    """
    table = rows[["filename", "text", "image_id", "study_id", "section_used"]].rename(columns={"text": "impression"})
    write_csv(path, table if with_ids else table[["filename", "impression"]])
