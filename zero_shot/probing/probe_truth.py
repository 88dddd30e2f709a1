"""Truth tables for probes beyond the labels: the side of a finding, from its box, and its severity."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Real

LEFT, RIGHT = 1.0, 0.0
"""The patient's side in a table of sides; NaN for both sides, neither or unknown"""


def sides_from_boxes(
    image_ids: Sequence[str], boxes: Sequence[str], widths: Real[np.ndarray, "n"], *, findings: Sequence[str]
) -> pd.DataFrame:
    """Return image_id and for each finding the patient's side of its box: 1 left, 0 right, NaN if not on one side.

    Only a box within one half of the image has a side. A box around findings on both sides, or around one that crosses
    the middle, has none.

    Args:
        image_ids: frontal films, in which image left is the patient's right.
        boxes: for each film, JSON of finding -> [x0, y0, x1, y1] in pixels, as in the phantom's truth.csv.
        widths: widths of the images that the boxes refer to, pixels.
        findings: columns of the result.

    Raises:
        ValueError: a box of another form, or not within the image.
    """
    middles = np.asarray(widths) / 2
    rows = [
        {finding: _side(found.get(finding), middle, image_id) for finding in findings}
        for image_id, found, middle in zip(image_ids, map(json.loads, boxes), middles, strict=True)
    ]
    sides = pd.DataFrame(rows, columns=list(findings), dtype="float64")
    sides.insert(0, "image_id", list(image_ids))
    return sides


def severity_truth(
    severities: pd.DataFrame, *, findings: Sequence[str], mild_below: float, severe_from: float
) -> pd.DataFrame:
    """Return image_id and for each finding 1 if it is severe, 0 if mild, NaN if between or absent.

    Args:
        severities: image_id and a column `severity_FINDING` for each finding, 0 if absent, as in the phantom's
            truth.csv (whose reports say mild below 0.55 and severe from 0.8).
        findings: columns of the result.
        mild_below: a finding that is present with a lower severity is mild.
        severe_from: a finding of this severity or more is severe.

    Raises:
        ValueError: bounds in the wrong order, or a finding without a column.
    """
    if not 0 < mild_below <= severe_from:
        raise ValueError(f"wanted 0 < mild_below <= severe_from; found {mild_below:g} and {severe_from:g}")
    missing = [finding for finding in findings if f"severity_{finding}" not in severities]
    if missing:
        raise ValueError(f"severities: wanted a column severity_FINDING for {', '.join(missing)}, found none")
    graded = pd.DataFrame({"image_id": severities["image_id"].to_numpy()})
    for finding in findings:
        value = severities[f"severity_{finding}"].to_numpy(np.float64)
        mild = (value > 0) & (value < mild_below)
        graded[finding] = np.where(value >= severe_from, 1.0, np.where(mild, 0.0, np.nan))
    return graded


def _side(box: list[Any] | None, middle: float, image_id: str) -> float:
    """Return the side of one box."""
    if box is None:
        return np.nan
    if len(box) != 4 or not 0 <= box[0] <= box[2] <= 2 * middle:
        raise ValueError(f"{image_id}: {box} is not a box [x0, y0, x1, y1] in an image {2 * middle:g} pixels wide")
    if box[2] <= middle:
        return RIGHT
    return LEFT if box[0] >= middle else np.nan
