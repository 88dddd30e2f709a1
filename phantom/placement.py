"""Where a lesion lies: sides, zones and points, fixed by the patient's seed so that they agree from film to film."""

import numpy as np

from phantom.anatomy import Chest, heart_outline
from phantom.body import Lesion
from phantom.canvas import part_rng

RIGHT, LEFT = -1.0, 1.0

ZONE_HEIGHTS = {"upper": (0.16, 0.34), "mid": (0.42, 0.6), "lower": (0.68, 0.86)}
"""Reach of the lung's zones, as fractions of the way from the apex to the dome."""


def lesion_rng(seed: int, lesion: Lesion, part: str = "") -> np.random.Generator:
    """Return the generator of a lesion's place and shape; severity is not in it, so a lesion grows in place."""
    return part_rng(seed, f"{lesion.finding}/{lesion.kind}/{lesion.side}/{lesion.zone}/{part}")


def sides_of(lesion: Lesion, seed: int) -> tuple[float, ...]:
    """Return the signs of the sides that are affected: -1 is the patient's right, +1 the left."""
    if lesion.side == "both":
        return (RIGHT, LEFT)
    if lesion.side:
        return (LEFT if lesion.side == "left" else RIGHT,)
    return (LEFT if part_rng(seed, f"side of {lesion.finding}").random() < 0.5 else RIGHT,)


def lung_spot(
    chest: Chest, sign: float, lesion: Lesion, rng: np.random.Generator, *, across: tuple[float, float] = (0.2, 0.8)
) -> tuple[float, float]:
    """Return a point in the aerated lung of the lesion's zone, `across` of the way from heart to chest wall."""
    zones = tuple(ZONE_HEIGHTS)
    zone = lesion.zone or zones[int(rng.choice(3, p=(0.25, 0.3, 0.45)))]
    y = float(rng.uniform(*ZONE_HEIGHTS[zone])) * chest.dome(sign)
    border = heart_outline(chest)
    beside = np.abs(border[:, 1] - y) < 2.0
    reach = float(np.max(border[beside, 0] * sign, initial=2.8))
    outer = chest.wall_at(float(y)) - 1.0
    inner = min(max(reach, 2.8) + 0.3, 0.6 * outer)
    return sign * (inner + float(rng.uniform(*across)) * (outer - inner)), y
