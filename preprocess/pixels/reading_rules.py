"""What every reader of pixels shares: their form, the largest size, and the error that names a reason."""

import numpy as np
from jaxtyping import UInt8

Pixels = UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]

# The largest radiographs have about 20 million pixels. Pillow itself warns from 89 million on.
MAX_PIXELS = 80_000_000


class UnreadableImageError(ValueError):
    """An image that cannot become a row.

    Attributes:
        reason: a short phrase that is the same for all images with this fault, so that a flow table can count it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
