"""The maps that anatomy and lesions paint into, and the attenuation they add up to."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float32

from phantom.anatomy import Chest
from phantom.body import Box
from phantom.canvas import Canvas, Patch

SOFT_PER_CM = 0.19
"""Linear attenuation of soft tissue at the beam's mean energy (about 65 keV), per centimetre."""

HARDENING = 0.04
"""Thick parts attenuate less for each centimetre, as the soft photons are gone: p becomes p / (1 + HARDENING p)."""

AIR_SHARE = 0.76
"""Part of the lung's volume that is air: the lung attenuates as the remaining quarter."""


@dataclass(slots=True, kw_only=True)
class Scene:
    """Path lengths through one chest, each map (h, w) in chest units of soft tissue."""

    canvas: Canvas
    chest: Chest
    body: Float32[np.ndarray, "h w"]
    """Whole body with the lungs counted as solid."""
    lung: Float32[np.ndarray, "h w"]
    """Aerated lung along the ray."""
    bone: Float32[np.ndarray, "h w"]
    vessels: Float32[np.ndarray, "h w"]
    extra: Float32[np.ndarray, "h w"]
    """What lesions, devices and skin add (or, below zero, take away)."""
    boxes: dict[str, Box] = field(default_factory=dict)

    def opacify(self, patch: Patch, share: float) -> None:
        """Replace a share of the air under a patch by fluid: lung becomes denser, never denser than tissue."""
        part = patch.view(self.lung)
        np.multiply(part, 1.0 - np.clip(patch.values * np.float32(share), 0.0, 0.95), out=part)

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
