"""What every reader of pixels shares: their form, the largest size, a film's range, and the error with a reason."""

import numpy as np
from jaxtyping import Int, Shaped, UInt8

Pixels = UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]

# The largest radiographs have about 20 million pixels. Pillow itself warns from 89 million on.
MAX_PIXELS = 80_000_000

_MOST = 0.995
"""Share of a film's pixels that its range must hold; soft-edged marks cover less"""
_MOST_MARKED = 0.25
"""Largest share of a film's pixels that marks and borders of several levels cover"""
_FEWEST_LEVELS = 16
"""Pictures of fewer grey levels are drawings or masks: every level counts"""


def brightest_of_film(values: Shaped[np.ndarray, "v"], counts: Int[np.ndarray, "v"], darkest: float) -> float:
    """Return the value to be shown as white: the highest one, unless burnt-in marks lie far above the film.

    Marks are the pixels above a gap without pixels that doubles the range, a single level or a quarter of the pixels at
    most; or, with soft edges, up to 0.5 % of the pixels that quadruple the range. Scaled to a mark at 65,535, a 12-bit
    film would have 16 grey levels and look black.

    Args:
        values: Distinct values, increasing.
        counts: Number of pixels of each value.
        darkest: Value that is shown as black.
    """
    if len(values) < _FEWEST_LEVELS:
        return float(values[-1])
    share = np.cumsum(counts) / counts.sum()
    gaps = np.flatnonzero(values[1:] - darkest >= 2 * (values[:-1] - darkest))
    for gap in gaps[gaps >= _FEWEST_LEVELS - 1]:
        if 1.0 - share[gap] <= _MOST_MARKED or gap == len(values) - 2:
            values, share = values[: gap + 1], share[: gap + 1] / share[gap]
            break

    brightest, most = float(values[-1]), float(values[np.searchsorted(share, _MOST)])
    return most if 4 * (most - darkest) <= brightest - darkest else brightest


class UnreadableImageError(ValueError):
    """An image that cannot become a row.

    Attributes:
        reason: a short phrase that is the same for all images with this fault, so that a flow table can count it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
