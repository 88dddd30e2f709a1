"""A frontal chest without lesions: body, lungs, heart, airways, breasts, stomach, and harmless look-alikes."""

from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import Float32

from phantom.drawing.anatomy import (
    Chest,
    Outline,
    abdomen_outline,
    aorta_outline,
    heart_outline,
    hilum,
    knob_outline,
    lung_outline,
    mediastinum_outline,
)
from phantom.drawing.canvas import Canvas, Patch, mirrored, mottle, moved, part_rng, points, smooth, soften
from phantom.drawing.deformation import RibBreak, RibKey
from phantom.drawing.scene import Scene
from phantom.drawing.skeleton import arm_line, draw_bones, shoulder_joint
from phantom.drawing.vessels import draw_vessels

_SIDES = (-1.0, 1.0)


def frontal_scene(chest: Chest, canvas: Canvas, *, breaks: Mapping[RibKey, RibBreak], engorged: float) -> Scene:
    """Return the maps of one patient seen from the front (or the back)."""
    lung = _lungs(chest, canvas)
    scene = Scene(
        canvas=canvas,
        chest=chest,
        body=_trunk(chest, canvas),
        lung=lung,
        bone=draw_bones(chest, canvas, breaks=breaks),
        vessels=draw_vessels(chest, canvas, engorged=engorged),
        extra=canvas.blank(),
        breaks=breaks,
    )
    _hila(scene)
    _airways(scene)
    _breasts(scene)
    _bowel_gas(scene)
    _interstitium(scene)
    _look_alikes(scene)
    return scene


def _trunk(chest: Chest, canvas: Canvas) -> Float32[np.ndarray, "h w"]:
    """Body thickness: the deepest of trunk, shoulders, neck and arms along the ray, creases smoothed."""
    total = canvas.blank()
    depth = chest.body_depth
    for outline, radius, thick in (
        (_torso_outline(chest), 12.0, depth),
        (_shoulder_outline(chest), 6.0, 0.62 * depth),
        (_neck_outline(chest), 5.0, 0.55 * depth),
        (_head_outline(chest), 6.0, 0.8 * depth),
        *((_arm_outline(chest, sign), 4.0, 0.42 * depth) for sign in _SIDES),
    ):
        canvas.ridge(outline, radius=radius).max_into(total, thick)
    return soften(total * _sides_and_belly(chest, canvas), 0.3 * canvas.pixels_per_unit)


def _sides_and_belly(chest: Chest, canvas: Canvas) -> Float32[np.ndarray, "h w"]:
    """Relative depth: less towards the flanks and the shoulders, more over the belly."""
    x = (np.arange(canvas.width, dtype=np.float32) - canvas.origin[0]) / canvas.pixels_per_unit
    y = (np.arange(canvas.height, dtype=np.float32) - canvas.origin[1]) / canvas.pixels_per_unit
    across = 1.04 - 0.28 * np.clip(x / 19.0, -1, 1) ** 2
    down = np.interp(y, (-4.0, 0.4 * chest.full_height, chest.right_dome, chest.sulcus + 6), (0.9, 0.98, 1.04, 1.2))
    return np.outer(down, across).astype(np.float32)


def _torso_outline(chest: Chest) -> Outline:
    y = np.linspace(0.16 * chest.full_height, chest.sulcus, 9)
    side = np.stack([chest.wall(y) + chest.fat + 0.6 * np.sin(np.linspace(0, 3.1, 9)), y], axis=1)
    top = points((0.3 * chest.half_width, -1.5), (0.8 * chest.half_width, 0.3))
    belly = chest.half_width + chest.fat + 0.5 * max(chest.build, 0)
    half = smooth(
        np.vstack([top, side, points((belly, chest.sulcus + 6.0), (belly - 0.5, chest.sulcus + 20.0))]), steps=4
    )
    return np.vstack([half, mirrored(half[::-1], -1.0)])


def _shoulder_outline(chest: Chest) -> Outline:
    joint, y = shoulder_joint(chest, 1.0)
    neck = _neck_width(chest)
    half = smooth(
        points(
            (neck - 0.3, y - 7.0),
            (neck + 1.8, y - 4.4),
            (0.62 * joint, y - 3.4),
            (0.92 * joint, y - 3.0),
            (joint + 2.6, y - 1.2),
            (joint + 3.6, y + 3.5),
            (joint + 1.0, y + 9.0),
            (0.8 * joint, y + 12.0),
            (0.4 * joint, y + 13.0),
        ),
        steps=5,
    )
    return np.vstack([half, mirrored(half[::-1], -1.0)])


def _neck_width(chest: Chest) -> float:
    return (5.4 if chest.female else 6.0) * (1.12 - 0.12 * chest.maturity) + 0.5 * chest.build


def _neck_outline(chest: Chest) -> Outline:
    wide = _neck_width(chest)
    half = points((wide + 0.2, -30.0), (wide, -8.0), (wide + 0.6, -3.0), (wide + 0.6, 3.0))
    return np.vstack([half, mirrored(half[::-1], -1.0)])


def _head_outline(chest: Chest) -> Outline:
    """The chin: it enters the film of a child, whose neck is short."""
    chin = float(np.interp(chest.maturity, (0, 0.3, 1), (-4.0, -6.5, -13.0)))
    wide = 9.0 + 5.0 * (1 - chest.maturity)
    half = smooth(points((0.0, chin), (0.5 * wide, chin - 0.8), (0.85 * wide, chin - 4.0), (wide, chin - 12.0)))
    return np.vstack([half, mirrored(half[::-1], -1.0)])


def _arm_outline(chest: Chest, sign: float) -> Outline:
    line = arm_line(chest, sign)
    half = 3.7 + 0.6 * chest.build + np.linspace(0.6, -0.2, len(line))
    return np.vstack([line - np.stack([half, 0 * half], axis=1), (line + np.stack([half, 0 * half], axis=1))[::-1]])


def _lungs(chest: Chest, canvas: Canvas) -> Float32[np.ndarray, "h w"]:
    """Aerated path: the chest cavity minus heart, mediastinum and the dome of the diaphragm."""
    lung = canvas.blank()
    for sign in _SIDES:
        canvas.ridge(lung_outline(chest, sign), radius=6.5).max_into(lung, chest.lung_depth)

    # What is not lung: heart, great vessels, and the liver and stomach below the domes.
    solid = canvas.blank()
    canvas.ridge(heart_outline(chest), radius=4.2).add_to(solid, 0.72 * chest.lung_depth)
    canvas.ridge(mediastinum_outline(chest), radius=1.6).add_to(solid, 0.8 * chest.lung_depth)
    canvas.ridge(knob_outline(chest), radius=1.6).add_to(solid, 0.5 * chest.lung_depth)
    canvas.ridge(aorta_outline(chest), radius=1.2).add_to(solid, 0.16 * chest.lung_depth)
    for sign in _SIDES:
        canvas.ridge(abdomen_outline(chest, sign), radius=2.6).add_to(solid, 0.97 * chest.lung_depth)

    aerated: Float32[np.ndarray, "h w"] = np.maximum(lung - solid, np.float32(0))
    return aerated


def _hila(scene: Scene) -> None:
    """Pulmonary arteries: overlapping rounded shadows beside the heart."""
    for sign in _SIDES:
        x, y = hilum(scene.chest, sign)
        rng = part_rng(scene.chest.seed, f"hilum{sign}")
        scene.canvas.blob((x, y), (1.5, 2.8), angle=sign * 0.25).add_to(scene.vessels, 1.1)
        for dx, dy in rng.normal(0, (0.8, 1.7), (5, 2)):
            scene.canvas.blob((x + 0.4 * sign + dx, y + dy), (0.6, 0.75)).add_to(scene.vessels, 0.7)


def trachea_line(chest: Chest) -> Outline:
    """Return the windpipe from the neck to the carina, pushed right by the aortic arch."""
    carina = chest.level(5.2)
    push = -0.35 - 0.25 * chest.frailty
    line = smooth(points((0.0, -9.0), (0.0, -2.0), (0.4 * push, 2.0), (push, 0.75 * carina), (push, carina)))
    return moved(line, chest.anterior_shift(2.0))


def _airways(scene: Scene) -> None:
    chest, canvas = scene.chest, scene.canvas
    layer = canvas.layer()
    line = trachea_line(chest)
    canvas.stroke(layer, [line], width=1.75, value=1.0)

    # Main bronchi: the right one steeper and shorter.
    x, y = line[-1]
    right = smooth(points((x, y - 0.3), (x - 1.6, y + 1.5), (x - 2.9, y + 3.8)))
    left = smooth(points((x, y - 0.3), (x + 2.2, y + 1.3), (x + 4.2, y + 2.8)))
    canvas.stroke(layer, [right, left], width=1.15, value=0.7)

    gas = cv2.GaussianBlur(layer, (0, 0), 0.2 * canvas.pixels_per_unit)
    scene.add_layer(gas, -2.1)


def _breasts(scene: Scene) -> None:
    """Breast shadows of women from about 12 years; men have a little pectoral tissue."""
    chest = scene.chest
    rng = part_rng(chest.seed, "breasts")
    size, droop, uneven = rng.normal(size=3)

    grown = float(np.clip((chest.age_years - 11) / 6, 0, 1)) if chest.female else 0.0
    thick = grown * max(1.2, 3.3 + 0.9 * size + 0.8 * chest.build)
    if not chest.female and chest.maturity > 0.8:
        thick = 0.7 + 0.5 * max(chest.build, 0)
    if thick < 0.3:
        return

    for sign in _SIDES:
        wide = (5.6 + 0.5 * size + 0.4 * max(chest.build, 0)) * (1 + 0.04 * sign * uneven)
        y = (0.72 + 0.04 * droop + 0.05 * chest.frailty) * chest.full_height + 0.4 * sign * uneven
        x = 0.6 * chest.half_width
        outline = smooth(
            points(
                (x - 0.75 * wide, y - 0.9 * wide),
                (x - 0.95 * wide, y + 0.3 * wide),
                (x - 0.55 * wide, y + 0.92 * wide),
                (x + 0.1 * wide, y + 1.05 * wide),
                (x + 0.8 * wide, y + 0.75 * wide),
                (x + 1.15 * wide, y),
                (x + 0.95 * wide, y - 1.3 * wide),
                (x + 0.1 * wide, y - 1.9 * wide),
            ),
            closed=True,
        )

        # Thickest at the lower fold, where the tissue hangs.
        patch = scene.canvas.ridge(mirrored(outline, sign), radius=0.7 * wide)
        hang = np.linspace(0.0, 1.0, len(patch.values), dtype=np.float32)[:, None] ** 1.3
        Patch(patch.top, patch.left, patch.values * hang).add_to(scene.body, thick)


def _bowel_gas(scene: Scene) -> None:
    chest, rng = scene.chest, part_rng(scene.chest.seed, "bowel")

    # The stomach bubble below the left dome.
    under = chest.left_dome + 1.6
    bubble = (0.42 * chest.half_width + rng.normal(0, 0.8), under + rng.uniform(1.0, 2.2))
    wide = rng.uniform(1.6, 3.4)
    stomach = _bubble(bubble, wide, rng.uniform(1.0, 1.9))
    scene.canvas.flat(stomach, blur=0.25).add_to(scene.extra, -rng.uniform(1.5, 5.5))

    # Loops of bowel.
    for _ in range(rng.integers(1, 5)):
        spot = (rng.uniform(-0.6, 0.8) * chest.half_width, chest.left_dome + rng.uniform(6, 12))
        scene.canvas.flat(_bubble(spot, rng.uniform(0.8, 2.4), rng.uniform(0.7, 1.5)), blur=0.3).add_to(
            scene.extra, -rng.uniform(1.0, 3.5)
        )


def _bubble(centre: tuple[float, float], wide: float, tall: float) -> Outline:
    """Gas with a rounded roof and a flatter floor, where the fluid level is."""
    t = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    y = np.sin(t)
    return np.stack([centre[0] + wide * np.cos(t), centre[1] + tall * np.where(y > 0, 0.45 * y, y)], axis=1)


def _interstitium(scene: Scene) -> None:
    """Fine structure of the lung below the size of a vessel, and its slow unevenness."""
    canvas, rng = scene.canvas, part_rng(scene.chest.seed, "interstitium")
    unit = canvas.pixels_per_unit
    shape = (canvas.height, canvas.width)
    texture = mottle(shape, grain=0.45 * unit, rng=rng)
    cv2.scaleAdd(mottle(shape, grain=2.6 * unit, rng=rng), 1.0, texture, dst=texture)
    cv2.scaleAdd(texture, 0.06 * (1 + 0.6 * scene.chest.frailty), scene.vessels, dst=scene.vessels)


def _look_alikes(scene: Scene) -> None:
    """Things that are no finding: nipples, calcified granulomas."""
    chest, canvas = scene.chest, scene.canvas
    rng = part_rng(chest.seed, "look-alikes")
    if chest.maturity > 0.8 and rng.random() < 0.3:
        for sign in _SIDES:
            x = sign * (0.62 * chest.half_width + rng.normal(0, 0.3))
            canvas.blob((x, 0.86 * chest.full_height + rng.normal(0, 0.5)), (0.5, 0.5)).add_to(scene.extra, 0.75)
    if rng.random() < 0.1 + 0.3 * chest.frailty:
        for _ in range(rng.integers(1, 4)):
            spot = (rng.uniform(-0.8, 0.8) * chest.half_width, rng.uniform(0.15, 0.8) * chest.full_height)
            canvas.blob(spot, (0.16, 0.16)).add_to(scene.extra, 1.2)
