"""Heatmaps laid over images: as pixels, and as PNG files with a colour scale."""

from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from common.atomic import write_whole

OPACITY = 0.65
"""Opacity of the strongest evidence; no evidence is transparent"""
BOX_COLOUR = (0, 229, 255)
FILM_GREY = "#3a3a3a"
"""Grey under the colours of the scale"""
STYLE: Any = {
    "font.size": 11,
    "text.color": "#1c2430",
    "axes.edgecolor": "#667085",
    "axes.labelcolor": "#1c2430",
    # Findings and image ids come from files: a dollar sign in them begins no formula.
    "text.parse_math": False,
}


def colours() -> ListedColormap:
    """Return the colour scale from no to the strongest evidence: matplotlib's inferno, increasingly opaque.

    Inferno is perceptually uniform, readable in grey print and for people who confuse red and green. Its black
    beginning is left out: it would darken the film where there is little evidence.
    """
    steps = mpl.colormaps["inferno"](np.linspace(0.25, 1.0, 256))
    steps[:, 3] = np.linspace(0.0, OPACITY, 256)
    return ListedColormap(steps)


def overlay(
    image: UInt8[np.ndarray, "h w"],
    heatmap: Float[np.ndarray, "h w"],
    box: Float[np.ndarray, "4"] | None = None,
    *,
    top: float | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image in RGB with the positive evidence over it; evidence against the finding is not shown.

    Args:
        image: grey levels.
        heatmap: evidence, at the size of the image (`upsample`).
        box: x0, y0, x1, y1 in pixels of the image, drawn as a line around its content.
        top: evidence with the strongest colour, as all evidence above it; the map's maximum by default. If it is not
            above 0, the image stays grey.

    Raises:
        ValueError: a heatmap that is not finite.
    """
    if not np.isfinite(heatmap).all():
        raise ValueError("the heatmap has values that are not finite")
    highest = float(heatmap.max()) if top is None else top
    share = np.clip(heatmap / highest, 0, 1) if highest > 0 else np.zeros(heatmap.shape)

    layer = colours()(share)  # (h, w, 4)
    opacity = layer[..., 3:]
    blended = (1 - opacity) * image[..., None].astype(np.float64) + opacity * 255 * layer[..., :3]
    painted = np.ascontiguousarray(np.rint(blended).astype(np.uint8))
    if box is not None and np.isfinite(box).all():
        x0, y0, x1, y1 = (round(float(edge)) for edge in box)
        cv2.rectangle(painted, (x0, y0), (x1 - 1, y1 - 1), BOX_COLOUR, max(1, min(image.shape) // 200))
    return painted


def write_overlay(
    path: Path | str,
    image: UInt8[np.ndarray, "h w"],
    heatmap: Float[np.ndarray, "h w"],
    *,
    title: str,
    unit: str,
    box: Float[np.ndarray, "4"] | None = None,
    top: float | None = None,
) -> None:
    """Write a PNG of 900 x 500 pixels, whole or not at all: the image, the image with evidence, and the scale.

    Args:
        path: the PNG file.
        image: grey levels.
        heatmap: evidence, at the size of the image.
        title: text above the images: finding, score, image id.
        unit: unit of the scale, such as "log-odds".
        box: known box of the finding, in pixels of the image.
        top: evidence at the end of the scale; use one value for images that are to be compared.

    Raises:
        ValueError: a heatmap that is not finite.
    """
    highest = float(heatmap.max()) if top is None else top
    painted = overlay(image, heatmap, top=highest)

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.0), dpi=125, layout="constrained")
        film, evidence, scale = figure.subplots(1, 3, width_ratios=(1, 1, 0.05))
        has_box = box is not None and bool(np.isfinite(box).all())

        film.set_title("film; box: its known place" if has_box else "film", fontsize=10)
        evidence.set_title("evidence for it", fontsize=10)
        for axes, picture in ((film, image), (evidence, painted)):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
            axes.set_axis_off()
            if box is not None and has_box:
                x0, y0, x1, y1 = box - 0.5  # imshow puts the centre of the first pixel at 0
                colour = tuple(level / 255 for level in BOX_COLOUR)
                axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.4))

        _draw_scale(scale, highest=highest, unit=unit)
        figure.suptitle(title, fontsize=12)
        with write_whole(path) as temporary:
            figure.savefig(temporary)


def _draw_scale(axes: Any, *, highest: float, unit: str) -> None:
    """Draw the scale in its colours over grey, or a note if there is no evidence."""
    if not highest > 0:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no evidence for it", rotation=90, ha="center", va="center")
        return
    steps = colours()(np.linspace(0, 1, 256))
    over_film = steps[:, 3:] * steps[:, :3] + (1 - steps[:, 3:]) * to_rgb(FILM_GREY)
    bar = axes.figure.colorbar(ScalarMappable(Normalize(0, highest), ListedColormap(over_film)), cax=axes)
    bar.set_label(f"{unit}\n(evidence against it is not shown)")
