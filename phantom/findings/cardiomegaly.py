"""Cardiomegaly: a heart that is too wide for the chest."""

from phantom.body import Lesion
from phantom.drawing.anatomy import heart_outline
from phantom.drawing.deformation import Deformation
from phantom.drawing.scene import Scene
from phantom.findings.finding import Finding


def _deform(lesion: Lesion, _: int) -> Deformation:
    """Widen the heart by up to 0.145 of the thorax; the anatomy draws it, on both views."""
    return Deformation(heart=0.02 + 0.125 * lesion.severity)


def _mark(scene: Scene, lesion: Lesion) -> None:
    scene.mark(lesion.finding, scene.canvas.box(heart_outline(scene.chest)))


CARDIOMEGALY = Finding(
    name="Cardiomegaly",
    prevalence=0.19,
    prevalence_age_slope=0.25,
    loadings={"congestion": 0.65},
    persistence=0.97,
    deform=_deform,
    draw_frontal=_mark,
    region="heart",
    urgency=60,
    denial_weight=2.5,
)
