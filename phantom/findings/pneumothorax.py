"""Pneumothorax: air between the lung and the chest wall, a fine pleural line, no vessels beyond it."""

import numpy as np

from phantom.body import Lesion
from phantom.drawing.anatomy import Chest, Outline, lung_outline
from phantom.drawing.canvas import mirrored, points, smooth
from phantom.drawing.lateral import lateral_lung
from phantom.drawing.scene import Scene
from phantom.findings.finding import Finding, Places, each_side


def _collapsed_edge(chest: Chest, sign: float, severity: float) -> Outline:
    """Return the visceral pleura of a lung that has come away from the chest wall, furthest at the apex."""
    y = np.linspace(0.0, 1.0, 9)
    gap = (0.2 + 2.7 * severity) * (1 - y) ** 0.8 + 0.25 + 1.1 * max(severity - 0.6, 0)
    height = 0.12 + 1.15 * (0.2 + 2.7 * severity) + y * (0.93 * chest.sulcus - 3.0 * severity)
    wall = np.maximum(chest.wall(height) - gap, 0.14 * chest.half_width)
    apex = points((0.12 * chest.half_width, height[0] - 0.2), (0.24 * chest.half_width, height[0] - 0.6))
    return mirrored(smooth(np.vstack([apex, np.stack([wall, height], axis=1)]), steps=4), sign)


def _draw_frontal(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Part the lung from the wall: a fine white line, and beyond it blacker air without vessels."""
    s, chest, canvas = lesion.severity, scene.chest, scene.canvas
    edge = _collapsed_edge(chest, sign, s)
    inner = points((0.3, edge[-1, 1]), (0.3, 0.5 * chest.full_height), (0.3, edge[0, 1]))
    inside = np.vstack([edge, mirrored(inner, sign)])

    # The rim of air: the pleural space without the collapsed lung, down to where the two meet again.
    space = canvas.flat(lung_outline(chest, sign))
    lung_left = canvas.blank()
    canvas.flat(inside, blur=0.03).add_to(lung_left)
    rim = space.values * (1 - np.clip(space.view(lung_left), 0, 1))
    below = max(0, round(float(canvas.to_pixels(edge[-1:])[0, 1])) - space.top)
    rim[below:] = 0

    # No vessels in it, and it is blacker than lung.
    vessels = space.view(scene.vessels)
    vessels *= 1 - rim
    extra = space.view(scene.extra)
    extra -= rim * np.minimum(space.view(scene.lung), np.float32(9)) * np.float32(0.03 + 0.09 * s)

    # The collapsed lung holds less air.
    scene.opacify(canvas.flat(inside, blur=0.3), 0.02 + 0.09 * s)

    # The pleural line.
    layer = canvas.layer()
    canvas.stroke(layer, [edge], width=0.13)
    scene.add_layer(layer, 0.3 + 0.5 * s)

    low = 0.6 * chest.sulcus
    upper = points((0.1 * chest.half_width, 0.0), (chest.wall_at(low), low))
    scene.mark(lesion.finding, canvas.box(mirrored(upper, sign)))


def _draw_lateral(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Draw the pleural line of the upper half of the lung."""
    outline = lateral_lung(scene.chest, sign)
    upper = outline[outline[:, 1] < 0.5 * scene.chest.full_height]
    centre = np.array([0.0, 0.5 * scene.chest.full_height])
    edge = centre + (upper - centre) * (0.95 - 0.2 * lesion.severity)
    layer = scene.canvas.layer()
    scene.canvas.stroke(layer, [edge[np.argsort(edge[:, 0])]], width=0.13)
    scene.add_layer(layer, 0.4 + 0.4 * lesion.severity)


PNEUMOTHORAX = Finding(
    name="Pneumothorax",
    prevalence=0.09,
    loadings={"injury": 0.45, "acuity": 0.30},
    persistence=0.30,
    places=Places(sides=(0.48, 0.52, 0.0), zones=(1.0, 0.0, 0.0)),
    draw_frontal=each_side(_draw_frontal),
    draw_lateral=each_side(_draw_lateral),
    region="pleura",
    urgency=120,
    denial_weight=5.0,
    complaints=(("acute chest pain", "pneumothorax"), ("pleuritic chest pain", "acute process")),
)
