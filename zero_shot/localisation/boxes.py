"""Boxes around findings: read, and converted from the original image to the packed one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float


def packed_box(box: Sequence[float], *, width: int, height: int, resolution: int) -> tuple[float, float, float, float]:
    """Return a box of the original image in pixels of the packed, square image.

    The image was scaled to `int(side * (resolution / longest side))` and centred: `x * new_width / width + left` with
    `left = (resolution - new_width) // 2`, likewise y.

    Args:
        box: x0, y0, x1, y1 in pixels of the original, x1 and y1 exclusive.
        width: width of the original, pixels.
        height: height of the original, pixels.
        resolution: side of the packed image, pixels.

    Raises:
        ValueError: a box that is empty or not inside the image.

    Source: rajpurkarlab/CheXzero@5c341db, data_process.py, the rule under which images are packed.
    """
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"the box {list(box)} is empty or not inside its image of {width} x {height} pixels")

    ratio = float(resolution) / max(width, height)
    new_width, new_height = int(width * ratio), int(height * ratio)
    left, top = (resolution - new_width) // 2, (resolution - new_height) // 2
    across, down = new_width / width, new_height / height
    return x0 * across + left, y0 * down + top, x1 * across + left, y1 * down + top


def read_boxes(path: Path | str) -> dict[str, dict[str, list[float]]]:
    """Return image_id -> finding -> x0, y0, x1, y1 in pixels of the original, from a CSV such as the phantom's truth.

    Its column `boxes` is JSON; x1 and y1 are exclusive. An image without a box has an empty entry.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing, an id is repeated, or an entry is not such JSON.
    """
    table = _read(path, ("image_id", "boxes"))
    found: dict[str, dict[str, list[float]]] = {}
    for image_id, text in zip(table["image_id"], table["boxes"], strict=True):
        try:
            found[image_id] = {
                finding: [float(x0), float(y0), float(x1), float(y1)]
                for finding, (x0, y0, x1, y1) in json.loads(text).items()
            }
        except (json.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: wanted JSON of finding -> [x0, y0, x1, y1]; found {text!r} for image {image_id}"
            ) from error
    return found


def read_sizes(path: Path | str) -> dict[str, tuple[int, int]]:
    """Return image_id -> (width, height) of the originals from a CSV with `image_id` or `dicom_id`, `Columns`, `Rows`.

    MIMIC-CXR-JPG's metadata file, and the phantom's, is one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing, an id is repeated, or a size is not a number.
    """
    table = _read(path, ("image_id", "Columns", "Rows"))
    try:
        sides = table[["Columns", "Rows"]].astype(int).to_numpy()
    except ValueError as error:
        raise ValueError(f"{path}: a size is not a whole number: {error}") from error
    return {
        image_id: (int(width), int(height)) for image_id, (width, height) in zip(table["image_id"], sides, strict=True)
    }


def _read(path: Path | str, wanted: Sequence[str]) -> pd.DataFrame:
    """Read a table as text; refuse missing columns and repeated ids."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"wanted a table with {', '.join(wanted)} at {path}, found none")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "image_id" not in table:
        table = table.rename(columns={"dicom_id": "image_id"})
    missing = [name for name in wanted if name not in table]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}; found {', '.join(table.columns[:8])}")
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise ValueError(f"{path}: {len(twice)} image ids are repeated, first {twice.iloc[0]}")
    return table


def packed_boxes(
    boxes: Mapping[str, Mapping[str, Sequence[float]]],
    sizes: Mapping[str, tuple[int, int]],
    *,
    image_ids: Sequence[str],
    findings: Sequence[str],
    resolution: int,
) -> Float[np.ndarray, "n c 4"]:
    """Return the boxes of n packed images and c findings in pixels, NaN if there is none.

    Args:
        boxes: image_id -> finding -> box on the original, as from `read_boxes`.
        sizes: image_id -> (width, height) of the original, as from `read_sizes`.
        image_ids: images, in the order of the result.
        findings: findings, in the order of the result.
        resolution: side of the packed images, pixels.

    Raises:
        ValueError: an image without an entry in `boxes` or, if it has a box, in `sizes`; a box outside its image.
    """
    missing = [i for i in image_ids if i not in boxes or (boxes[i] and i not in sizes)]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(image_ids)} images have no entry in the table of boxes or in the table of original"
            f" sizes, first {', '.join(missing[:3])}"
        )

    packed = np.full((len(image_ids), len(findings), 4), np.nan)  # (n, c, 4)
    for row, image_id in enumerate(image_ids):
        for column, finding in enumerate(findings):
            if finding not in boxes[image_id]:
                continue

            width, height = sizes[image_id]
            try:
                packed[row, column] = packed_box(
                    boxes[image_id][finding], width=width, height=height, resolution=resolution
                )
            except ValueError as error:
                raise ValueError(f"image {image_id}, {finding}: {error}") from error
    return packed
