"""The pointing game: whether heatmaps have their maximum, or their positive evidence, in the boxes of findings."""

import numpy as np
from jaxtyping import Bool, Float


def in_boxes(
    boxes: Float[np.ndarray, "m 4"],
    rows: Float[np.ndarray, "k"],
    columns: Float[np.ndarray, "k"],
    tolerance: float = 0.0,
) -> Bool[np.ndarray, "m k"]:
    """Return which of k points lie in which of m boxes x0, y0, x1, y1 (x1, y1 exclusive), each widened by `tolerance`.

    Points and boxes are in pixels. The point of a pixel is its centre, 0.5 for the first. A box of NaN holds nothing.
    """
    x0, y0, x1, y1 = (edge[:, None] for edge in boxes.T)
    across = (columns >= x0 - tolerance) & (columns < x1 + tolerance)
    down = (rows >= y0 - tolerance) & (rows < y1 + tolerance)
    inside: Bool[np.ndarray, "m k"] = across & down
    return inside


def pointing_hits(
    heatmap: Float[np.ndarray, "h w"], boxes: Float[np.ndarray, "m 4"], *, tolerance: float = 0.0
) -> Float[np.ndarray, "m"]:
    """Return for each box the share of the map's highest pixels that lie in it: 1 or 0 if one pixel is highest.

    Equal pixels share the hit, so a constant map scores what a random point would: the box's share of the area.

    Args:
        heatmap: evidence, at the resolution of the boxes.
        boxes: x0, y0, x1, y1.
        tolerance: pixels outside a box that still count.

    Raises:
        ValueError: the map has a value that is not finite.

    Source: Zhang et al., Top-Down Neural Attention by Excitation Backprop, IJCV 2018, section 5.1 (the pointing game;
    its tolerance is 15 pixels).
    """
    _refuse_not_finite(heatmap)
    rows, columns = np.nonzero(heatmap == heatmap.max())
    shares: Float[np.ndarray, "m"] = in_boxes(boxes, rows + 0.5, columns + 0.5, tolerance).mean(axis=1)
    return shares


def energy_in_box(heatmap: Float[np.ndarray, "h w"], box: Float[np.ndarray, "4"]) -> float:
    """Return the share of the positive evidence that lies in a box, `sum_box max(v, 0) / sum max(v, 0)`.

    NaN if the map has no positive value. A constant positive map gets the box's share of the area.

    Raises:
        ValueError: the map has a value that is not finite.

    Source: Wang et al., Score-CAM, CVPR workshops 2020, equation 8 (the energy-based pointing game).
    """
    _refuse_not_finite(heatmap)
    positive = np.maximum(heatmap, 0).astype(np.float64)
    total = positive.sum()
    return float((positive * box_mask(box, heatmap.shape)).sum() / total) if total > 0 else np.nan


def box_mask(box: Float[np.ndarray, "4"], shape: tuple[int, ...], *, tolerance: float = 0.0) -> Bool[np.ndarray, "h w"]:
    """Return which pixels of an image of `shape` (height, width) have their centre in a box."""
    rows, columns = (points.ravel() + 0.5 for points in np.indices(shape))
    mask: Bool[np.ndarray, "h w"] = in_boxes(box[None], rows, columns, tolerance).reshape(shape)
    return mask


def _refuse_not_finite(heatmap: Float[np.ndarray, "h w"]) -> None:
    wrong = int((~np.isfinite(heatmap)).sum())
    if wrong:
        raise ValueError(f"{wrong} of {heatmap.size} values of a heatmap are not finite")
