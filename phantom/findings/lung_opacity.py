"""Lung opacity: an ill-defined haze over part of a lung, of unstated cause."""

from functools import partial

from phantom.body import Lesion
from phantom.drawing.opacities import corners, draw_lateral_opacity, patchy
from phantom.drawing.scene import Scene, lesion_rng, lung_spot
from phantom.findings.finding import Finding, Places, each_side


def _draw_frontal(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Lay an ill-defined haze over part of a lung."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    centre = lung_spot(scene.chest, sign, lesion, rng, across=(0.25, 0.7))
    rx, ry = (2.9 + 1.4 * s) * rng.uniform(0.8, 1.2), (3.2 + 1.6 * s) * rng.uniform(0.8, 1.2)
    blob = scene.canvas.blob(centre, (rx, ry), angle=rng.uniform(-0.8, 0.8))
    scene.opacify(patchy(scene, blob, grain=2.2, depth=0.2, rng=rng), 0.12 + 0.46 * s)
    scene.mark(lesion.finding, scene.canvas.box(corners(centre, rx, ry)))


LUNG_OPACITY = Finding(
    name="Lung Opacity",
    prevalence=0.09,
    loadings={"infection": 0.50, "acuity": 0.20},
    persistence=0.30,
    # An opacity in a consolidated lobe is that consolidation, not a finding of its own.
    places=Places(sides=(0.38, 0.42, 0.20), zones=(0.24, 0.28, 0.48), avoids=("Consolidation", "Pneumonia")),
    airspace=True,
    draw_frontal=each_side(_draw_frontal),
    draw_lateral=each_side(partial(draw_lateral_opacity, radius=4.2, share=(0.07, 0.28))),
    region="lungs",
    urgency=80,
    denial_weight=1.5,
    odd_denials=frozenset({"Consolidation", "Pneumonia", "Lung Opacity"}),
)
