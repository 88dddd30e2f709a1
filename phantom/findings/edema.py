"""Pulmonary oedema: both lungs hazy from the hila outwards, widened vessels, septal lines."""

import numpy as np

from phantom.body import Lesion
from phantom.drawing.anatomy import hilum
from phantom.drawing.canvas import points
from phantom.drawing.deformation import Deformation
from phantom.drawing.opacities import lateral_patchy, patchy
from phantom.drawing.scene import LEFT, RIGHT, Scene, lesion_rng
from phantom.findings.finding import Finding


def _deform(lesion: Lesion, _: int) -> Deformation:
    """Widen the vessels: oedema starts in them."""
    return Deformation(engorgement=0.65 * lesion.severity)


def _draw_frontal(scene: Scene, lesion: Lesion) -> None:
    """Haze both lungs from the hila outwards, with septal lines (Kerley B) at the chest wall."""
    s, chest, canvas = lesion.severity, scene.chest, scene.canvas
    layer = canvas.layer()
    for sign in (RIGHT, LEFT):
        rng = lesion_rng(chest.seed, lesion, str(sign))
        x, y = hilum(chest, sign)
        haze = canvas.blob((x + sign * 1.8, y + 2.0), (4.4 + s, 6.3 + s))
        scene.opacify(patchy(scene, haze, grain=0.9, depth=0.22, rng=rng), 0.02 + 0.32 * s)

        # Septal lines are one to two centimetres long, level, and begin at the pleura.
        ends = rng.uniform(0.62, 0.98, 9) * chest.dome(sign)
        for end in ends:
            wall = sign * (chest.wall_at(float(end)) - 0.15)
            line = points((wall, end), (wall - sign * rng.uniform(0.9, 1.8), end + rng.normal(0.0, 0.15)))
            canvas.stroke(layer, [line], width=0.13)
    scene.add_layer(layer, 0.1 + 0.5 * s)

    # The interstitium of the whole lung holds water.
    scene.lung *= np.float32(1 - 0.09 * s)


def _draw_lateral(scene: Scene, lesion: Lesion) -> None:
    rng = lesion_rng(scene.chest.seed, lesion, "lateral")
    haze = scene.canvas.blob((0.5, 0.5 * scene.chest.full_height), (7.0, 8.0))
    scene.opacify(lateral_patchy(scene, haze, grain=1.0, rng=rng), 0.03 + 0.38 * lesion.severity)


EDEMA = Finding(
    name="Edema",
    prevalence=0.13,
    prevalence_age_slope=0.20,
    loadings={"congestion": 0.65, "acuity": 0.30},
    persistence=0.10,
    deform=_deform,
    draw_frontal=_draw_frontal,
    draw_lateral=_draw_lateral,
    region="lungs",
    urgency=70,
    denial_weight=3.0,
    odd_denials=frozenset({"Lung Opacity"}),
    complaints=(("dyspnea", "volume overload"), ("CHF exacerbation", "pulmonary edema"), ("hypoxia", "acute process")),
)
