"""Tubes, lines and implants: how each is drawn from the front and from the side, and what brings it to radiology."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8

from phantom.drawing.anatomy import Chest, Outline
from phantom.drawing.canvas import Canvas, ellipse, mirrored, moved, points, ribbon, smooth
from phantom.drawing.frontal import trachea_line
from phantom.drawing.lateral import depth_factor, lateral_trachea
from phantom.drawing.skeleton import clavicle_line

Layer = UInt8[np.ndarray, "h w"]
FrontalDrawer = Callable[[Chest, Canvas, Layer, float, np.random.Generator], Outline]
LateralDrawer = Callable[[Chest, Canvas, Layer], None]

_LATERAL_WIDTH = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One kind of support device."""

    draw_frontal: FrontalDrawer
    """Draws into a layer on the given side and returns its course"""
    draw_lateral: LateralDrawer
    """Draws into a layer of a lateral film"""
    right_share: float | None = None
    """Share of patients who have it on the right; None for a device in the midline, or beside what it drains"""
    tag: str
    """Its condition in the column `when` of the phrases"""
    complaints: tuple[tuple[str, str], ...]
    """Reasons for the film, each with the question asked"""


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

    # Leads go through the subclavian vein into the right atrium and the apex of the right ventricle.
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


def _side_line(course: Callable[[Chest], Outline]) -> LateralDrawer:
    """Return what draws a line along `course` on a lateral film."""

    def draw(chest: Chest, canvas: Canvas, layer: Layer) -> None:
        canvas.stroke(layer, [smooth(course(chest))], width=_LATERAL_WIDTH, value=0.5)

    return draw


def _endotracheal_course(chest: Chest) -> Outline:
    windpipe = lateral_trachea(chest)
    return windpipe[: int(0.8 * len(windpipe)) : 4]


def _nasogastric_course(chest: Chest) -> Outline:
    h = chest.full_height
    return points((-1.0, -9.0), (1.6, 0.2 * h), (2.2, 0.6 * h), (0.5, h), (-3.0, h + 4.0))


def _central_course(chest: Chest) -> Outline:
    h = chest.full_height
    return points((-3.0, -8.0), (-3.2, 0.1 * h), (-3.0, 0.3 * h), (-3.0, 0.48 * h))


def _picc_course(chest: Chest) -> Outline:
    h = chest.full_height
    return points((3.0, -2.0), (-2.0, 0.06 * h), (-3.0, 0.3 * h), (-3.0, 0.46 * h))


def _chest_tube_course(chest: Chest) -> Outline:
    h = chest.full_height
    return points((2.0, 0.8 * h), (3.0, 0.6 * h), (5.0, 0.3 * h), (4.0, 0.12 * h))


def _lead_course(chest: Chest) -> Outline:
    h = chest.full_height
    return points((-8.8, 0.14 * h), (-4.0, 0.1 * h), (-3.0, 0.4 * h), (-3.0, 0.7 * h), (-6.0, 0.9 * h))


def _lateral_pacemaker(chest: Chest, canvas: Canvas, layer: Layer) -> None:
    """The can is seen on edge, below the skin of the front."""
    canvas.fill(layer, ellipse((-8.8, 0.2 * chest.full_height), (0.9, 2.1)), 0.8)
    _side_line(_lead_course)(chest, canvas, layer)


def _lateral_wires(chest: Chest, canvas: Canvas, layer: Layer) -> None:
    """The loops follow the breastbone, which runs forwards as it goes down."""
    front, h = -10.2 * depth_factor(chest), chest.full_height
    loops = [ellipse((front * (0.86 + 0.03 * i), (0.2 + 0.1 * i) * h), (0.5, 0.4)) for i in range(5)]
    canvas.stroke(layer, loops, width=0.14, value=0.7, closed=True)


DEVICES: Mapping[str, Device] = MappingProxyType(
    {
        "endotracheal tube": Device(
            draw_frontal=_endotracheal,
            draw_lateral=_side_line(_endotracheal_course),
            tag="endotracheal",
            complaints=(("respiratory failure", "interval change"), ("intubation", "tube position")),
        ),
        "nasogastric tube": Device(
            draw_frontal=_nasogastric,
            draw_lateral=_side_line(_nasogastric_course),
            tag="nasogastric",
            complaints=(("feeding tube placement", "tube position"),),
        ),
        "central line": Device(
            draw_frontal=_central,
            draw_lateral=_side_line(_central_course),
            right_share=0.75,
            tag="central",
            complaints=(("central line placement", "line position, pneumothorax"), ("sepsis", "pneumonia")),
        ),
        "picc line": Device(
            draw_frontal=_picc,
            draw_lateral=_side_line(_picc_course),
            right_share=0.65,
            tag="picc",
            complaints=(("new PICC", "line position"),),
        ),
        "chest tube": Device(
            draw_frontal=_chest_tube,
            draw_lateral=_side_line(_chest_tube_course),
            tag="chest-tube",
            complaints=(("chest tube", "interval change, pneumothorax"),),
        ),
        "pacemaker": Device(
            draw_frontal=_pacemaker,
            draw_lateral=_lateral_pacemaker,
            right_share=0.1,
            tag="pacemaker",
            complaints=(("pacemaker placement", "lead position"),),
        ),
        "sternal wires": Device(
            draw_frontal=_sternal_wires,
            draw_lateral=_lateral_wires,
            tag="wires",
            complaints=(("recent cardiac surgery", "interval change"),),
        ),
    }
)
"""Kind -> device, in the order of `phantom.body.DEVICE_KINDS`"""
