"""Converts attenuation to grey levels: photons, scatter, noise, and the display curve."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from phantom.body import Exposure, View
from phantom.drawing.canvas import soften

PHOTONS = 2.5e5
"""Quanta for each pixel of a 512-pixel film in front of the patient at dose 1"""

_LEVELS = 4096


def develop(
    attenuation: Float32[np.ndarray, "h w"],
    *,
    exposure: Exposure,
    sharpness: float,
    scatter: float,
    pixels_per_unit: float,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "h w"]:
    """Return the processed film of an attenuation map, dense parts bright.

    Signal = exp(-attenuation) + scatter x blurred signal; noise has the variance of the photon count; the film is the
    negative logarithm, with its local contrast raised as detectors' software does, and its tones partly equalised as
    MIMIC-CXR-JPG does.

    Args:
        attenuation: Line integrals, dimensionless, (h, w).
        exposure: Dose, contrast and motion are used here.
        sharpness: Standard deviation of the focal spot's and the detector's blur, chest units.
        scatter: Scattered over primary radiation behind the middle of the patient; a grid lowers it.
        pixels_per_unit: Pixels for each chest unit.
        rng: Draws the quantum noise.
    """
    primary = cv2.exp(-attenuation)
    primary = soften(primary, sharpness * pixels_per_unit)
    if exposure.motion > 0:
        primary = cv2.blur(primary, (1, max(1, round(0.4 * exposure.motion * pixels_per_unit) | 1)))

    # Scatter comes from the thick parts and spreads widely; the direct beam beside the body makes none.
    behind = np.minimum(primary, np.float32(0.25))
    signal = cv2.addWeighted(primary, 1.0, soften(behind, 2.5 * pixels_per_unit), scatter, 1e-4)

    # Quantum noise: fewer photons per pixel the finer the film.
    count = PHOTONS * exposure.dose * (512 / max(attenuation.shape)) ** 2
    noise = rng.standard_normal(attenuation.shape, dtype=np.float32)
    noisy = cv2.add(signal, cv2.multiply(cv2.sqrt(signal), noise, scale=float(count**-0.5)))

    # The detector's software: logarithm, then local contrast raised.
    film = -cv2.log(np.maximum(noisy, np.float32(2e-4)))
    film = cv2.addWeighted(film, 1.45, soften(film, 3.0 * pixels_per_unit), -0.45, 0.0)
    return _tone(film, exposure.contrast)


def _tone(film: Float32[np.ndarray, "h w"], contrast: float) -> UInt8[np.ndarray, "h w"]:
    """Return grey levels: stretched between the darkest and brightest part, half way towards a flat histogram."""
    low, high = np.percentile(film[::4, ::4], (0.2, 99.8))
    scaled = np.clip((film - low) * ((_LEVELS - 1) / max(float(high - low), 1e-3)), 0, _LEVELS - 1).astype(np.uint16)

    # Counts are cut before they are summed, so that air beside the patient doesn't take all grey levels.
    ramp = np.linspace(0.0, 1.0, _LEVELS)
    counts = np.bincount(scaled[::2, ::2].ravel(), minlength=_LEVELS).astype(np.float64)
    rank = np.cumsum(np.minimum(counts, 3.0 * counts.mean()))
    rank /= rank[-1]

    curve = 0.5 + contrast * (0.55 * rank + 0.45 * ramp - 0.5)
    table = np.clip(curve * 255, 0, 255).astype(np.uint8)
    grey: UInt8[np.ndarray, "h w"] = table[scaled]
    return grey


def burn_in(image: UInt8[np.ndarray, "h w"], *, view: View, rng: np.random.Generator) -> None:
    """Write the side marker into the film and blacken what the collimator left unexposed, in place."""
    _collimate(image, rng)
    h, w = image.shape
    letter, on_left = ("L", False) if rng.random() < 0.6 else ("R", True)
    if view == "LATERAL":
        letter, on_left = "L", True

    x, y = rng.uniform(0.05, 0.1) * w, rng.uniform(0.07, 0.16) * h
    size = max(h, w) / 512 * rng.uniform(0.6, 0.9)
    place = (int(x if on_left else w - x - 16 * size), int(y))
    white, stroke = int(rng.integers(200, 256)), max(1, round(2 * size))
    cv2.putText(image, letter, place, cv2.FONT_HERSHEY_SIMPLEX, size, white, stroke, cv2.LINE_AA)
    if view == "AP" and rng.random() < 0.5:
        below = (place[0] - int(22 * size) * (not on_left), place[1] + int(16 * size))
        cv2.putText(image, "PORTABLE", below, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * size, white, 1, cv2.LINE_AA)


def _collimate(image: UInt8[np.ndarray, "h w"], rng: np.random.Generator) -> None:
    h, w = image.shape
    inset = np.maximum(rng.normal(0.0, 0.02, (4, 2)), 0.0)
    if rng.random() < 0.4:
        return
    x = inset[:, 0] * w * [1, -1, -1, 1] + np.array([0, w, w, 0])
    y = inset[:, 1] * h * [1, 1, -1, -1] + np.array([0, 0, h, h])
    lit = np.zeros_like(image)
    cv2.fillPoly(lit, [np.rint(np.stack([x, y], axis=1)).astype(np.int32)], 255)
    np.minimum(image, lit, out=image)
