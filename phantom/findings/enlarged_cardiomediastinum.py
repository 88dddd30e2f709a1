"""Enlarged cardiomediastinum: a widened upper mediastinum, above the heart."""

from phantom.body import Lesion
from phantom.drawing.anatomy import mediastinum_outline
from phantom.drawing.deformation import Deformation
from phantom.drawing.scene import Scene
from phantom.findings.finding import Finding


def _deform(lesion: Lesion, _: int) -> Deformation:
    """Widen the upper mediastinum; the anatomy draws it."""
    return Deformation(mediastinum=0.1 + 1.35 * lesion.severity)


def _mark(scene: Scene, lesion: Lesion) -> None:
    outline = mediastinum_outline(scene.chest)
    upper = (outline[:, 1] > 0) & (outline[:, 1] < 0.5 * scene.chest.full_height)
    scene.mark(lesion.finding, scene.canvas.box(outline[upper]))


ENLARGED_CARDIOMEDIASTINUM = Finding(
    name="Enlarged Cardiomediastinum",
    prevalence=0.09,
    prevalence_age_slope=0.15,
    loadings={"congestion": 0.20, "tumour": 0.30},
    persistence=0.97,
    deform=_deform,
    draw_frontal=_mark,
    region="heart",
    urgency=30,
    denial_weight=1.2,
)
