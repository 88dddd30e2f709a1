"""Pleural effusion: fluid that fills the costophrenic angle and climbs at the chest wall."""

import numpy as np

from phantom.body import Lesion
from phantom.drawing.canvas import mirrored, points, smooth
from phantom.drawing.lateral import depth_factor
from phantom.drawing.scene import Scene, lesion_rng
from phantom.findings.finding import Finding, Places, each_side


def _draw_frontal(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Fill the costophrenic angle up to a meniscus that climbs at the chest wall."""
    s, chest, canvas = lesion.severity, scene.chest, scene.canvas
    rng = lesion_rng(chest.seed, lesion, str(sign))
    level = chest.sulcus - (1.0 + 7.8 * s**1.2) * float(rng.uniform(0.9, 1.1))
    wall = chest.wall_at(float(level))

    # The meniscus: highest at the wall, lowest in the middle, a little higher again at the mediastinum.
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

    # In a patient who lies or leans back, part of the fluid layers behind the lung.
    if chest.supine:
        haze = canvas.blob((sign * 0.55 * wall, level - 1.0), (0.6 * wall, 6.0))
        scene.opacify(haze, 0.3 * s)

    corner = points((sign * 0.45 * wall, level - 0.6 * climb), (sign * (wall + 0.6), chest.sulcus + 0.5))
    scene.mark(lesion.finding, canvas.box(corner))


def _draw_lateral(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Fill the posterior angle, the deepest part of the pleural space."""
    chest, s = scene.chest, lesion.severity
    back = 0.98 * 9.8 * depth_factor(chest)
    level = chest.sulcus - 1.0 - 6.5 * s + 0.4 * sign
    behind = points((back + 0.6, level - 1.5), (0.8 * back, level))
    top = smooth(np.vstack([behind, points((0.3 * back, level + 1.5), (-0.9 * back, level + 1.2))]))
    floor = points((-0.9 * back, chest.sulcus + 3.0), (back + 0.6, chest.sulcus + 3.0))
    scene.opacify(scene.canvas.flat(np.vstack([top, floor]), blur=0.4), 0.6)


def _words(lesion: Lesion, _: int) -> dict[str, str]:
    one = {"left": "left pleural effusion", "right": "right pleural effusion"}
    return {"effusion": one.get(lesion.side, f"bilateral pleural effusion{'s' if lesion.side == 'both' else ''}")}


PLEURAL_EFFUSION = Finding(
    name="Pleural Effusion",
    prevalence=0.19,
    prevalence_age_slope=0.20,
    loadings={"congestion": 0.50, "acuity": 0.35, "tumour": 0.15, "infection": 0.15},
    persistence=0.40,
    places=Places(sides=(0.30, 0.30, 0.40), zones=(0.0, 0.0, 1.0)),
    draw_frontal=each_side(_draw_frontal),
    draw_lateral=each_side(_draw_lateral),
    region="pleura",
    urgency=50,
    denial_weight=4.0,
    words=_words,
)
