"""A lateral chest without lesions: spine behind (to the right of the film), breastbone and heart in front.

Here x runs from front to back of the patient; y is the same as on the frontal film.
"""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from phantom.drawing.anatomy import Chest, Outline
from phantom.drawing.canvas import Canvas, ellipse, mottle, moved, part_rng, points, ribbon, smooth, soften
from phantom.drawing.scene import Scene
from phantom.drawing.skeleton import BONE_FULL_SCALE, rib_points
from phantom.drawing.vessels import draw_trees, grow_tree

_DEPTH = 9.8
"""Half the inner chest from front to back"""

_BODY_WIDTH = 27.0
_LUNG_WIDTH = 19.0


def lateral_scene(chest: Chest, canvas: Canvas, *, engorged: float) -> Scene:
    """Return the maps of one patient seen from the side."""
    scene = Scene(
        canvas=canvas,
        chest=chest,
        body=_trunk(chest, canvas),
        lung=_lungs(chest, canvas),
        bone=_bones(chest, canvas),
        vessels=_vessels(chest, canvas, engorged),
        extra=canvas.blank(),
    )
    _airway(scene)
    _gas(scene)
    return scene


def depth_factor(chest: Chest) -> float:
    """Return how deep this chest is: the young and the emphysematous are barrel-shaped."""
    return 1.0 + 0.1 * (1 - chest.maturity) + 0.06 * chest.frailty


def _trunk(chest: Chest, canvas: Canvas) -> Float32[np.ndarray, "h w"]:
    deep, fat = depth_factor(chest), 0.6 * (chest.fat - 2.4)
    grown = float(np.clip((chest.age_years - 11) / 6, 0, 1)) if chest.female else 0.0
    bust = grown * (1.6 + 0.4 * max(chest.build, 0))

    # Chin and neck, breastbone, breasts, belly.
    front = points(
        (-6.2, -14.0),
        (-5.4, -5.0),
        (-6.3, 0.0),
        (-9.5 * deep, 5.0),
        (-12.0 * deep - fat - 0.15 * bust, 0.4 * chest.full_height),
        (-12.8 * deep - fat - 0.9 * bust, 0.62 * chest.full_height),
        (-13.0 * deep - fat - bust, 0.75 * chest.full_height),
        (-13.0 * deep - fat - 0.5 * bust, 0.86 * chest.full_height),
        (-13.0 * deep - 1.6 * fat, chest.full_height + 5.0),
        (-13.5 * deep - 2.0 * fat, chest.full_height + 20.0),
    )

    # Upwards along the back: loin, chest, nape.
    back = points(
        (12.5 * deep + fat, chest.full_height + 20.0),
        (12.0 * deep + fat, chest.full_height + 4.0),
        (13.0 * deep + fat, 0.55 * chest.full_height),
        (13.2 * deep + fat, 7.0),
        (11.0 * deep, 0.5),
        (7.0, -4.0),
        (6.5, -14.0),
    )

    total = canvas.blank()
    outline = np.vstack([smooth(front, steps=5), smooth(back, steps=5)])
    canvas.ridge(outline, radius=8.0).add_to(total, _BODY_WIDTH + 1.5 * chest.build)
    shoulders = canvas.blob((1.5, 0.5), (10.0, 6.0))
    shoulders.add_to(total, 9.0)

    # Thinner at the neck, thicker at the belly.
    y = (np.arange(canvas.height, dtype=np.float32) - canvas.origin[1]) / canvas.pixels_per_unit
    down = np.interp(y, (-6.0, 0.3 * chest.full_height, chest.sulcus + 6), (0.7, 0.95, 1.15)).astype(np.float32)
    return soften(total * down[:, None], 0.3 * canvas.pixels_per_unit)


def lateral_lung(chest: Chest, sign: float) -> Outline:
    """Return one lung seen from the side; the two differ in their domes."""
    deep, top = depth_factor(chest), chest.dome(sign)
    d, h = _DEPTH * deep, chest.full_height
    drop = chest.sulcus - top
    return smooth(
        points(
            # Apex, and down behind the breastbone.
            (0.5, 0.6),
            (-0.32 * d, 2.0),
            (-0.68 * d, 0.22 * h),
            (-0.9 * d, 0.45 * h),
            (-0.95 * d, 0.75 * h),
            # Over the dome to the posterior angle, the deepest point.
            (-0.93 * d, top + 0.5 * drop),
            (-0.6 * d, top + 0.12 * drop),
            (-0.2 * d, top),
            (0.25 * d, top + 0.16 * drop),
            (0.62 * d, top + 0.6 * drop),
            (0.84 * d, chest.sulcus + 0.3),
            # Up along the back ribs.
            (0.94 * d, 0.85 * h),
            (0.98 * d, 0.55 * h),
            (0.86 * d, 0.25 * h),
            (0.45 * d, 2.2),
        ),
        closed=True,
        steps=5,
    )


def lateral_heart(chest: Chest) -> Outline:
    """Return the heart's border: in front and below, on the left dome, deeper when it is wider."""
    d = _DEPTH * depth_factor(chest)
    grow = chest.cardiothoracic_ratio / 0.46
    front, back = -0.92 * d, -0.92 * d + 11.6 * grow
    low = min(chest.left_dome, 1.05 * chest.full_height) + 0.9
    top = 0.4 * chest.full_height
    mid = 0.5 * (front + back)

    return smooth(
        points(
            # Right ventricle behind the breastbone, up to the great vessels.
            (front + 0.3, low - 3.0),
            (front + 1.0, low - 6.2),
            (front + 3.2, top + 3.0),
            (mid + 0.3, top + 0.4),
            # Left atrium and left ventricle behind.
            (back - 2.4, top + 1.8),
            (back - 0.5, low - 7.0),
            (back - 0.6, low - 3.0),
            # On the diaphragm.
            (mid + 2.0, low + 0.4),
            (front + 2.6, low + 0.8),
        ),
        closed=True,
    )


def _lungs(chest: Chest, canvas: Canvas) -> Float32[np.ndarray, "h w"]:
    lung, solid = canvas.blank(), canvas.blank()
    for sign in (-1.0, 1.0):
        canvas.ridge(lateral_lung(chest, sign), radius=3.0).add_to(lung, 0.5 * _LUNG_WIDTH)
    canvas.ridge(lateral_heart(chest), radius=4.5).add_to(solid, 0.5 * _LUNG_WIDTH)

    # Great vessels above the heart, and the aortic arch.
    h, wide = chest.full_height, chest.widening
    front = points((-5.5 - wide, 0.44 * h), (-5.0 - wide, 0.24 * h), (-2.6, 0.02 * h))
    great = smooth(np.vstack([front, points((2.5, 0.02 * h), (3.0, 0.5 * h))]))
    canvas.ridge(great, radius=2.5).add_to(solid, (0.17 + 0.05 * wide) * _LUNG_WIDTH)
    arch = ribbon(aorta_line(chest), 1.1 + 0.1 * chest.knob)
    canvas.ridge(np.vstack([arch[0], arch[1][::-1]]), radius=1.2).add_to(solid, 0.1 * _LUNG_WIDTH)

    aerated: Float32[np.ndarray, "h w"] = np.maximum(lung - solid, np.float32(0))
    return aerated


def aorta_line(chest: Chest) -> Outline:
    """Return the course of the aorta: up from the heart, over, and down in front of the spine."""
    h = chest.full_height
    arch = points((-3.6, 0.46 * h), (-3.4, 0.3 * h), (-0.6, 0.22 * h), (2.8, 0.29 * h))
    return smooth(np.vstack([arch, points((4.6, 0.5 * h), (4.6, h))]))


def spine_x(chest: Chest, y: float) -> float:
    """Return how far back the vertebral bodies lie at a height: kyphosis of the chest, lordosis of the loin."""
    kyphosis = 2.8 + 1.6 * chest.frailty
    return 4.2 + kyphosis * float(np.sin(np.clip(y / chest.full_height, -0.3, 1.45) * np.pi * 0.85 + 0.25))


def _bones(chest: Chest, canvas: Canvas) -> Float32[np.ndarray, "h w"]:
    layers = [_lateral_spine(chest, canvas), *(_lateral_ribs(chest, canvas, sign) for sign in (-1.0, 1.0))]
    layers.append(_sternum_and_blades(chest, canvas))
    total = canvas.blank()
    for layer in layers:
        cv2.accumulate(layer, total)
    return total * np.float32((0.7 + 0.3 * chest.maturity) * BONE_FULL_SCALE / 255)


def _lateral_spine(chest: Chest, canvas: Canvas) -> UInt8[np.ndarray, "h w"]:
    layer = canvas.layer()
    pitch = chest.level(2.0) - chest.level(1.0)
    for number in range(-4, 28):
        y = chest.level(float(number))
        x, ahead = spine_x(chest, y), spine_x(chest, y + 1.0) - spine_x(chest, y)
        deep = float(np.interp(number, (-4, 1, 12, 18), (0.8, 1.1, 1.65, 1.9)))
        tall = 0.4 * pitch * (1 - 0.15 * chest.frailty)
        corners = points(
            (-deep, -tall), (deep, -tall), (0.9 * deep, 0.0), (deep, tall), (-deep, tall), (-0.88 * deep, 0.0)
        )

        body = moved(corners @ np.array([[1.0, -ahead], [ahead, 1.0]]), x, y)
        canvas.fill(layer, body, 0.28)
        canvas.stroke(layer, [body], width=0.16, value=0.45, closed=True)

        # The spinous process, pointing back and down.
        process = points((deep + 0.3, -0.2 * tall), (deep + 1.8, 0.6 * tall), (deep + 3.3, 2.4 * tall))
        canvas.stroke(layer, [moved(process, x, y)], width=0.6, value=0.14)
    return layer


def _lateral_ribs(chest: Chest, canvas: Canvas, sign: float) -> UInt8[np.ndarray, "h w"]:
    layer = canvas.layer()
    reach = (_DEPTH + 0.4) * depth_factor(chest) * (1.0 + 0.02 * sign)
    _, ends = rib_points(chest, sign, np.full((12, 1), 0.1))
    angle = np.linspace(0.09, ends, 24, axis=1)
    lines, _ = rib_points(chest, sign, angle)

    # Seen from the side, the hoop's cosine is its depth; the upper ribs are shorter.
    hoop = np.cos(angle) * np.interp(np.arange(1, 13), (1, 4, 12), (0.55, 0.95, 1.0))[:, None]
    side = np.stack([reach * np.sign(hoop) * np.abs(hoop) ** 0.8, lines[..., 1] + 0.35 * sign], axis=2)

    upper, lower = ribbon(side, 0.45)
    for band in np.concatenate([upper, lower[:, ::-1]], axis=1):
        canvas.fill(layer, band, 0.08)
    canvas.stroke(layer, np.concatenate([upper, lower]), width=0.13, value=0.17)
    return layer


def _sternum_and_blades(chest: Chest, canvas: Canvas) -> UInt8[np.ndarray, "h w"]:
    layer, d = canvas.layer(), _DEPTH * depth_factor(chest)
    h = chest.full_height
    line = smooth(points((-0.62 * d, 0.08 * h), (-0.9 * d, 0.24 * h), (-1.06 * d, 0.42 * h), (-1.1 * d, 0.66 * h)))
    edges = ribbon(line, 0.5)
    canvas.fill(layer, np.vstack([edges[0], edges[1][::-1]]), 0.24)
    canvas.stroke(layer, edges, width=0.15, value=0.4)

    # Shoulder blades behind, and the raised arms in front.
    rng = part_rng(chest.seed, "blades")
    for shift in rng.normal(0, 0.8, 2):
        blade = smooth(points((4.0 + shift, 1.0), (6.8 + shift, 5.0), (8.6 + shift, 10.0), (8.8 + shift, 12.5)))
        canvas.stroke(layer, [blade], width=0.35, value=0.12)
        canvas.stroke(layer, [points((1.0 + 3 * shift, 2.0), (-4.0 + 3 * shift, -12.0))], width=2.2, value=0.14)
    return layer


def _vessels(chest: Chest, canvas: Canvas, engorged: float) -> Float32[np.ndarray, "h w"]:
    rng = part_rng(chest.seed, "lateral vessels")
    root = np.array([0.6, 0.44 * chest.full_height])
    headings = np.linspace(0.2, 2 * np.pi, 13, endpoint=False) + rng.normal(0, 0.15, 13)
    reach = np.where(np.sin(headings) > 0, 0.5, 0.36) * chest.full_height
    starts = root + 0.8 * np.stack([np.cos(headings), np.sin(headings)], axis=1)

    vessels = draw_trees([grow_tree(starts, headings, reach, 1.0, rng)], chest, canvas, engorged=engorged)

    # Both hila in one shadow, then the texture below the size of a vessel.
    canvas.blob((0.6, 0.45 * chest.full_height), (1.8, 2.4)).add_to(vessels, 1.4)
    texture = mottle((canvas.height, canvas.width), grain=0.5 * canvas.pixels_per_unit, rng=rng)
    cv2.scaleAdd(texture, 0.06, vessels, dst=vessels)
    return vessels


def _airway(scene: Scene) -> None:
    layer, h = scene.canvas.layer(), scene.chest.full_height
    scene.canvas.stroke(layer, [lateral_trachea(scene.chest)], width=1.6)
    scene.canvas.fill(layer, ellipse((1.0, 0.38 * h), (0.8, 0.8)), 0.9)
    gas = cv2.GaussianBlur(layer, (0, 0), 0.2 * scene.canvas.pixels_per_unit)
    scene.add_layer(gas, -1.9)


def lateral_trachea(chest: Chest) -> Outline:
    """Return the windpipe, running backwards as it descends."""
    return smooth(points((-2.6, -9.0), (-1.6, 0.0), (-0.4, 0.15 * chest.full_height), (0.9, 0.36 * chest.full_height)))


def _gas(scene: Scene) -> None:
    chest, rng = scene.chest, part_rng(scene.chest.seed, "lateral bowel")
    bubble = scene.canvas.blob((-2.0 + rng.normal(0, 1.0), chest.left_dome + 2.6), (2.6, 1.3))
    bubble.add_to(scene.extra, -rng.uniform(1.5, 5.0))
