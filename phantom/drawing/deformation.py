"""How findings change the anatomy before it is drawn: a larger heart, a raised diaphragm, broken ribs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

RibKey = tuple[float, int]
"""Side (+1 is the patient's left) and number of a rib, 1 to 12"""


@dataclass(frozen=True, slots=True)
class RibBreak:
    """A fracture: where along the rib, and how far the ends have moved."""

    angle: float
    """Angle around the chest from the spine (0) to the breastbone (pi), radians"""
    step: float
    """Offset of the far end, chest units"""
    gap: float
    """Half the angle that is missing between the ends, radians"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deformation:
    """Changes of the anatomy itself; without arguments, none."""

    heart: float = 0.0
    """Added to the cardiothoracic ratio"""
    mediastinum: float = 0.0
    """Added width of the upper mediastinum, chest units on each side"""
    lift_left: float = 0.0
    """Rise of the left dome of the diaphragm, chest units"""
    lift_right: float = 0.0
    """Rise of the right dome of the diaphragm, chest units"""
    engorgement: float = 0.0
    """How much wider the vessels of the lung are, 0 to 1"""
    breaks: Mapping[RibKey, RibBreak] = field(default_factory=dict)
    """Broken ribs"""


def combined(deformations: Iterable[Deformation]) -> Deformation:
    """Return all deformations in one: of each measure the largest, and all broken ribs."""
    every = [Deformation(), *deformations]
    breaks: dict[RibKey, RibBreak] = {}
    for one in every:
        breaks |= one.breaks

    return Deformation(
        heart=max(one.heart for one in every),
        mediastinum=max(one.mediastinum for one in every),
        lift_left=max(one.lift_left for one in every),
        lift_right=max(one.lift_right for one in every),
        engorgement=max(one.engorgement for one in every),
        breaks=breaks,
    )
