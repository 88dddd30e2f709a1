"""Support devices: which tubes, lines and implants a patient has at a visit, and how they show."""

from collections.abc import Sequence

import cv2
import numpy as np

from phantom.body import DEVICE_KINDS, Lesion, Side
from phantom.drawing.scene import LEFT, RIGHT, Scene, lesion_rng
from phantom.findings.devices import DEVICES
from phantom.findings.finding import Finding

_FRONTAL_FULL_SCALE = 6.5
_LATERAL_FULL_SCALE = 9.0
"""What 255 of a device layer stands for at full visibility, chest units of soft tissue; a chest is thicker from the
side, and a line needs more to show"""

_MARGIN = 0.5
"""Space around a device inside its box, chest units"""


def device_kinds(
    lesions: Sequence[Lesion],
    before: Sequence[Lesion],
    *,
    acuity: float,
    age_years: float,
    stays: bool,
    rng: np.random.Generator,
) -> list[str]:
    """Return the kinds of tubes and lines in place, at least one; implants stay once they are there."""
    worn = {lesion.kind for lesion in before}
    severities = {lesion.finding: lesion.severity for lesion in lesions}
    drained = max(severities.get("Pneumothorax", 0.0), severities.get("Pleural Effusion", 0.0)) > 0.6
    implanted = stays and age_years >= 45

    # The ill are ventilated and have central lines; a feeding tube usually comes with the tracheal tube.
    chances = {
        "endotracheal tube": 0.7 if acuity > 1.0 else 0.0,
        "central line": 0.5 if acuity > 0.3 else 0.2,
        "picc line": 0.3,
        "chest tube": 0.4 if drained else 0.0,
        "pacemaker": (1.0 if "pacemaker" in worn else 0.25) if implanted else 0.0,
        "sternal wires": (1.0 if "sternal wires" in worn else 0.15) if implanted else 0.0,
    }
    kinds = [kind for kind, chance in chances.items() if rng.random() < chance]
    if rng.random() < (0.75 if "endotracheal tube" in kinds else 0.1 if acuity > 0.3 else 0.0):
        kinds.append("nasogastric tube")
    return kinds or ["central line" if acuity > 0.3 else "picc line"]


def place_device(
    kind: str, severity: float, lesions: Sequence[Lesion], before: Sequence[Lesion], rng: np.random.Generator
) -> Lesion:
    """Return a device of one kind; it stays on the side where it was, and a chest tube lies beside what it drains."""
    right_share = DEVICES[kind].right_share
    side: Side = ""
    if kind == "chest tube":
        drained = next(lesion for lesion in lesions if lesion.finding in {"Pneumothorax", "Pleural Effusion"})
        side = drained.side if drained.side != "both" else "right"
    elif right_share is not None:
        side = "right" if rng.random() < right_share else "left"
    side = next((lesion.side for lesion in before if lesion.kind == kind), side)
    return Lesion(finding="Support Devices", side=side, severity=severity, kind=kind)


def _kind_of(lesion: Lesion, seed: int) -> str:
    """Return the kind of a device, chosen by the patient where the lesion leaves it open."""
    return lesion.kind or str(lesion_rng(seed, lesion, "kind").choice(DEVICE_KINDS))


def _draw_frontal(scene: Scene, lesion: Lesion) -> None:
    """Draw one device; severity is how well it shows."""
    chest = scene.chest
    rng = lesion_rng(chest.seed, lesion)
    sign = _sign(lesion, rng)
    layer = scene.canvas.layer()
    course = DEVICES[_kind_of(lesion, chest.seed)].draw_frontal(chest, scene.canvas, layer, sign, rng)
    scene.add_layer(cv2.GaussianBlur(layer, (0, 0), 0.5), (0.45 + 0.65 * lesion.severity) * _FRONTAL_FULL_SCALE)
    scene.mark(lesion.finding, scene.canvas.box(course, margin=_MARGIN))


def _draw_lateral(scene: Scene, lesion: Lesion) -> None:
    layer = scene.canvas.layer()
    DEVICES[_kind_of(lesion, scene.chest.seed)].draw_lateral(scene.chest, scene.canvas, layer)
    scene.add_layer(cv2.GaussianBlur(layer, (0, 0), 0.5), (0.45 + 0.65 * lesion.severity) * _LATERAL_FULL_SCALE)


def _sign(lesion: Lesion, rng: np.random.Generator) -> float:
    # Drawn for every device, so that a stated side changes nothing else.
    drawn = LEFT if rng.random() < 0.5 else RIGHT
    return {"left": LEFT, "right": RIGHT}.get(lesion.side, drawn)


def _tags(lesion: Lesion) -> frozenset[str]:
    return frozenset({DEVICES[lesion.kind].tag} if lesion.kind else ())


def _words(_: Lesion, seed: int) -> dict[str, str]:
    """Return the distance of a tracheal tube's tip from the carina: 3 to 5 cm."""
    return {"tip": f"{3 + seed % 5 / 2:g}"}


SUPPORT_DEVICES = Finding(
    name="Support Devices",
    prevalence=0.25,
    prevalence_age_slope=0.10,
    loadings={"acuity": 0.70, "congestion": 0.25},
    persistence=0.60,
    draw_frontal=_draw_frontal,
    draw_lateral=_draw_lateral,
    drawn_last=True,
    region="devices",
    tags=_tags,
    words=_words,
)
