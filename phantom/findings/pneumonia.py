"""Pneumonia: soft patches scattered over one lobe."""

from functools import partial

import numpy as np

from phantom.body import Lesion
from phantom.drawing.opacities import draw_lateral_opacity, patchy
from phantom.drawing.scene import Scene, lesion_rng, lung_spot
from phantom.findings.finding import Finding, Places, each_side


def _draw_frontal(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Scatter soft patches over one lobe."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    centre = lung_spot(scene.chest, sign, lesion, rng, across=(0.2, 0.65))
    spots = np.array(centre) + rng.normal(0, 1.5, (4, 2))
    size = (1.5 + 1.5 * s) * rng.uniform(0.8, 1.2, (4, 2))

    for spot, (rx, ry) in zip(spots, size, strict=True):
        blob = scene.canvas.blob((float(spot[0]), float(spot[1])), (rx, ry))
        scene.opacify(patchy(scene, blob, grain=0.8, depth=0.45, rng=rng), 0.1 + 0.33 * s)
    scene.mark(lesion.finding, scene.canvas.box(spots, margin=float(1.1 * size.max())))


PNEUMONIA = Finding(
    name="Pneumonia",
    prevalence=0.11,
    loadings={"infection": 0.65, "acuity": 0.10},
    persistence=0.20,
    # A pneumonia that consolidates does so where it is.
    places=Places(sides=(0.38, 0.46, 0.16), zones=(0.20, 0.24, 0.56), joins=("Consolidation", 0.7)),
    airspace=True,
    draw_frontal=each_side(_draw_frontal),
    draw_lateral=each_side(partial(draw_lateral_opacity, radius=3.0, share=(0.07, 0.3))),
    region="lungs",
    urgency=110,
    denial_weight=4.0,
    odd_denials=frozenset({"Consolidation", "Pneumonia", "Lung Opacity"}),
    complaints=(("fever and cough", "pneumonia"), ("productive cough", "infiltrate"), ("leukocytosis", "pneumonia")),
)
