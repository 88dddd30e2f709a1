"""Artefacts of single films that are not findings: skin folds, electrodes and their wires, uneven exposure."""

import cv2
import numpy as np

from phantom.body import View
from phantom.drawing.canvas import Canvas, ellipse, mirrored, mottle, moved, points, smooth
from phantom.drawing.scene import Scene


def add_mishaps(scene: Scene, *, view: View, rng: np.random.Generator) -> None:
    """Add what lies on or in front of the patient on this film only."""
    canvas = scene.canvas
    drift = mottle((canvas.height, canvas.width), grain=16 * canvas.pixels_per_unit, rng=rng)
    cv2.scaleAdd(drift, 0.3, scene.extra, dst=scene.extra)
    fold, leads = rng.random(2)
    if view != "LATERAL" and fold < (0.25 if view == "AP" else 0.06):
        _skin_fold(scene, rng)
    if view == "AP" and leads < 0.25:
        _electrodes(scene, rng)


def _skin_fold(scene: Scene, rng: np.random.Generator) -> None:
    """A fold of skin is an edge, not a line: it mimics a pneumothorax, but vessels cross it."""
    chest = scene.chest
    sign = float(rng.choice([-1.0, 1.0]))
    x = rng.uniform(0.45, 0.8) * chest.half_width
    line = smooth(
        points((x - 1.0, 0.1 * chest.full_height), (x + 0.6, 0.5 * chest.full_height), (x + 0.2, chest.full_height))
    )
    away = mirrored(np.vstack([line, moved(line[::-1], -4.0)]), sign)
    fold = scene.canvas.flat(away, blur=0.08)
    fade = np.linspace(1.0, 0.0, fold.values.shape[1], dtype=np.float32)[None, :]
    fold.values[:] *= fade[:, ::-1] if sign > 0 else fade
    fold.add_to(scene.extra, float(rng.uniform(0.3, 0.9)))


def _electrodes(scene: Scene, rng: np.random.Generator) -> None:
    chest, canvas = scene.chest, scene.canvas
    layer = canvas.layer()
    for _ in range(rng.integers(2, 5)):
        x, y = rng.uniform(-0.9, 0.9) * chest.half_width, rng.uniform(0.1, 1.0) * chest.full_height
        _snap(canvas, layer, (x, y))
        away = np.sign(x) if x else 1.0
        end = (away * 1.6 * chest.half_width, y + rng.normal(0, 6.0))
        bend = (0.5 * (x + end[0]), 0.5 * (y + end[1]) + rng.normal(0, 2.0))
        canvas.stroke(layer, [smooth(points((x, y), bend, end))], width=0.16, value=0.13)
    scene.add_layer(layer, 3.0)


def _snap(canvas: Canvas, layer: np.ndarray, at: tuple[float, float]) -> None:
    canvas.fill(layer, ellipse(at, (0.75, 0.75)), 0.18)
    canvas.fill(layer, ellipse(at, (0.32, 0.32)), 0.75)
