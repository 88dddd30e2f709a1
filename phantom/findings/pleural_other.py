"""Pleural thickening and calcified plaques."""

import numpy as np

from phantom.body import Lesion
from phantom.drawing.canvas import mirrored, points, smooth
from phantom.drawing.lateral import lateral_lung
from phantom.drawing.scene import Scene, lesion_rng
from phantom.findings.finding import Finding, Places, each_side


def _draw_frontal(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Thicken the pleura along the wall and the apex, with a calcified plaque or two seen face on."""
    s, chest, canvas = lesion.severity, scene.chest, scene.canvas
    rng = lesion_rng(chest.seed, lesion, str(sign))

    # A band along the lateral wall.
    start, end = rng.uniform(0.3, 0.45), rng.uniform(0.8, 0.98)
    y = np.linspace(start, end, 9) * chest.sulcus
    wall = chest.wall(y) + 0.3
    thick = (0.5 + 1.1 * s) * (np.sin(np.linspace(0, np.pi, 9)) ** 0.5 * rng.uniform(0.75, 1.2, 9))
    inner = smooth(np.stack([wall - 0.3 - thick, y], axis=1))
    band = np.vstack([inner, np.stack([wall, y], axis=1)[::-1]])
    scene.opacify(canvas.flat(mirrored(band, sign), blur=0.1), 0.35 + 0.5 * s)

    # A cap over the apex.
    rim = points((0.14, 1.6), (0.2, 0.7 + 0.8 * s), (0.34, 0.9 + 0.9 * s), (0.46, 1.9))
    cap = smooth(rim * np.array([chest.half_width, 1.0]))
    roof = points((0.5 * chest.half_width, -0.6), (0.1 * chest.half_width, -0.6))
    scene.opacify(canvas.flat(mirrored(np.vstack([cap, roof]), sign), blur=0.15), 0.25 + 0.5 * s)

    # Plaques are wider than tall and have ragged edges.
    for _ in range(2):
        at = (sign * rng.uniform(0.35, 0.75) * chest.half_width, float(rng.uniform(0.55, 0.9)) * chest.dome(sign))
        t = np.linspace(0, 2 * np.pi, 11, endpoint=False)
        r = rng.uniform(0.5, 1.3, 11)
        plaque = smooth(np.stack([at[0] + 1.5 * r * np.cos(t), at[1] + 0.8 * r * np.sin(t)], axis=1), closed=True)
        canvas.flat(plaque, blur=0.06).add_to(scene.extra, 0.2 + 0.75 * s)

    scene.mark(lesion.finding, canvas.box(mirrored(band, sign), margin=0.4))


def _draw_lateral(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Thicken the pleura along the back of the lung."""
    outline = lateral_lung(scene.chest, sign)
    behind = outline[(outline[:, 0] > 0) & (outline[:, 1] > 0.4 * scene.chest.full_height)]
    behind = behind[behind[:, 0] > 0.85 * behind[:, 0].max()]
    band = np.vstack([behind, behind[::-1] - [0.5 + lesion.severity, 0.0]])
    scene.opacify(scene.canvas.flat(band, blur=0.12), 0.25 + 0.5 * lesion.severity)


PLEURAL_OTHER = Finding(
    name="Pleural Other",
    prevalence=0.09,
    prevalence_age_slope=0.15,
    loadings={"tumour": 0.35, "injury": 0.20},
    persistence=0.98,
    places=Places(sides=(0.36, 0.36, 0.28), zones=(0.55, 0.0, 0.45)),
    draw_frontal=each_side(_draw_frontal),
    draw_lateral=each_side(_draw_lateral),
    region="pleura",
    urgency=10,
    denial_weight=0.6,
)
