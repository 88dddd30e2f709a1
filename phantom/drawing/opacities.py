"""Shapes that opacities of the lung are made of: frayed patches, lobed outlines, and their shadow from the side."""

import numpy as np

from phantom.body import Lesion
from phantom.drawing.anatomy import Chest, Outline
from phantom.drawing.canvas import Patch, mottle, points, smooth
from phantom.drawing.lateral import depth_factor
from phantom.drawing.scene import Scene, lesion_rng, lung_spot


def lobed_outline(centre: tuple[float, float], radius: float, rng: np.random.Generator, *, lumpy: float) -> Outline:
    """Return a circle whose radius varies by the share `lumpy`."""
    t = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    r = radius * (1 + lumpy * rng.normal(size=10))
    return smooth(np.stack([centre[0] + r * np.cos(t), centre[1] + r * np.sin(t)], axis=1), closed=True, steps=4)


def corners(centre: tuple[float, float], rx: float, ry: float) -> Outline:
    """Return two opposite corners of the rectangle around an ellipse."""
    return points((centre[0] - rx, centre[1] - ry), (centre[0] + rx, centre[1] + ry))


def patchy(scene: Scene, patch: Patch, *, grain: float, depth: float, rng: np.random.Generator) -> Patch:
    """Return a patch broken up by mottle, its rim frayed."""
    return _frayed(scene, patch, grain=grain, base=1.15, depth=depth, rng=rng)


def _frayed(scene: Scene, patch: Patch, *, grain: float, base: float, depth: float, rng: np.random.Generator) -> Patch:
    noise = mottle(patch.values.shape, grain=grain * scene.canvas.pixels_per_unit, rng=rng)
    return Patch(patch.top, patch.left, np.clip(patch.values * (base + depth * noise), 0.0, 1.0, dtype=np.float32))


def lateral_patchy(scene: Scene, patch: Patch, *, grain: float, rng: np.random.Generator) -> Patch:
    """Return a patch broken up less: from the side, structures of both lungs overlap."""
    return _frayed(scene, patch, grain=grain, base=1.1, depth=0.3, rng=rng)


def lateral_spot(chest: Chest, lesion: Lesion, sign: float, *, y: float | None = None) -> tuple[float, float]:
    """Return where a lesion is seen from the side: its height as on the frontal film (or `y`), and its depth."""
    if y is None:
        _, y = lung_spot(chest, sign, lesion, lesion_rng(chest.seed, lesion, str(sign)))
    depth = float(lesion_rng(chest.seed, lesion, f"depth{sign}").uniform(-0.35, 0.65))
    return 9.0 * depth * depth_factor(chest), y


def draw_lateral_opacity(
    scene: Scene, lesion: Lesion, sign: float, *, radius: float, share: tuple[float, float], y: float | None = None
) -> None:
    """Draw an opacity of the lung seen from the side.

    Args:
        scene: The lateral scene.
        lesion: What to draw.
        sign: The affected side.
        radius: Its radius at severity 1, chest units.
        share: Share of the air that is filled at severity 0, and what severity adds.
        y: Its height; None for the height on the frontal film.
    """
    rng = lesion_rng(scene.chest.seed, lesion, f"lateral{sign}")
    size = radius * (0.5 + 0.5 * lesion.severity)
    patch = scene.canvas.blob(lateral_spot(scene.chest, lesion, sign, y=y), (size, size * float(rng.uniform(0.6, 1.0))))
    base, gain = share
    scene.opacify(lateral_patchy(scene, patch, grain=1.1, rng=rng), base + gain * lesion.severity)
