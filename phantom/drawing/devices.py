"""Support devices on a frontal film: tubes, lines, leads and wires."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from jaxtyping import UInt8

from phantom.body import DEVICE_KINDS, Lesion
from phantom.drawing.anatomy import Chest, Outline
from phantom.drawing.canvas import Canvas, mirrored, moved, points, ribbon, smooth
from phantom.drawing.frontal import trachea_line
from phantom.drawing.scene import LEFT, RIGHT, Scene, lesion_rng
from phantom.drawing.skeleton import clavicle_line

Layer = UInt8[np.ndarray, "h w"]
_DEVICE_FULL_SCALE = 6.5
"""What 255 of the device layer stands for at full visibility, chest units of soft tissue."""
_MARGIN = 0.5


def kind_of(lesion: Lesion, seed: int) -> str:
    """Return the kind of a device, chosen by the patient where the lesion leaves it open."""
    return lesion.kind or str(lesion_rng(seed, lesion, "kind").choice(DEVICE_KINDS))


def draw_device(scene: Scene, lesion: Lesion) -> None:
    """Draw one device; severity is how well it shows."""
    chest = scene.chest
    rng = lesion_rng(chest.seed, lesion)
    sign = _side(lesion, rng)
    layer = scene.canvas.layer()
    course = _DRAWERS[kind_of(lesion, chest.seed)](chest, scene.canvas, layer, sign, rng)
    soft = cv2.GaussianBlur(layer, (0, 0), 0.5).astype(np.float32)
    weight = (0.45 + 0.65 * lesion.severity) * _DEVICE_FULL_SCALE / 255
    cv2.scaleAdd(soft, weight, scene.extra, dst=scene.extra)
    scene.mark(lesion.finding, scene.canvas.box(course, margin=_MARGIN))


def _side(lesion: Lesion, rng: np.random.Generator) -> float:
    drawn = LEFT if rng.random() < 0.5 else RIGHT
    return {"left": LEFT, "right": RIGHT}.get(lesion.side, drawn)


def _tube(canvas: Canvas, layer: Layer, line: Outline, *, bore: float, value: float) -> None:
    """Draw two walls and the radio-opaque stripe."""
    walls = ribbon(line, bore / 2)
    canvas.fill(layer, np.vstack([walls[0], walls[1][::-1]]), 0.25 * value)
    canvas.stroke(layer, walls, width=0.1, value=0.8 * value)
    canvas.stroke(layer, [walls[0] * 0.7 + walls[1] * 0.3], width=0.12, value=min(1.0, 1.6 * value))


def _endotracheal(chest: Chest, canvas: Canvas, layer: Layer, _: float, rng: np.random.Generator) -> Outline:
    windpipe = trachea_line(chest)
    tip = windpipe[-1, 1] - rng.uniform(1.5, 5.0)
    line: Outline = windpipe[windpipe[:, 1] <= tip]
    _tube(canvas, layer, line, bore=0.85, value=0.42)
    return line


def _nasogastric(chest: Chest, canvas: Canvas, layer: Layer, _: float, rng: np.random.Generator) -> Outline:
    below = chest.left_dome + rng.uniform(3.5, 5.0)
    line = smooth(
        points(
            (0.5, -9.0),
            (0.4, 0.0),
            (0.9 + rng.normal(0.0, 0.2), 0.35 * chest.full_height),
            (0.8, 0.75 * chest.full_height),
            (1.6, chest.left_dome + 0.5),
            (4.2, below),
            (6.5, below + rng.uniform(-1.0, 2.0)),
        )
    )
    canvas.stroke(layer, [line], width=0.34, value=0.2)
    canvas.stroke(layer, [line], width=0.13, value=0.55)
    return line


def _cava(chest: Chest, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Return the last stretch of a venous line: down the superior vena cava to the right atrium."""
    lean = chest.anterior_shift(1.0)
    h = chest.full_height
    return [
        (-1.9 + lean, 0.2 * h),
        (-2.3 + lean, 0.32 * h),
        (-2.5 + lean + rng.normal(0, 0.15), (0.46 + rng.uniform(-0.06, 0.08)) * h),
    ]


def _central(chest: Chest, canvas: Canvas, layer: Layer, sign: float, rng: np.random.Generator) -> Outline:
    if rng.random() < 0.6:
        entry = [(sign * 4.0, -8.0), (sign * 3.6, -3.5), (sign * 2.6, 0.9)]
    else:
        vein = clavicle_line(chest, sign)[[22, 15, 8]] + [0.0, 1.2]
        entry = [(float(x), float(y)) for x, y in vein]
    line = smooth(points(*entry, *_cava(chest, rng)))
    canvas.stroke(layer, [line], width=0.34, value=0.66)
    return line


def _picc(chest: Chest, canvas: Canvas, layer: Layer, sign: float, rng: np.random.Generator) -> Outline:
    a = chest.half_width
    arm = [(sign * 1.42 * a, 15.0), (sign * 1.26 * a, 7.5), (sign * 1.02 * a, 3.6 + rng.normal(0, 0.3))]
    vein = [(sign * 0.66 * a, 1.3 + rng.normal(0, 0.3)), (sign * 0.3 * a, 1.9)]
    line = smooth(points(*arm, *vein, *_cava(chest, rng)))
    canvas.stroke(layer, [line], width=0.28, value=0.62)
    return line


def _chest_tube(chest: Chest, canvas: Canvas, layer: Layer, sign: float, rng: np.random.Generator) -> Outline:
    y = rng.uniform(0.6, 0.75) * chest.full_height
    wall = chest.wall_at(float(y))
    line = smooth(
        points(
            (wall + 3.5, y + 2.2),
            (wall - 0.4, y),
            (0.72 * wall, 0.62 * y),
            (0.55 * wall, 0.35 * y),
            (0.42 * wall, rng.uniform(0.1, 0.2) * y),
        )
    )
    line = mirrored(line, sign)
    _tube(canvas, layer, line, bore=0.9, value=0.36)
    return line


def _pacemaker(chest: Chest, canvas: Canvas, layer: Layer, sign: float, rng: np.random.Generator) -> Outline:
    x, y = sign * 0.66 * chest.half_width, (0.15 + 0.02 * rng.normal()) * chest.full_height
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    can = np.stack([x + 2.3 * np.cos(t), y + 2.0 * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** 0.7], axis=1)
    canvas.fill(layer, can, 0.8)
    canvas.fill(layer, can * 0.5 + np.array([x, y + 0.9]) * 0.5, 0.95)
    vein = [(x - sign * 1.2, y - 1.8), (sign * 0.38 * chest.half_width, 1.0), (sign * 1.2, 3.2), *_cava(chest, rng)[:2]]
    lean = chest.anterior_shift(3.0)
    low = min(chest.right_dome, chest.left_dome)
    atrium = smooth(points(*vein, (-2.9 + lean, 0.68 * low), (-1.6 + lean, 0.6 * low)))
    tip = (0.6 * chest.heart_left + lean, 0.93 * low)
    apex = smooth(points(*vein, (-2.7 + lean, 0.75 * low), (0.5 + lean, 0.95 * low), tip))
    leads = [atrium, apex] if rng.random() < 0.7 else [apex]
    canvas.stroke(layer, leads, width=0.17, value=0.6)
    canvas.stroke(layer, [lead[-4:] for lead in leads], width=0.32, value=0.7)
    return np.vstack([can, *leads])


def _sternal_wires(chest: Chest, canvas: Canvas, layer: Layer, _: float, rng: np.random.Generator) -> Outline:
    lean = chest.anterior_shift(8.0)
    t = np.linspace(0, 2 * np.pi, 20)
    loops = []
    for y in np.linspace(0.2, 0.72, 6) * chest.full_height:
        turn = 0.25 * rng.normal()
        wide = 0.95 + 0.1 * rng.normal()
        loop = np.stack([wide * np.cos(t), 0.45 * np.sin(t) + 0.3 * np.cos(t) * turn], axis=1)
        loops.append(moved(loop, lean + 0.15 * rng.normal(), float(y)))
        twist = moved(points((0.0, 0.4), (0.25, 0.8), (-0.1, 0.9)), lean, float(y))
        canvas.stroke(layer, [twist], width=0.2, value=0.6)
    canvas.stroke(layer, loops, width=0.2, value=0.7)
    return np.vstack(loops)


_Drawer = Callable[[Chest, Canvas, Layer, float, np.random.Generator], Outline]
_DRAWERS: Mapping[str, _Drawer] = MappingProxyType(
    {
        "endotracheal tube": _endotracheal,
        "nasogastric tube": _nasogastric,
        "central line": _central,
        "picc line": _picc,
        "chest tube": _chest_tube,
        "pacemaker": _pacemaker,
        "sternal wires": _sternal_wires,
    }
)
