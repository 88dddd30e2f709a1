"""What each finding does to a chest: it changes the anatomy before it is drawn, or paints into the maps afterwards."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from phantom.body import Body, Lesion
from phantom.drawing.anatomy import Chest, Deformation, heart_outline, mediastinum_outline
from phantom.drawing.devices import draw_device
from phantom.drawing.opacities import (
    draw_atelectasis,
    draw_consolidation,
    draw_edema,
    draw_lung_lesion,
    draw_lung_opacity,
    draw_pneumonia,
)
from phantom.drawing.pleura import draw_effusion, draw_pleural_other, draw_pneumothorax
from phantom.drawing.scene import LEFT, RIGHT, Scene, lesion_rng, sides_of
from phantom.drawing.skeleton import RibBreak, RibKey, rib_line

_ONE_SIDED: Mapping[str, Callable[[Scene, Lesion, float], None]] = MappingProxyType(
    {
        "Atelectasis": draw_atelectasis,
        "Consolidation": draw_consolidation,
        "Lung Lesion": draw_lung_lesion,
        "Lung Opacity": draw_lung_opacity,
        "Pleural Effusion": draw_effusion,
        "Pleural Other": draw_pleural_other,
        "Pneumonia": draw_pneumonia,
        "Pneumothorax": draw_pneumothorax,
    }
)


def deformation_by(lesions: Sequence[Lesion], body: Body) -> Deformation:
    """Return how the lesions change heart, mediastinum and diaphragm."""
    heart = widening = 0.0
    lift = {LEFT: 0.0, RIGHT: 0.0}
    for lesion in lesions:
        s = lesion.severity
        if lesion.finding == "Cardiomegaly":
            heart = max(heart, 0.02 + 0.125 * s)
        elif lesion.finding == "Enlarged Cardiomediastinum":
            widening = max(widening, 0.1 + 1.35 * s)
        elif lesion.finding == "Atelectasis" and lesion.zone in ("", "lower"):
            for sign in sides_of(lesion, body.seed):
                lift[sign] = max(lift[sign], 0.3 + 2.2 * s)
    return Deformation(heart=heart, mediastinum=widening, lift_left=lift[LEFT], lift_right=lift[RIGHT])


def engorgement_by(lesions: Sequence[Lesion]) -> float:
    """Return how much wider the vessels are, 0 to 1: oedema starts in them."""
    return max((0.65 * lesion.severity for lesion in lesions if lesion.finding == "Edema"), default=0.0)


def breaks_by(lesions: Sequence[Lesion], body: Body) -> dict[RibKey, RibBreak]:
    """Return the broken ribs: one to three neighbours, their far ends displaced by up to most of a rib's width."""
    breaks: dict[RibKey, RibBreak] = {}
    for lesion in lesions:
        if lesion.finding != "Fracture":
            continue
        for sign in sides_of(lesion, body.seed):
            rng = lesion_rng(body.seed, lesion, str(sign))
            first = {"upper": 3, "mid": 5, "lower": 8}.get(lesion.zone, int(rng.integers(4, 9)))
            angle = float(rng.uniform(0.5, 1.0))
            count = 1 + (lesion.severity > 0.45) + (lesion.severity > 0.75)
            for number in range(first, first + count):
                step = (0.2 + 0.7 * lesion.severity) * float(rng.choice([-1.0, 1.0]))
                breaks[(sign, number)] = RibBreak(
                    angle + 0.08 * float(rng.normal()), step, 0.015 + 0.045 * lesion.severity
                )
    return breaks


def paint(scene: Scene, lesions: Sequence[Lesion], *, breaks: Mapping[RibKey, RibBreak]) -> None:
    """Paint all lesions into a frontal scene and note their boxes; devices come last, as they lie over everything."""
    chest, canvas = scene.chest, scene.canvas
    for lesion in sorted(lesions, key=lambda one: one.finding == "Support Devices"):
        if lesion.finding in _ONE_SIDED:
            for sign in sides_of(lesion, chest.seed):
                _ONE_SIDED[lesion.finding](scene, lesion, sign)
        elif lesion.finding == "Support Devices":
            draw_device(scene, lesion)
        elif lesion.finding == "Edema":
            draw_edema(scene, lesion)
        elif lesion.finding == "Cardiomegaly":
            scene.mark(lesion.finding, canvas.box(heart_outline(chest)))
        elif lesion.finding == "Enlarged Cardiomediastinum":
            outline = mediastinum_outline(chest)
            upper = (outline[:, 1] > 0) & (outline[:, 1] < 0.5 * chest.full_height)
            scene.mark(lesion.finding, canvas.box(outline[upper]))
        elif lesion.finding == "Fracture":
            _bruise(scene, lesion, breaks)


def _bruise(scene: Scene, lesion: Lesion, breaks: Mapping[RibKey, RibBreak]) -> None:
    """Mark the broken ribs, with a little blood and callus around each break."""
    for (sign, number), crack in breaks.items():
        at = _break_point(scene.chest, sign, number, crack)
        spot = (float(at[0]), float(at[1]))
        scene.canvas.blob(spot, (0.7, 0.6)).add_to(scene.extra, 0.2 + 1.1 * lesion.severity)
        scene.opacify(scene.canvas.blob((spot[0] + 0.6 * sign, spot[1]), (1.8, 2.0)), 0.1 + 0.35 * lesion.severity)
        scene.mark(lesion.finding, scene.canvas.box(at[None, :], margin=1.8))


def _break_point(chest: Chest, sign: float, number: int, crack: RibBreak) -> np.ndarray:
    at: np.ndarray = rib_line(chest, sign, number, np.array([crack.angle]))[0]
    return at
