"""The canvas that films are drawn on: converts chest units to pixels, and outlines to thickness."""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

_SUBPIXEL_BITS = 4
_FULL = 255


def part_rng(seed: int, part: str) -> np.random.Generator:
    """Return the generator of one part of one patient, so that drawing one part never changes another."""
    return np.random.default_rng([seed, crc32(part.encode())])


def points(*pairs: tuple[float | int, float | int]) -> Float[np.ndarray, "n 2"]:
    """Return (x, y) pairs as an array."""
    return np.array(pairs, dtype=np.float64)


def mirrored(outline: Float[np.ndarray, "n 2"], sign: float) -> Float[np.ndarray, "n 2"]:
    """Return an outline drawn for positive x on the side that `sign` says (+1 is the patient's left)."""
    flipped: Float[np.ndarray, "n 2"] = outline * np.array([sign, 1.0])
    return flipped


def moved(outline: Float[np.ndarray, "*k 2"], x: float, y: float = 0.0) -> Float[np.ndarray, "*k 2"]:
    """Return an outline shifted by x and y."""
    shifted: Float[np.ndarray, "*k 2"] = outline + np.array([x, y])
    return shifted


def smooth(controls: Float[np.ndarray, "n 2"], *, closed: bool = False, steps: int = 8) -> Float[np.ndarray, "m 2"]:
    """Return the Catmull-Rom curve through the control points, `steps` samples for each span.

    Source: Catmull and Rom, A class of local interpolating splines, 1974.
    """
    if closed:
        padded = np.vstack([controls[-1:], controls, controls[:2]])
    else:
        padded = np.vstack([2 * controls[:1] - controls[1:2], controls, 2 * controls[-1:] - controls[-2:-1]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    a, b, c, d = (padded[i : len(padded) - 3 + i, None, :] for i in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat: Float[np.ndarray, "m 2"] = curve.reshape(-1, 2)
    return flat if closed else np.vstack([flat, controls[-1:]])


def ellipse(centre: tuple[float, float], radii: tuple[float, float], *, steps: int = 16) -> Float[np.ndarray, "n 2"]:
    """Return a closed ellipse."""
    t = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([centre[0] + radii[0] * np.cos(t), centre[1] + radii[1] * np.sin(t)], axis=1)


def ribbon(
    centre: Float[np.ndarray, "*k n 2"], half_width: Float[np.ndarray, "*k n"] | float
) -> tuple[Float[np.ndarray, "*k n 2"], Float[np.ndarray, "*k n 2"]]:
    """Return the two edges of a band around a centre line, or of several."""
    along = np.gradient(centre, axis=-2)
    length = np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9)
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1) * (half_width / length)[..., None]
    return centre - across, centre + across


@dataclass(frozen=True, slots=True)
class Patch:
    """A rectangle of a map: what one structure contributes, zero elsewhere."""

    top: int
    left: int
    values: Float32[np.ndarray, "ph pw"]

    def view(self, target: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "ph pw"]:
        """Return the part of a full map that lies under this patch, as a writable view."""
        h, w = self.values.shape
        return target[self.top : self.top + h, self.left : self.left + w]

    def add_to(self, target: Float32[np.ndarray, "h w"], weight: float = 1.0) -> None:
        """Add the weighted patch to a full map in place."""
        part = self.view(target)
        cv2.scaleAdd(self.values, weight, part, dst=part)

    def max_into(self, target: Float32[np.ndarray, "h w"], weight: float = 1.0) -> None:
        """Raise a full map in place to the weighted patch where that is higher."""
        part = self.view(target)
        np.maximum(part, self.values * np.float32(weight), out=part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """Film geometry. Chest units (about a centimetre of an adult) have their origin at the lung apices' midline."""

    height: int
    """Pixels"""
    width: int
    """Pixels"""
    pixels_per_unit: float
    origin: tuple[float, float]
    """Pixel (x, y) of the chest's origin"""
    tilt: float = 0.0
    """Clockwise rotation in the plane of the film, radians"""

    def to_pixels(self, chest_points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Return film coordinates (x right, y down, pixel centres at whole numbers)."""
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        turned = chest_points @ np.array([[cos, sin], [-sin, cos]])
        pixels: Float[np.ndarray, "*n 2"] = turned * self.pixels_per_unit + np.array(self.origin)
        return pixels

    def blank(self) -> Float32[np.ndarray, "h w"]:
        """Return a map of zeros."""
        return np.zeros((self.height, self.width), dtype=np.float32)

    def layer(self) -> UInt8[np.ndarray, "h w"]:
        """Return an 8-bit layer of zeros: antialiased drawing exists for 8 bits only."""
        return np.zeros((self.height, self.width), dtype=np.uint8)

    def fill(self, layer: UInt8[np.ndarray, "h w"], outline: Float[np.ndarray, "*k n 2"], value: float = 1.0) -> None:
        """Fill a closed outline, or several that do not overlap, with value x 255, antialiased."""
        fixed = self._fixed(outline)
        outlines = list(fixed) if fixed.ndim == 3 else [fixed]
        cv2.fillPoly(layer, outlines, round(value * _FULL), cv2.LINE_AA, _SUBPIXEL_BITS)

    def stroke(
        self,
        layer: UInt8[np.ndarray, "h w"],
        lines: Sequence[Float[np.ndarray, "_ 2"]] | Float[np.ndarray, "k n 2"],
        *,
        width: float,
        value: float = 1.0,
        closed: bool = False,
    ) -> None:
        """Draw lines of a width in chest units; one thinner than a pixel is drawn fainter instead."""
        wide = width * self.pixels_per_unit
        faint = min(1.0, wide)
        cv2.polylines(
            layer,
            list(self._fixed(lines)) if isinstance(lines, np.ndarray) else [self._fixed(line) for line in lines],
            closed,
            max(1, round(value * faint * _FULL)),
            max(1, round(wide)),
            cv2.LINE_AA,
            _SUBPIXEL_BITS,
        )

    def ridge(self, outline: Float[np.ndarray, "n 2"], *, radius: float) -> Patch:
        """Return the relative thickness of a rounded body with this outline.

        Thickness is sqrt(1 - (1 - d / radius)^2) for the distance d to the outline, 1 deeper than radius: the chord
        through a body whose rim is a circle. This is why a heart border is sharp and a chest wall fades.
        """
        top, left, mask = self._mask(outline)
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
        inwards = np.minimum(depth * np.float32(1 / (radius * self.pixels_per_unit)), np.float32(1))
        chord = np.sqrt(inwards * (2 - inwards), dtype=np.float32)
        return Patch(top, left, cv2.GaussianBlur(chord, (0, 0), 0.7))

    def flat(self, outline: Float[np.ndarray, "n 2"], *, blur: float = 0.0) -> Patch:
        """Return 1 within the outline and 0 outside, with an edge blurred by `blur` chest units."""
        sigma = blur * self.pixels_per_unit
        top, left, mask = self._mask(outline, margin=round(3 * sigma) + 2)
        values = mask.astype(np.float32) / np.float32(_FULL)
        return Patch(top, left, soften(values, sigma))

    def blob(self, centre: tuple[float, float], radii: tuple[float, float], *, angle: float = 0.0) -> Patch:
        """Return exp(-q^2) for the elliptic distance q from a centre, cut at q = 2.2."""
        cx, cy = self.to_pixels(points(centre))[0]
        rx, ry = (max(r * self.pixels_per_unit, 0.5) for r in radii)
        reach = 2.2 * max(rx, ry)
        x0, x1 = self._span(cx - reach, cx + reach, self.width)
        y0, y1 = self._span(cy - reach, cy + reach, self.height)
        dx = (np.arange(x0, x1, dtype=np.float32) - np.float32(cx))[None, :]
        dy = (np.arange(y0, y1, dtype=np.float32) - np.float32(cy))[:, None]
        turn = angle + self.tilt
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        squared = ((dx * cos + dy * sin) / np.float32(rx)) ** 2 + ((dy * cos - dx * sin) / np.float32(ry)) ** 2
        return Patch(y0, x0, np.maximum(cv2.exp(-squared) - np.float32(0.008), 0.0, dtype=np.float32))

    def box(self, chest_points: Float[np.ndarray, "n 2"], *, margin: float = 0.0) -> tuple[int, int, int, int] | None:
        """Return the pixel box x0, y0, x1, y1 around points, cut to the film; None where it misses the film."""
        pixels = self.to_pixels(chest_points)
        pad = margin * self.pixels_per_unit
        x0, x1 = self._span(pixels[:, 0].min() - pad, pixels[:, 0].max() + pad, self.width)
        y0, y1 = self._span(pixels[:, 1].min() - pad, pixels[:, 1].max() + pad, self.height)
        return (x0, y0, x1, y1) if x1 - x0 >= 2 and y1 - y0 >= 2 else None

    def _fixed(self, chest_points: Float[np.ndarray, "*n 2"]) -> np.ndarray:
        fixed: np.ndarray = np.rint(self.to_pixels(chest_points) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        return fixed

    def _mask(self, outline: Float[np.ndarray, "n 2"], margin: int = 4) -> tuple[int, int, UInt8[np.ndarray, "ph pw"]]:
        pixels = self.to_pixels(outline)
        x0, x1 = self._span(pixels[:, 0].min() - margin, pixels[:, 0].max() + margin, self.width)
        y0, y1 = self._span(pixels[:, 1].min() - margin, pixels[:, 1].max() + margin, self.height)
        mask = np.zeros((max(y1 - y0, 1), max(x1 - x0, 1)), dtype=np.uint8)
        fixed = np.rint((pixels - [x0, y0]) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [fixed], _FULL, cv2.LINE_8, _SUBPIXEL_BITS)
        return y0, x0, mask

    @staticmethod
    def _span(low: float, high: float, size: int) -> tuple[int, int]:
        start = int(np.clip(np.floor(low), 0, size - 1))
        return start, int(np.clip(np.ceil(high) + 1, start + 1, size))


def soften(values: Float32[np.ndarray, "h w"], sigma: float) -> Float32[np.ndarray, "h w"]:
    """Return a Gaussian blur of `sigma` pixels; a wide one is computed on a reduced copy, which no eye can tell."""
    if sigma < 0.3:
        return values
    shrink = int(sigma // 3)
    if shrink < 2 or min(values.shape) < 4 * shrink:
        return cv2.GaussianBlur(values, (0, 0), sigma)
    h, w = values.shape
    small = cv2.resize(values, (max(1, w // shrink), max(1, h // shrink)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / shrink), (w, h), interpolation=cv2.INTER_LINEAR)


def mottle(shape: tuple[int, int], *, grain: float, rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """Return smooth noise, mean 0 and standard deviation about 1, with spots of about `grain` pixels."""
    h, w = shape
    rows, columns = max(2, round(h / grain) + 1), max(2, round(w / grain) + 1)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
