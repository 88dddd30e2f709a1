"""Findings of the pleural space on a frontal film."""

import cv2
import numpy as np

from phantom.body import Lesion
from phantom.drawing.anatomy import Chest, Outline, lung_outline
from phantom.drawing.canvas import mirrored, points, smooth
from phantom.drawing.scene import Scene, lesion_rng


def draw_effusion(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Fill the costophrenic angle up to a meniscus that climbs at the chest wall."""
    s, chest, canvas = lesion.severity, scene.chest, scene.canvas
    rng = lesion_rng(chest.seed, lesion, str(sign))
    level = chest.sulcus - (1.0 + 7.8 * s**1.2) * float(rng.uniform(0.9, 1.1))
    wall = chest.wall_at(float(level))
    climb = 1.6 + 1.2 * s
    top = smooth(
        points(
            (wall + 0.5, level - climb),
            (wall - 0.5, level - 0.4 * climb),
            (0.8 * wall, level + 0.15 * climb),
            (0.5 * wall, level + 0.55 * climb),
            (0.2 * wall, level + 0.5 * climb),
            (0.02 * wall, level + 0.2 * climb),
        )
    )
    floor = points((0.0, chest.sulcus + 4.0), (wall + 2.0, chest.sulcus + 4.0))
    scene.opacify(canvas.flat(mirrored(np.vstack([top, floor]), sign), blur=0.35), 0.93)
    if chest.supine:
        haze = canvas.blob((sign * 0.55 * wall, level - 1.0), (0.6 * wall, 6.0))
        scene.opacify(haze, 0.3 * s)
    corner = points((sign * 0.45 * wall, level - 0.6 * climb), (sign * (wall + 0.6), chest.sulcus + 0.5))
    scene.mark(lesion.finding, canvas.box(corner))


def _collapsed_edge(chest: Chest, sign: float, severity: float) -> Outline:
    """Return the visceral pleura of a lung that has come away from the chest wall, furthest at the apex."""
    y = np.linspace(0.0, 1.0, 9)
    gap = (0.2 + 2.7 * severity) * (1 - y) ** 0.8 + 0.25 + 1.1 * max(severity - 0.6, 0)
    height = 0.12 + 1.15 * (0.2 + 2.7 * severity) + y * (0.93 * chest.sulcus - 3.0 * severity)
    wall = np.maximum(chest.wall(height) - gap, 0.14 * chest.half_width)
    apex = points((0.12 * chest.half_width, height[0] - 0.2), (0.24 * chest.half_width, height[0] - 0.6))
    return mirrored(smooth(np.vstack([apex, np.stack([wall, height], axis=1)]), steps=4), sign)


def draw_pneumothorax(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Part the lung from the wall: a fine white line, and beyond it blacker air without vessels."""
    s, chest, canvas = lesion.severity, scene.chest, scene.canvas
    edge = _collapsed_edge(chest, sign, s)
    inner = points((0.3, edge[-1, 1]), (0.3, 0.5 * chest.full_height), (0.3, edge[0, 1]))
    inside = np.vstack([edge, mirrored(inner, sign)])
    space = canvas.flat(lung_outline(chest, sign))
    lung_left = canvas.blank()
    canvas.flat(inside, blur=0.03).add_to(lung_left)
    rim = space.values * (1 - np.clip(space.view(lung_left), 0, 1))
    below = max(0, round(float(canvas.to_pixels(edge[-1:])[0, 1])) - space.top)
    rim[below:] = 0
    vessels = space.view(scene.vessels)
    vessels *= 1 - rim
    extra = space.view(scene.extra)
    extra -= rim * np.minimum(space.view(scene.lung), np.float32(9)) * np.float32(0.03 + 0.09 * s)
    scene.opacify(canvas.flat(inside, blur=0.3), 0.02 + 0.09 * s)
    layer = canvas.layer()
    canvas.stroke(layer, [edge], width=0.13)
    cv2.scaleAdd(layer.astype(np.float32), (0.3 + 0.5 * s) / 255, scene.extra, dst=scene.extra)
    low = 0.6 * chest.sulcus
    upper = points((0.1 * chest.half_width, 0.0), (chest.wall_at(low), low))
    scene.mark(lesion.finding, canvas.box(mirrored(upper, sign)))


def draw_pleural_other(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Thicken the pleura along the wall and the apex, with a calcified plaque or two seen face on."""
    s, chest, canvas = lesion.severity, scene.chest, scene.canvas
    rng = lesion_rng(chest.seed, lesion, str(sign))
    start, end = rng.uniform(0.3, 0.45), rng.uniform(0.8, 0.98)
    y = np.linspace(start, end, 9) * chest.sulcus
    wall = chest.wall(y) + 0.3
    thick = (0.5 + 1.1 * s) * (np.sin(np.linspace(0, np.pi, 9)) ** 0.5 * rng.uniform(0.75, 1.2, 9))
    inner = smooth(np.stack([wall - 0.3 - thick, y], axis=1))
    band = np.vstack([inner, np.stack([wall, y], axis=1)[::-1]])
    scene.opacify(canvas.flat(mirrored(band, sign), blur=0.1), 0.35 + 0.5 * s)
    rim = points((0.14, 1.6), (0.2, 0.7 + 0.8 * s), (0.34, 0.9 + 0.9 * s), (0.46, 1.9))
    cap = smooth(rim * np.array([chest.half_width, 1.0]))
    roof = points((0.5 * chest.half_width, -0.6), (0.1 * chest.half_width, -0.6))
    scene.opacify(canvas.flat(mirrored(np.vstack([cap, roof]), sign), blur=0.15), 0.25 + 0.5 * s)
    for _ in range(2):
        at = (sign * rng.uniform(0.35, 0.75) * chest.half_width, float(rng.uniform(0.55, 0.9)) * chest.dome(sign))
        t = np.linspace(0, 2 * np.pi, 11, endpoint=False)
        r = rng.uniform(0.5, 1.3, 11)
        plaque = smooth(np.stack([at[0] + 1.5 * r * np.cos(t), at[1] + 0.8 * r * np.sin(t)], axis=1), closed=True)
        canvas.flat(plaque, blur=0.06).add_to(scene.extra, 0.2 + 0.75 * s)
    scene.mark(lesion.finding, canvas.box(mirrored(band, sign), margin=0.4))
