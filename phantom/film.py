"""Draws one film of one patient: anatomy and lesions give attenuation, attenuation gives grey levels."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from phantom.body import DEVICE_KINDS, FINDINGS, VIEWS, Body, Box, Exposure, Lesion, View
from phantom.drawing.anatomy import Chest, chest_of
from phantom.drawing.canvas import Canvas
from phantom.drawing.deformation import Deformation, combined
from phantom.drawing.film_exposure import burn_in, develop
from phantom.drawing.frontal import frontal_scene
from phantom.drawing.lateral import lateral_scene
from phantom.drawing.mishaps import add_mishaps
from phantom.drawing.scene import Scene
from phantom.findings.registry import PHANTOM_FINDINGS

__all__ = ["DEVICE_KINDS", "FINDINGS", "VIEWS", "Body", "Exposure", "Film", "Lesion", "View", "draw_film"]

_LONG_SIDE_CM = 43.2
_SHORT_OVER_LONG = 0.83
_LANDSCAPE_SHARE = {"PA": 0.12, "AP": 0.5, "LATERAL": 0.0}
_SHARPNESS = {"PA": 0.05, "AP": 0.09, "LATERAL": 0.06}
_SCATTER = {"PA": 0.45, "AP": 0.8, "LATERAL": 0.6}
"""A portable film is taken at a shorter distance and without a grid: larger focal blur, more scatter"""

_SMALLEST = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A radiograph and where its focal findings lie."""

    image: UInt8[np.ndarray, "h w"]
    """Grey levels, air black and bone white"""
    boxes: dict[str, Box] = field(default_factory=dict)
    """Finding -> x0, y0, x1, y1 in pixels (x1, y1 exclusive); diffuse findings and lateral films have none"""


def draw_film(
    body: Body,
    lesions: Sequence[Lesion] = (),
    *,
    view: View = "PA",
    exposure: Exposure | None = None,
    image_size: int = 512,
    rng: np.random.Generator,
) -> Film:
    """Draw one film.

    The patient (`body.seed`) fixes anatomy and the place of every lesion; `rng` draws what changes from film to film:
    format, collimation, marker, skin folds, electrodes, noise. The same arguments give the same bytes. Lesions do not
    change which random numbers are drawn, so that a film with and without a lesion can be subtracted.

    Args:
        body: The patient.
        lesions: Abnormalities; none gives a normal film. Two of one finding are allowed.
        view: "PA", "AP" (portable) or "LATERAL".
        exposure: How the film was taken; None for a good exposure.
        image_size: Longest side in pixels; the other is 0.83 of it.
        rng: The film's generator.

    Raises:
        ValueError: If `view` is unknown or `image_size` below 32.
    """
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(VIEWS)}, found {view!r}")
    if image_size < _SMALLEST:
        raise ValueError(f"image_size must be at least {_SMALLEST} pixels, found {image_size}")
    exposure = exposure or Exposure()
    # One generator per step, so that a lesion never changes how much another step draws.
    set_up, chance, quanta, writing = rng.spawn(4)

    # From patient and lesions to the thickness of everything that the ray crosses.
    deformation = deformation_by(lesions, body)
    chest = chest_of(body, view=view, exposure=exposure, deformation=deformation)
    canvas = _canvas(chest, view=view, exposure=exposure, image_size=image_size, rng=set_up)
    scene = _scene(lesions, deformation, chest=chest, canvas=canvas, view=view)
    add_mishaps(scene, view=view, rng=chance)

    # From attenuation to grey levels.
    image = develop(
        scene.attenuation(),
        exposure=exposure,
        sharpness=_SHARPNESS[view],
        scatter=_SCATTER[view],
        pixels_per_unit=canvas.pixels_per_unit,
        rng=quanta,
    )
    burn_in(image, view=view, rng=writing)
    return Film(image=image, boxes={} if view == "LATERAL" else scene.boxes)


def deformation_by(lesions: Sequence[Lesion], body: Body) -> Deformation:
    """Return how the lesions together change the anatomy of `body`."""
    return combined(PHANTOM_FINDINGS[lesion.finding].deform(lesion, body.seed) for lesion in lesions)


def _scene(lesions: Sequence[Lesion], deformation: Deformation, *, chest: Chest, canvas: Canvas, view: View) -> Scene:
    """Return the chest of one patient with all lesions painted in."""
    if view == "LATERAL":
        scene = lateral_scene(chest, canvas, engorged=deformation.engorgement)
        for lesion in lesions:
            PHANTOM_FINDINGS[lesion.finding].draw_lateral(scene, lesion)
        return scene

    scene = frontal_scene(chest, canvas, breaks=deformation.breaks, engorged=deformation.engorgement)
    for lesion in sorted(lesions, key=lambda one: PHANTOM_FINDINGS[one.finding].drawn_last):
        PHANTOM_FINDINGS[lesion.finding].draw_frontal(scene, lesion)
    return scene


def _canvas(chest: Chest, *, view: View, exposure: Exposure, image_size: int, rng: np.random.Generator) -> Canvas:
    """Return the film's geometry: a full-size film for adults, cut down to the body for children."""
    landscape = rng.random() < _LANDSCAPE_SHARE[view]
    short = round(image_size * _SHORT_OVER_LONG)
    height, width = (short, image_size) if landscape else (image_size, short)

    # A chest that fills less than the film is collimated; at the bedside the tube is nearer, which magnifies by 5 %.
    cut = 42.0 * chest.scale * float(rng.uniform(0.96, 1.04))
    units = min(_LONG_SIDE_CM, cut) / chest.scale / (1.05 if view == "AP" else 1.0)
    scale = image_size / units

    # Chest units of film above the apices; centring is never exact.
    top = (4.2 if landscape else 5.2) + float(rng.normal(0, 0.7))
    return Canvas(
        height=height,
        width=width,
        pixels_per_unit=scale,
        origin=(
            width * (0.5 + exposure.shift_x + 0.012 * float(rng.normal())),
            top * scale + height * exposure.shift_y,
        ),
        tilt=float(np.radians(exposure.tilt_degrees)),
    )
