"""Pulmonary vessels: trees that fan out from the hila and taper."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from phantom.drawing.anatomy import Chest, hilum
from phantom.drawing.canvas import Canvas, part_rng, soften

VESSEL_FULL_SCALE = 2.2
"""What 255 of the vessel layer stands for, chest units of blood"""

_STEPS = 9


@dataclass(frozen=True, slots=True)
class Branches:
    """One generation of a tree."""

    lines: Float[np.ndarray, "n steps 2"]
    headings: Float[np.ndarray, "n steps"]
    lengths: Float[np.ndarray, " n"]
    calibres: Float[np.ndarray, " n"]


def draw_vessels(chest: Chest, canvas: Canvas, *, engorged: float = 0.0) -> Float32[np.ndarray, "h w"]:
    """Return the vessels of both lungs in chest units of blood; `engorged` (0 to 1) widens them, upper ones most."""
    return draw_trees([_tree(chest, sign) for sign in (-1.0, 1.0)], chest, canvas, engorged=engorged)


def draw_trees(
    trees: list[list[Branches]], chest: Chest, canvas: Canvas, *, engorged: float
) -> Float32[np.ndarray, "h w"]:
    """Return trees in chest units of blood, the thick branches over the thin."""
    layer = canvas.layer()
    for tree in trees:
        for branches in reversed(tree):
            _draw(branches, canvas, layer, chest, engorged)
    return soften(layer.astype(np.float32) * np.float32(VESSEL_FULL_SCALE / 255), 0.04 * canvas.pixels_per_unit)


def grow_tree(
    starts: Float[np.ndarray, "n 2"],
    headings: Float[np.ndarray, " n"],
    reach: Float[np.ndarray, " n"],
    sign: float,
    rng: np.random.Generator,
) -> list[Branches]:
    """Return trunks and two generations of twigs; headings are radians from sideways (by `sign`) downwards."""
    count = len(headings)
    trunk = _grow(
        starts, headings, reach * rng.uniform(0.85, 1.05, count), rng.uniform(0.7, 1.2, count), sign=sign, rng=rng
    )
    twigs = _sprout(trunk, 5, sign, rng)
    return [trunk, twigs, _sprout(twigs, 4, sign, rng)]


def _tree(chest: Chest, sign: float) -> list[Branches]:
    rng = part_rng(chest.seed, f"vessels{sign}")
    x, y = hilum(chest, sign)

    # Ten trunks per lung, from nearly straight up to nearly straight down, each long enough to near the pleura.
    count = 10
    down, out, up = 1.45, 0.0, -1.25
    headings = np.linspace(up, down, count) + rng.normal(0, 0.12, count)
    far = (0.4 * chest.full_height, 0.72 * chest.half_width, 0.55 * chest.full_height)
    reach = np.interp(headings, (up, out, down), far)
    starts = np.stack([np.full(count, x), y + 1.6 * np.sin(headings)], axis=1)
    return grow_tree(starts, headings, reach, sign, rng)


def _grow(
    starts: Float[np.ndarray, "n 2"],
    headings: Float[np.ndarray, " n"],
    lengths: Float[np.ndarray, " n"],
    calibres: Float[np.ndarray, " n"],
    *,
    sign: float,
    rng: np.random.Generator,
) -> Branches:
    wander = np.cumsum(rng.normal(0, 0.13, (len(starts), _STEPS)), axis=1)
    course = headings[:, None] + wander
    step = (lengths / _STEPS)[:, None]
    moves = np.stack([sign * np.cos(course) * step, np.sin(course) * step], axis=2)
    lines = starts[:, None, :] + np.cumsum(moves, axis=1) - moves[:, :1]
    return Branches(lines, course, lengths, calibres)


def _sprout(parents: Branches, count: int, sign: float, rng: np.random.Generator) -> Branches:
    n = len(parents.lengths)
    where = rng.integers(1, _STEPS - 1, (n, count))
    rows = np.arange(n)[:, None]
    left = 1 - where / _STEPS
    angle = rng.uniform(0.35, 0.95, (n, count)) * rng.choice([-1.0, 1.0], (n, count))
    lengths = parents.lengths[:, None] * (0.34 + 0.36 * left) * rng.uniform(0.7, 1.1, (n, count))
    calibres = parents.calibres[:, None] * (0.25 + 0.5 * left)
    return _grow(
        parents.lines[rows, where].reshape(-1, 2),
        (parents.headings[rows, where] + angle).ravel(),
        lengths.ravel(),
        calibres.ravel(),
        sign=sign,
        rng=rng,
    )


def _draw(branches: Branches, canvas: Canvas, layer: np.ndarray, chest: Chest, engorged: float) -> None:
    upper = branches.lines[:, _STEPS // 2, 1] < 0.45 * chest.full_height
    calibres = branches.calibres * chest.vascularity * (1 + engorged * np.where(upper, 0.9, 0.35))
    for group in np.array_split(np.argsort(calibres), 4):
        size = float(calibres[group].mean())
        for first, last, taper in ((5, _STEPS, 0.5), (2, 7, 0.72), (0, 4, 1.0)):
            width = size * taper
            canvas.stroke(
                layer,
                branches.lines[group, first:last],
                width=width,
                value=min(1.0, 1.5 * width / VESSEL_FULL_SCALE + 0.1),
            )
