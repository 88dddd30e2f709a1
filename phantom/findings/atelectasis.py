"""Atelectasis: plates of airless lung, mostly above a raised diaphragm."""

import cv2
import numpy as np

from phantom.body import Lesion
from phantom.drawing.canvas import points, smooth
from phantom.drawing.deformation import Deformation
from phantom.drawing.opacities import draw_lateral_opacity
from phantom.drawing.scene import LEFT, RIGHT, Scene, lesion_rng, lung_spot, sides_of
from phantom.findings.finding import Finding, Places, each_side


def _is_basal(lesion: Lesion) -> bool:
    return lesion.zone in ("", "lower")


def _deform(lesion: Lesion, seed: int) -> Deformation:
    """Raise the domes: a lower lobe that loses volume pulls the diaphragm up."""
    if not _is_basal(lesion):
        return Deformation()
    lift = 0.3 + 2.2 * lesion.severity
    signs = sides_of(lesion, seed)
    return Deformation(lift_left=lift if LEFT in signs else 0.0, lift_right=lift if RIGHT in signs else 0.0)


def _draw_frontal(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Draw plates of airless lung, nearly level, over a hazy base."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    chest, canvas = scene.chest, scene.canvas
    x, y = lung_spot(chest, sign, lesion, rng, across=(0.3, 0.5))
    if _is_basal(lesion):
        y = chest.dome(sign) - float(rng.uniform(1.2, 2.6))

    plates = []
    for number in range(1 + round(1.6 * s)):
        half = float(rng.uniform(2.2, 3.8)) * (0.7 + 0.4 * s)
        tilt = float(rng.normal(0.12, 0.15)) * -sign
        mid = (x + float(rng.normal(0, 0.6)), y - 1.1 * number)
        along = points((-1.0, 0.0), (0.0, -0.12), (1.0, 0.0)) * half
        plate = smooth(along + np.stack([np.zeros(3), along[:, 0] * np.tan(tilt)], axis=1) + np.array(mid))

        layer = canvas.layer()
        canvas.stroke(layer, [plate], width=0.22 + 0.4 * s)
        soft = cv2.GaussianBlur(layer, (0, 0), 0.12 * canvas.pixels_per_unit)
        scene.add_layer(soft, 0.7 + 1.3 * s)
        plates.append(plate)

    scene.opacify(canvas.blob((x, y + 1.0), (4.2, 1.9)), 0.08 + 0.34 * s)
    scene.mark(lesion.finding, canvas.box(np.vstack(plates), margin=1.0))


def _draw_lateral(scene: Scene, lesion: Lesion, sign: float) -> None:
    y = scene.chest.dome(sign) - 1.5 if _is_basal(lesion) else None
    draw_lateral_opacity(scene, lesion, sign, radius=3.2, share=(0.06, 0.28), y=y)


ATELECTASIS = Finding(
    name="Atelectasis",
    prevalence=0.17,
    prevalence_age_slope=0.10,
    loadings={"acuity": 0.45, "congestion": 0.25},
    persistence=0.30,
    places=Places(sides=(0.30, 0.25, 0.45), zones=(0.04, 0.08, 0.88)),
    deform=_deform,
    draw_frontal=each_side(_draw_frontal),
    draw_lateral=each_side(_draw_lateral),
    region="lungs",
    urgency=40,
    denial_weight=0.6,
    odd_denials=frozenset({"Lung Opacity"}),
)
