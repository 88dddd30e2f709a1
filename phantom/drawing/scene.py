"""The maps that anatomy and lesions are painted into, and the attenuation that they add up to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from phantom.body import Box, Lesion
from phantom.drawing.anatomy import Chest, heart_outline
from phantom.drawing.canvas import Canvas, Patch, part_rng
from phantom.drawing.deformation import RibBreak, RibKey

SOFT_PER_CM = 0.19
"""Linear attenuation of soft tissue at the beam's mean energy (about 65 keV), per centimetre"""

HARDENING = 0.04
"""Thick parts attenuate less for each centimetre, as the soft photons are gone: p becomes p / (1 + HARDENING p)"""

AIR_SHARE = 0.76
"""Part of the lung's volume that is air: the lung attenuates as the remaining quarter"""


@dataclass(slots=True, kw_only=True)
class Scene:
    """Path lengths through one chest, each map (h, w) in chest units of soft tissue."""

    canvas: Canvas
    chest: Chest
    body: Float32[np.ndarray, "h w"]
    """Whole body with the lungs counted as solid"""
    lung: Float32[np.ndarray, "h w"]
    """Aerated lung along the ray"""
    bone: Float32[np.ndarray, "h w"]
    vessels: Float32[np.ndarray, "h w"]
    extra: Float32[np.ndarray, "h w"]
    """What lesions, devices and skin add (or, below zero, take away)"""
    breaks: Mapping[RibKey, RibBreak] = field(default_factory=dict)
    """Broken ribs"""
    boxes: dict[str, Box] = field(default_factory=dict)

    def opacify(self, patch: Patch, share: float) -> None:
        """Replace a share of the air under a patch by fluid: lung becomes denser, never denser than tissue."""
        part = patch.view(self.lung)
        np.multiply(part, 1.0 - np.clip(patch.values * np.float32(share), 0.0, 0.95), out=part)

    def add_layer(self, layer: UInt8[np.ndarray, "h w"], full_scale: float) -> None:
        """Add an 8-bit layer to `extra`; 255 stands for `full_scale` chest units, below zero for gas."""
        cv2.scaleAdd(layer.astype(np.float32), full_scale / 255, self.extra, dst=self.extra)

    def mark(self, finding: str, box: Box | None) -> None:
        """Note where a focal finding lies; a second lesion of the same finding widens the box."""
        if box is None:
            return
        old = self.boxes.get(finding)
        if old is not None:
            box = (min(old[0], box[0]), min(old[1], box[1]), max(old[2], box[2]), max(old[3], box[3]))
        self.boxes[finding] = box

    def attenuation(self) -> Float32[np.ndarray, "h w"]:
        """Return the line integral of attenuation for every pixel, dimensionless."""
        total = cv2.addWeighted(self.body, 1.0, self.lung, -AIR_SHARE, 0.0)
        visible = cv2.multiply(self.vessels, np.minimum(self.lung, np.float32(5)), scale=0.2)
        for part in (visible, self.bone, self.extra):
            cv2.accumulate(part, total)
        raw = np.maximum(total, np.float32(0)) * np.float32(SOFT_PER_CM * self.chest.scale)
        return raw / (1 + np.float32(HARDENING) * raw)


RIGHT, LEFT = -1.0, 1.0

ZONE_HEIGHTS = {"upper": (0.16, 0.34), "mid": (0.42, 0.6), "lower": (0.68, 0.86)}
"""Reach of the lung's zones, as fractions of the way from the apex to the dome"""


def lesion_rng(seed: int, lesion: Lesion, part: str = "") -> np.random.Generator:
    """Return the generator of a lesion's place and shape; severity is not in it, so a lesion grows in place."""
    return part_rng(seed, f"{lesion.finding}/{lesion.kind}/{lesion.side}/{lesion.zone}/{part}")


def sides_of(lesion: Lesion, seed: int) -> tuple[float, ...]:
    """Return the signs of the sides that are affected: -1 is the patient's right, +1 the left."""
    if lesion.side == "both":
        return (RIGHT, LEFT)
    if lesion.side:
        return (LEFT if lesion.side == "left" else RIGHT,)
    return (LEFT if part_rng(seed, f"side of {lesion.finding}").random() < 0.5 else RIGHT,)


def lung_spot(
    chest: Chest, sign: float, lesion: Lesion, rng: np.random.Generator, *, across: tuple[float, float] = (0.2, 0.8)
) -> tuple[float, float]:
    """Return a point in the aerated lung of the lesion's zone, `across` of the way from heart to chest wall."""
    zones = tuple(ZONE_HEIGHTS)
    zone = lesion.zone or zones[int(rng.choice(3, p=(0.25, 0.3, 0.45)))]
    y = float(rng.uniform(*ZONE_HEIGHTS[zone])) * chest.dome(sign)
    border = heart_outline(chest)
    beside = np.abs(border[:, 1] - y) < 2.0
    reach = float(np.max(border[beside, 0] * sign, initial=2.8))
    outer = chest.wall_at(float(y)) - 1.0
    inner = min(max(reach, 2.8) + 0.3, 0.6 * outer)
    return sign * (inner + float(rng.uniform(*across)) * (outer - inner)), y
