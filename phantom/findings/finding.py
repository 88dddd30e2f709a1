"""What the phantom has to know of one finding: how often it occurs, how it is drawn, and how a report says it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phantom.body import Lesion
from phantom.drawing.deformation import Deformation
from phantom.drawing.scene import Scene, sides_of

Factor = Literal["congestion", "infection", "acuity", "injury", "tumour"]
"""A cause that several findings share; `phantom.patients.disease` gives its course"""

Region = Literal["lungs", "pleura", "heart", "bones", "devices"]

Painter = Callable[[Scene, Lesion], None]
SidePainter = Callable[[Scene, Lesion, float], None]
"""Paints one side: -1 is the patient's right, +1 the left"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where in the chest a new finding appears."""

    sides: tuple[float, float, float]
    """Probabilities of left, right and both"""
    zones: tuple[float, float, float]
    """Probabilities of upper, mid and lower zone"""
    joins: tuple[str, float] | None = None
    """A finding whose place it may take, and the probability of that"""
    avoids: tuple[str, ...] = ()
    """Findings whose exact place it never takes"""


def unchanged(_: Lesion, __: int) -> Deformation:
    """Return no change of the anatomy."""
    return Deformation()


def not_drawn(_: Scene, __: Lesion) -> None:
    """Leave the film as it is."""


def no_tags(_: Lesion) -> frozenset[str]:
    """Return no tags."""
    return frozenset()


def no_words(_: Lesion, __: int) -> dict[str, str]:
    """Return no words."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding of the phantom. Its phrases are in the CSV file beside its module."""

    name: str
    """One of `phantom.body.FINDINGS`"""

    # How often, with what else, for how long and where.
    prevalence: float
    """Share of studies that show it, at the reference age and outside groups with odds of their own"""
    prevalence_age_slope: float = 0.0
    """Change of its log odds per decade of age"""
    loadings: Mapping[Factor, float]
    """Factor -> its loading on the finding's liability"""
    persistence: float
    """Share of the remaining variance that belongs to the patient and not to the visit: a scar stays, oedema goes"""
    places: Places | None = None
    """Where it appears; None for findings without side and zone"""
    airspace: bool = False
    """Whether it is an opacity of the air spaces: a film that shows it also shows "Lung Opacity" """

    # How it is drawn.
    deform: Callable[[Lesion, int], Deformation] = unchanged
    """(lesion, the patient's seed) -> how it changes the anatomy"""
    draw_frontal: Painter
    """Paints into a frontal scene and marks its box"""
    draw_lateral: Painter = not_drawn
    """Paints into a lateral scene"""
    drawn_last: bool = False
    """Whether it lies over everything else on a frontal film"""

    # How a report says it.
    region: Region
    """Where the findings section describes it"""
    urgency: int = 0
    """Place in the report: the highest comes first"""
    denial_weight: float = 0.0
    """How often an impression states its absence, relative to other findings; 0 for never"""
    odd_denials: frozenset[str] = frozenset()
    """Findings whose absence no radiologist would state beside it"""
    complaints: tuple[tuple[str, str], ...] = ()
    """Complaints that bring such a patient to radiology, each with the question asked"""
    tags: Callable[[Lesion], frozenset[str]] = no_tags
    """Conditions of its own for the column `when` of its phrases"""
    words: Callable[[Lesion, int], Mapping[str, str]] = no_words
    """(lesion, the patient's seed) -> words for gaps of its own in its phrases"""

    @property
    def phrases_path(self) -> Path:
        """The table of its phrases."""
        return Path(__file__).with_name(f"{self.name.lower().replace(' ', '_')}.csv")


def each_side(draw: SidePainter) -> Painter:
    """Return a painter that calls `draw` for every side that the lesion affects."""

    def draw_sides(scene: Scene, lesion: Lesion) -> None:
        for sign in sides_of(lesion, scene.chest.seed):
            draw(scene, lesion, sign)

    return draw_sides
