"""Rib fracture: one to three neighbouring ribs broken and displaced. It does not show from the side, as in life."""

import numpy as np

from phantom.body import Lesion
from phantom.drawing.deformation import Deformation, RibBreak, RibKey
from phantom.drawing.scene import Scene, lesion_rng, sides_of
from phantom.drawing.skeleton import rib_line
from phantom.findings.finding import Finding, Places

_RIBS = ("fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def _deform(lesion: Lesion, seed: int) -> Deformation:
    """Break one to three neighbours, their far ends displaced by up to most of a rib's width."""
    breaks: dict[RibKey, RibBreak] = {}
    for sign in sides_of(lesion, seed):
        rng = lesion_rng(seed, lesion, str(sign))
        first = {"upper": 3, "mid": 5, "lower": 8}.get(lesion.zone, int(rng.integers(4, 9)))
        # From the back of the ribs to their side, where they break most.
        angle = float(rng.uniform(0.5, 1.0))
        count = 1 + (lesion.severity > 0.45) + (lesion.severity > 0.75)

        for number in range(first, first + count):
            step = (0.2 + 0.7 * lesion.severity) * float(rng.choice([-1.0, 1.0]))
            breaks[(sign, number)] = RibBreak(angle + 0.08 * float(rng.normal()), step, 0.015 + 0.045 * lesion.severity)
    return Deformation(breaks=breaks)


def _draw_frontal(scene: Scene, lesion: Lesion) -> None:
    """Mark the broken ribs, with a little blood and callus around each break; the anatomy has drawn the ends."""
    for (sign, number), crack in scene.breaks.items():
        at = rib_line(scene.chest, sign, number, np.array([crack.angle]))[0]
        spot = (float(at[0]), float(at[1]))
        scene.canvas.blob(spot, (0.7, 0.6)).add_to(scene.extra, 0.2 + 1.1 * lesion.severity)
        scene.opacify(scene.canvas.blob((spot[0] + 0.6 * sign, spot[1]), (1.8, 2.0)), 0.1 + 0.35 * lesion.severity)
        scene.mark(lesion.finding, scene.canvas.box(at[None, :], margin=1.8))


def _words(_: Lesion, seed: int) -> dict[str, str]:
    return {"rib": _RIBS[seed % len(_RIBS)]}


FRACTURE = Finding(
    name="Fracture",
    prevalence=0.09,
    prevalence_age_slope=0.10,
    loadings={"injury": 0.60},
    persistence=0.97,
    places=Places(sides=(0.48, 0.46, 0.06), zones=(0.10, 0.45, 0.45)),
    deform=_deform,
    draw_frontal=_draw_frontal,
    region="bones",
    urgency=20,
    denial_weight=1.5,
    complaints=(("fall", "fracture"), ("motor vehicle collision", "acute injury"), ("chest wall pain", "fracture")),
    words=_words,
)
