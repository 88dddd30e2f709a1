"""CheXzero's geometry: the longest side to the resolution, the rest black."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from preprocess.decode import UnreadableImageError

RESIZE_RULE = "longest side to resolution, sides truncated, LANCZOS width then height, centred on black"


def fitted_size(width: int, height: int, resolution: int) -> tuple[int, int]:
    """Return (width, height) after scaling: `int(side * (resolution / longest side))`.

    Both sides are truncated, in float64, so that some longest sides (303, 581, 606, 1077, ...) come out one pixel
    short of the resolution.

    Source: rajpurkarlab/CheXzero@5c341db, data_process.py, the rule that its published weights were trained under.
    """
    ratio = float(resolution) / max(width, height)
    return int(width * ratio), int(height * ratio)


def fit_to_square(
    image: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"], resolution: int = 320
) -> UInt8[np.ndarray, "r r"]:
    """Return the image scaled by `fitted_size`, grey, in the middle of a black square; smaller images are enlarged.

    The filter is LANCZOS, over the width first and the height second, 8 bits in between. Colour is resized as colour
    and turned to grey afterwards (ITU-R 601 luma); the other order moves strongly coloured pixels by up to 25 levels.
    An odd margin is one pixel wider on the right and below.

    Args:
        image: grey, or three channels R, G, B.
        resolution: side of the square in pixels.

    Raises:
        UnreadableImageError: the image is so narrow that a side would be truncated to nothing.

    Source: rajpurkarlab/CheXzero@5c341db, data_process.py. Pixels equal those of Pillow 9.5, which always took the
    width first; later versions may take the height first for narrow tall pictures, hence two calls here.
    """
    height, width = image.shape[:2]
    new_width, new_height = fitted_size(width, height, resolution)
    if min(new_width, new_height) == 0:
        raise UnreadableImageError("image is too narrow", f"{width} x {height} has no pixel left at {resolution}")
    scaled = (
        Image.fromarray(image)
        .resize((new_width, height), Image.Resampling.LANCZOS)
        .resize((new_width, new_height), Image.Resampling.LANCZOS)
    )
    square = np.zeros((resolution, resolution), dtype=np.uint8)
    left, top = (resolution - new_width) // 2, (resolution - new_height) // 2
    square[top : top + new_height, left : left + new_width] = np.asarray(scaled.convert("L"))
    return square
