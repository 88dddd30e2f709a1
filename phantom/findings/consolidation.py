"""Consolidation: part of a lobe filled with fluid, its bronchi still full of air."""

from functools import partial

import numpy as np

from phantom.body import Lesion
from phantom.drawing.anatomy import hilum
from phantom.drawing.canvas import Patch, smooth
from phantom.drawing.opacities import corners, draw_lateral_opacity, patchy
from phantom.drawing.scene import Scene, lesion_rng, lung_spot
from phantom.findings.finding import Finding, Places, each_side


def _draw_frontal(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Fill part of a lobe: dense, frayed, with air-filled bronchi running through."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    centre = lung_spot(scene.chest, sign, lesion, rng, across=(0.2, 0.6))
    rx, ry = (1.9 + 2.3 * s) * rng.uniform(0.85, 1.25), (1.8 + 2.3 * s) * rng.uniform(0.85, 1.25)
    blob = scene.canvas.blob(centre, (rx, ry), angle=rng.uniform(-0.6, 0.6))
    patch = patchy(scene, blob, grain=1.3, depth=0.3, rng=rng)

    # Bronchi fan out from the hilum; they stay black in the white, and show better the denser it is.
    layer = scene.canvas.layer()
    root = np.array(hilum(scene.chest, sign))
    for _ in range(4):
        tip = np.array(centre) + rng.normal(0, 0.5, 2) * [rx, ry]
        bend = 0.5 * (root + tip) + rng.normal(0, 0.5, 2)
        scene.canvas.stroke(layer, [smooth(np.stack([root, bend, tip]))], width=0.24)
    bronchi = patch.view(layer.astype(np.float32))
    filled = Patch(patch.top, patch.left, patch.values * (1 - bronchi * np.float32(0.55 * s / 255)))

    scene.opacify(filled, 0.1 + 0.62 * s)
    scene.mark(lesion.finding, scene.canvas.box(corners(centre, 1.2 * rx, 1.2 * ry)))


CONSOLIDATION = Finding(
    name="Consolidation",
    prevalence=0.10,
    loadings={"infection": 0.60, "acuity": 0.20},
    persistence=0.20,
    places=Places(sides=(0.40, 0.48, 0.12), zones=(0.22, 0.22, 0.56)),
    airspace=True,
    draw_frontal=each_side(_draw_frontal),
    draw_lateral=each_side(partial(draw_lateral_opacity, radius=3.4, share=(0.1, 0.4))),
    region="lungs",
    urgency=100,
    denial_weight=3.0,
    odd_denials=frozenset({"Consolidation", "Pneumonia", "Lung Opacity"}),
)
