"""Bones of a frontal film: ribs, spine, clavicles, shoulder blades, upper arms."""

from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from phantom.drawing.anatomy import Chest, Outline
from phantom.drawing.canvas import Canvas, ellipse, mirrored, part_rng, points, ribbon, smooth
from phantom.drawing.deformation import RibBreak, RibKey

BONE_FULL_SCALE = 4.0
"""What 255 of a bone layer stands for: chest units of soft tissue that attenuate as much"""

_RIB_DROP = (2.6, 4.2, 5.6, 6.8, 7.6, 8.2, 8.6, 8.6, 8.2, 7.4, 5.6, 4.0)
_RIB_END = (2.25, 2.35, 2.42, 2.46, 2.48, 2.5, 2.45, 2.3, 2.15, 2.05, 1.75, 1.2)
_HEAD = 0.09
"""Angle at which a rib leaves its vertebra, radians"""

_TURN = 1.55
"""Angle at which ribs turn from the back to the front, radians"""


def rib_points(
    chest: Chest, sign: float, angle: Float[np.ndarray, "12 n"]
) -> tuple[Float[np.ndarray, "12 n 2"], Float[np.ndarray, " 12"]]:
    """Return points on the centre lines of one side's ribs at angles around the chest, and where each rib ends.

    Angles run from the spine (0) to the breastbone (pi). x = A sin(angle)^0.85, and y falls from back to front by the
    rib's drop: a tilted hoop seen from the front.
    """
    jitter = part_rng(chest.seed, f"ribs{sign}").normal(size=(3, 12, 1))
    number = np.arange(1, 13)[:, None]
    drop = np.array(_RIB_DROP)[:, None] * chest.rib_drop * (1 + 0.02 * jitter[0])
    start = chest.level(1.0) + (chest.level(2.0) - chest.level(1.0)) * (number - 1) + 0.06 * jitter[1]
    reach = chest.wall(start + 0.45 * drop) + 0.25
    reach[0] = 0.44 * chest.half_width
    fall = ((1 - np.cos(angle)) / 2) ** 1.15
    hump = 0.7 * chest.maturity * np.exp(-(((angle - 0.35) / 0.3) ** 2))
    x = sign * reach * np.sin(angle) ** 0.85 - 6.0 * chest.turn * np.cos(angle)
    return np.stack([x, start + drop * fall - hump], axis=2), np.array(_RIB_END) + 0.04 * jitter[2, :, 0]


def rib_line(chest: Chest, sign: float, number: int, angle: Float[np.ndarray, " n"]) -> Outline:
    """Return the centre line of one rib, 1 to 12, at angles around the chest."""
    line: Outline = rib_points(chest, sign, np.broadcast_to(angle, (12, len(angle))))[0][number - 1]
    return line


def draw_bones(chest: Chest, canvas: Canvas, *, breaks: Mapping[RibKey, RibBreak]) -> Float32[np.ndarray, "h w"]:
    """Return the attenuation of all bones as chest units of soft tissue."""
    layers = [_spine(chest, canvas), _shoulders(chest, canvas), *_ribs(chest, canvas, breaks)]
    total = canvas.blank()
    for layer in layers:
        cv2.accumulate(layer, total)
    mineral = 0.7 + 0.3 * chest.maturity
    return total * np.float32(mineral * BONE_FULL_SCALE / 255)


def _ribs(chest: Chest, canvas: Canvas, breaks: Mapping[RibKey, RibBreak]) -> list[UInt8[np.ndarray, "h w"]]:
    back, front = canvas.layer(), canvas.layer()
    for sign in (-1.0, 1.0):
        _, ends = rib_points(chest, sign, np.full((12, 1), 0.1))
        broken = np.array([(sign, number) in breaks for number in range(1, 13)])

        # Back halves, then front halves, of the ribs that are whole.
        behind = np.linspace(_HEAD, np.minimum(ends, _TURN), 16, axis=1)
        before = np.linspace(_TURN, ends, 14, axis=1)
        _bands(canvas, back, rib_points(chest, sign, behind)[0][~broken], behind[~broken], chest)
        reaching = ~broken & (ends > _TURN + 0.1)
        lines = rib_points(chest, sign, before)[0]
        _bands(canvas, front, lines[reaching], before[reaching], chest)

        for number in np.flatnonzero(broken) + 1:
            crack = breaks[(sign, int(number))]
            for layer, line, angle in _pieces(chest, sign, int(number), float(ends[number - 1]), crack):
                _bands(canvas, front if layer else back, line[None], angle[None], chest)
        if chest.frailty > 0.2:
            _calcified_cartilage(canvas, front, lines[:10], chest, sign)
    return [back, front]


def _pieces(
    chest: Chest, sign: float, number: int, end: float, crack: RibBreak
) -> list[tuple[bool, Outline, Float[np.ndarray, " n"]]]:
    """Return the parts of a broken rib and whether they lie in front; the far end's offset dies away along the rib."""
    start = crack.angle + crack.gap
    parts = [
        (False, np.linspace(_HEAD, crack.angle - crack.gap, 16)),
        (False, np.linspace(start, _TURN, 14)),
        (True, np.linspace(_TURN, end, 14)),
    ]
    pieces = []
    for in_front, angle in parts:
        line = rib_line(chest, sign, number, angle)
        line[:, 1] += np.where(angle >= start, crack.step * np.exp(-(angle - start) / 0.5), 0.0)
        pieces.append((in_front, line, angle))
    return pieces


def _bands(
    canvas: Canvas,
    layer: UInt8[np.ndarray, "h w"],
    lines: Float[np.ndarray, "k n 2"],
    angle: Float[np.ndarray, "k n"],
    chest: Chest,
) -> None:
    """Draw ribs as bands with bright rims: a shell of cortex around marrow."""
    side = np.exp(-(((angle - _TURN) / 0.45) ** 2))
    half = np.where(angle < _TURN, 0.58, 0.62 + 0.1 * (angle - _TURN)) * (1 - 0.3 * side)
    half *= 0.75 + 0.25 * chest.maturity

    # Front halves attenuate less, and bone loses mineral with age.
    strength = (0.13 if float(angle.mean()) > _TURN else 0.17) * (1 - 0.25 * chest.frailty)
    upper, lower = ribbon(lines, half)
    for band in np.concatenate([upper, lower[:, ::-1]], axis=1):
        canvas.fill(layer, band, strength)
    canvas.stroke(layer, np.concatenate([upper, lower]), width=0.13, value=1.75 * strength)


def _calcified_cartilage(
    canvas: Canvas, layer: UInt8[np.ndarray, "h w"], lines: Float[np.ndarray, "10 n 2"], chest: Chest, sign: float
) -> None:
    rng = part_rng(chest.seed, f"cartilage{sign}")
    calcified = rng.random(10) < chest.frailty
    tip, ahead = lines[:, -1], lines[:, -1] - lines[:, -3]
    ahead /= np.hypot(ahead[:, 0], ahead[:, 1])[:, None]
    spots = tip[:, None] + ahead[:, None] * rng.uniform(0.2, 2.2, (10, 6, 1)) + rng.normal(0, 0.25, (10, 6, 2))
    specks = np.stack([spots, spots + rng.normal(0, 0.3, spots.shape)], axis=2)
    canvas.stroke(layer, specks[calcified].reshape(-1, 2, 2), width=0.2, value=0.3)


def _spine(chest: Chest, canvas: Canvas) -> UInt8[np.ndarray, "h w"]:
    layer = canvas.layer()
    rng = part_rng(chest.seed, "spine")

    # A slight scoliosis, different in each patient.
    curve, phase = 0.35 * rng.normal() * (1 + chest.frailty), rng.uniform(0, 6.28)
    pitch = chest.level(2.0) - chest.level(1.0)
    number = np.arange(-4, 24)
    x = curve * np.sin(phase + number / 4.0) - 3.0 * chest.turn
    centre = np.stack([x, chest.level(0.0) + pitch * number + 0.1], axis=1)[:, None]

    # Bodies widen downwards and lose height with age.
    half = np.interp(number, (-4, 1, 8, 15), (1.15, 1.45, 1.6, 2.2))[:, None, None]
    size = np.concatenate([half, np.full_like(half, 0.41 * pitch * (1 - 0.12 * chest.frailty))], axis=2)
    body = points((-1.0, -1.0), (1.0, -1.0), (0.86, 0.0), (1.0, 1.0), (-1.0, 1.0), (-0.86, 0.0)) * size + centre
    canvas.fill(layer, body, 0.16)
    canvas.stroke(layer, body, width=0.16, value=0.24, closed=True)

    # Transverse processes and pedicles on both sides, the spinous process in the middle.
    for sign in (-1.0, 1.0):
        canvas.stroke(layer, points((sign * 0.9, -0.5), (sign * 1.75, -0.75)) * size + centre, width=0.55, value=0.14)
        pedicle = ellipse((sign * 0.62, -0.35), (0.26, 0.38)) * size + centre
        canvas.stroke(layer, pedicle, width=0.15, value=0.27, closed=True)
    spinous = points((-0.08, 0.25), (0.08, 0.25), (0.14, 1.15), (-0.14, 1.15)) * size + centre
    canvas.stroke(layer, spinous, width=0.16, value=0.26, closed=True)
    return layer


def clavicle_line(chest: Chest, sign: float) -> Outline:
    """Return the S-shaped centre line of a collar bone from the breastbone to the shoulder."""
    rng = part_rng(chest.seed, f"clavicle{sign}")
    a, lift = chest.half_width, (-1.1 if chest.supine else 0.0) + 0.35 * rng.normal()
    head = chest.level(3.3) + 0.3 * rng.normal() + (-0.8 if chest.supine else 0.0)
    line = smooth(
        points(
            (1.5, head),
            (0.25 * a, head - 0.9 + 0.3 * lift),
            (0.48 * a, head - 2.4 + 0.7 * lift),
            (0.78 * a, head - 3.4 + lift),
            (1.08 * a, head - 3.6 + lift),
        )
    )
    line = mirrored(line, sign)
    line[:, 0] += chest.anterior_shift(7.0) * np.linspace(1, 0.2, len(line))
    return line


def _shoulders(chest: Chest, canvas: Canvas) -> UInt8[np.ndarray, "h w"]:
    layer = canvas.layer()
    for sign in (-1.0, 1.0):
        _scapula(chest, canvas, layer, sign)
        line = clavicle_line(chest, sign)
        half = np.interp(np.linspace(0, 1, len(line)), (0, 0.12, 0.5, 1), (0.95, 0.6, 0.52, 0.75))
        upper, lower = ribbon(line, half * (0.75 + 0.25 * chest.maturity))
        canvas.fill(layer, np.vstack([upper, lower[::-1]]), 0.3)
        canvas.stroke(layer, [upper, lower], width=0.17, value=0.46)
        _humerus(chest, canvas, layer, sign)
    return layer


def shoulder_joint(chest: Chest, sign: float) -> tuple[float, float]:
    """Return the centre of the humeral head."""
    return sign * 1.27 * chest.half_width, chest.level(1.0) + 0.9


def _scapula(chest: Chest, canvas: Canvas, layer: UInt8[np.ndarray, "h w"], sign: float) -> None:
    # On a PA film the shoulders are rolled forwards, which turns the blades out of the lungs.
    a, rng = chest.half_width, part_rng(chest.seed, f"scapula{sign}")
    inward = (0.74 if chest.supine else 0.93) + 0.04 * rng.normal()
    y = chest.level(1.0) + 0.4 * rng.normal()

    # The blade: upper border, inner border down to the tip, outer border back up.
    blade = smooth(
        points(
            (1.12 * a, y + 0.8),
            ((inward + 0.05) * a, y + 0.6),
            (inward * a, y + 3.5),
            ((inward + 0.03) * a, y + 9.0),
            ((inward + 0.12) * a, y + 12.6),
            ((inward + 0.2) * a, y + 9.5),
            (1.12 * a, y + 4.5),
        ),
        closed=True,
        steps=6,
    )
    blade = mirrored(blade, sign)
    canvas.fill(layer, blade, 0.07)
    canvas.stroke(layer, [blade], width=0.22, value=0.2, closed=True)

    # Its dense parts: outer border, spine of the scapula, socket.
    outer = smooth(points((1.13 * a, y + 3.6), ((inward + 0.2) * a, y + 9.0), ((inward + 0.12) * a, y + 12.4)))
    canvas.stroke(layer, [mirrored(outer, sign)], width=0.5, value=0.24)
    ridge = mirrored(smooth(points(((inward + 0.03) * a, y + 3.2), (1.1 * a, y + 0.2), (1.22 * a, y - 1.4))), sign)
    canvas.stroke(layer, [ridge], width=0.7, value=0.22)
    socket = mirrored(ellipse((1.13 * a, y + 2.0), (0.55, 1.5)), sign)
    canvas.stroke(layer, [socket], width=0.2, value=0.34, closed=True)


def arm_line(chest: Chest, sign: float) -> Outline:
    """Return the shaft of the upper arm, from the shoulder downwards and out of the film."""
    x, y = shoulder_joint(chest, sign)
    outward = 7.0 if chest.supine else 16.0
    return smooth(points((x, y), (x + sign * 0.3 * outward, y + 7.0), (x + sign * outward, y + 26.0)))


def _humerus(chest: Chest, canvas: Canvas, layer: UInt8[np.ndarray, "h w"], sign: float) -> None:
    line = arm_line(chest, sign)
    upper, lower = ribbon(line, np.interp(np.linspace(0, 1, len(line)), (0, 0.3, 1), (1.7, 1.1, 0.95)))
    shaft = np.vstack([upper, lower[::-1]])
    canvas.fill(layer, shaft, 0.22)
    canvas.stroke(layer, [upper, lower], width=0.35, value=0.42)
    head = ellipse(shoulder_joint(chest, sign), (2.2, 2.3))
    canvas.fill(layer, head, 0.3)
    canvas.stroke(layer, [head], width=0.2, value=0.4, closed=True)
