"""Findings on a lateral film: the same lesions as on the frontal one, seen from the side."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np

from phantom.body import Lesion
from phantom.drawing.anatomy import Chest, Outline
from phantom.drawing.canvas import Patch, ellipse, mottle, points, smooth
from phantom.drawing.devices import kind_of
from phantom.drawing.lateral import depth_factor, lateral_lung, lateral_trachea
from phantom.drawing.scene import Scene, lesion_rng, lung_spot, sides_of

_SIZE_AND_SHARE: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "Consolidation": (3.4, 0.1, 0.4),
        "Pneumonia": (3.0, 0.07, 0.3),
        "Lung Opacity": (4.2, 0.07, 0.28),
        "Atelectasis": (3.2, 0.06, 0.28),
    }
)
"""Finding -> radius at severity 1, share of air filled at severity 0, and what severity adds."""

_DEVICE_WIDTH = 0.3
_DEVICE_FULL_SCALE = 9.0
"""What 255 of a device layer stands for; seen from the side a chest is thicker, and a line needs more to show."""


def paint_lateral(scene: Scene, lesions: Sequence[Lesion]) -> None:
    """Paint all lesions into a lateral scene. A rib fracture does not show from the side, as in life."""
    for lesion in lesions:
        for sign in sides_of(lesion, scene.chest.seed):
            if lesion.finding in _SIZE_AND_SHARE:
                _opacity(scene, lesion, sign)
            elif lesion.finding in _PAINTERS:
                _PAINTERS[lesion.finding](scene, lesion, sign)
        if lesion.finding == "Support Devices":
            _device(scene, lesion)
        elif lesion.finding == "Edema":
            _edema(scene, lesion)


def _spot(chest: Chest, lesion: Lesion, sign: float) -> tuple[float, float]:
    """Return the lesion's height, as on the frontal film, and its depth."""
    _, y = lung_spot(chest, sign, lesion, lesion_rng(chest.seed, lesion, str(sign)))
    if lesion.finding == "Atelectasis" and lesion.zone in ("", "lower"):
        y = chest.dome(sign) - 1.5
    depth = float(lesion_rng(chest.seed, lesion, f"depth{sign}").uniform(-0.35, 0.65))
    return 9.0 * depth * depth_factor(chest), y


def _opacity(scene: Scene, lesion: Lesion, sign: float) -> None:
    radius, base, gain = _SIZE_AND_SHARE[lesion.finding]
    rng = lesion_rng(scene.chest.seed, lesion, f"lateral{sign}")
    size = radius * (0.5 + 0.5 * lesion.severity)
    patch = scene.canvas.blob(_spot(scene.chest, lesion, sign), (size, size * float(rng.uniform(0.6, 1.0))))
    noise = mottle(patch.values.shape, grain=1.1 * scene.canvas.pixels_per_unit, rng=rng)
    frayed = np.clip(patch.values * (1.1 + 0.3 * noise), 0, 1, dtype=np.float32)
    scene.opacify(Patch(patch.top, patch.left, frayed), base + gain * lesion.severity)


def _nodule(scene: Scene, lesion: Lesion, sign: float) -> None:
    radius = 0.75 + 1.5 * lesion.severity
    ball = scene.canvas.ridge(ellipse(_spot(scene.chest, lesion, sign), (radius, radius)), radius=radius)
    ball.add_to(scene.extra, 2 * radius * (0.4 + 0.5 * lesion.severity))


def _effusion(scene: Scene, lesion: Lesion, sign: float) -> None:
    chest, s = scene.chest, lesion.severity
    back = 0.98 * 9.8 * depth_factor(chest)
    level = chest.sulcus - 1.0 - 6.5 * s + 0.4 * sign
    behind = points((back + 0.6, level - 1.5), (0.8 * back, level))
    top = smooth(np.vstack([behind, points((0.3 * back, level + 1.5), (-0.9 * back, level + 1.2))]))
    floor = points((-0.9 * back, chest.sulcus + 3.0), (back + 0.6, chest.sulcus + 3.0))
    scene.opacify(scene.canvas.flat(np.vstack([top, floor]), blur=0.4), 0.6)


def _pleura(scene: Scene, lesion: Lesion, sign: float) -> None:
    outline = lateral_lung(scene.chest, sign)
    behind = outline[(outline[:, 0] > 0) & (outline[:, 1] > 0.4 * scene.chest.full_height)]
    behind = behind[behind[:, 0] > 0.85 * behind[:, 0].max()]
    band = np.vstack([behind, behind[::-1] - [0.5 + lesion.severity, 0.0]])
    scene.opacify(scene.canvas.flat(band, blur=0.12), 0.25 + 0.5 * lesion.severity)


def _pneumothorax(scene: Scene, lesion: Lesion, sign: float) -> None:
    outline = lateral_lung(scene.chest, sign)
    upper = outline[outline[:, 1] < 0.5 * scene.chest.full_height]
    centre = np.array([0.0, 0.5 * scene.chest.full_height])
    edge = centre + (upper - centre) * (0.95 - 0.2 * lesion.severity)
    layer = scene.canvas.layer()
    scene.canvas.stroke(layer, [edge[np.argsort(edge[:, 0])]], width=0.13)
    cv2.scaleAdd(layer.astype(np.float32), (0.4 + 0.4 * lesion.severity) / 255, scene.extra, dst=scene.extra)


def _edema(scene: Scene, lesion: Lesion) -> None:
    rng = lesion_rng(scene.chest.seed, lesion, "lateral")
    haze = scene.canvas.blob((0.5, 0.5 * scene.chest.full_height), (7.0, 8.0))
    noise = mottle(haze.values.shape, grain=1.0 * scene.canvas.pixels_per_unit, rng=rng)
    frayed = np.clip(haze.values * (1.1 + 0.3 * noise), 0, 1, dtype=np.float32)
    scene.opacify(Patch(haze.top, haze.left, frayed), 0.03 + 0.38 * lesion.severity)


def _device(scene: Scene, lesion: Lesion) -> None:
    chest, canvas = scene.chest, scene.canvas
    kind, h = kind_of(lesion, chest.seed), chest.full_height
    layer = canvas.layer()
    if kind == "sternal wires":
        front = -10.2 * depth_factor(chest)
        loops = [ellipse((front * (0.86 + 0.03 * i), (0.2 + 0.1 * i) * h), (0.5, 0.4)) for i in range(5)]
        canvas.stroke(layer, loops, width=0.14, value=0.7, closed=True)
    elif kind == "pacemaker":
        canvas.fill(layer, ellipse((-8.8, 0.2 * h), (0.9, 2.1)), 0.8)
    course = _courses(chest).get(kind)
    if course is not None:
        canvas.stroke(layer, [smooth(course)], width=_DEVICE_WIDTH, value=0.5)
    weight = (0.45 + 0.65 * lesion.severity) * _DEVICE_FULL_SCALE / 255
    cv2.scaleAdd(cv2.GaussianBlur(layer, (0, 0), 0.5).astype(np.float32), weight, scene.extra, dst=scene.extra)


def _courses(chest: Chest) -> dict[str, Outline]:
    h = chest.full_height
    windpipe = lateral_trachea(chest)
    return {
        "endotracheal tube": windpipe[: int(0.8 * len(windpipe)) : 4],
        "nasogastric tube": points((-1.0, -9.0), (1.6, 0.2 * h), (2.2, 0.6 * h), (0.5, h), (-3.0, h + 4.0)),
        "central line": points((-3.0, -8.0), (-3.2, 0.1 * h), (-3.0, 0.3 * h), (-3.0, 0.48 * h)),
        "picc line": points((3.0, -2.0), (-2.0, 0.06 * h), (-3.0, 0.3 * h), (-3.0, 0.46 * h)),
        "chest tube": points((2.0, 0.8 * h), (3.0, 0.6 * h), (5.0, 0.3 * h), (4.0, 0.12 * h)),
        "pacemaker": points((-8.8, 0.14 * h), (-4.0, 0.1 * h), (-3.0, 0.4 * h), (-3.0, 0.7 * h), (-6.0, 0.9 * h)),
    }


_PAINTERS: Mapping[str, Callable[[Scene, Lesion, float], None]] = MappingProxyType(
    {
        "Lung Lesion": _nodule,
        "Pleural Effusion": _effusion,
        "Pleural Other": _pleura,
        "Pneumothorax": _pneumothorax,
    }
)
