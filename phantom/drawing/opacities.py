"""Findings that make lung denser on a frontal film."""

import cv2
import numpy as np

from phantom.body import Lesion
from phantom.drawing.anatomy import Outline, hilum
from phantom.drawing.canvas import Patch, mottle, points, smooth
from phantom.drawing.scene import LEFT, RIGHT, Scene, lesion_rng, lung_spot


def _outline_of(centre: tuple[float, float], radius: float, rng: np.random.Generator, *, lumpy: float) -> Outline:
    t = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    r = radius * (1 + lumpy * rng.normal(size=10))
    return smooth(np.stack([centre[0] + r * np.cos(t), centre[1] + r * np.sin(t)], axis=1), closed=True, steps=4)


def _around(centre: tuple[float, float], rx: float, ry: float) -> Outline:
    return points((centre[0] - rx, centre[1] - ry), (centre[0] + rx, centre[1] + ry))


def _patchy(scene: Scene, patch: Patch, *, grain: float, depth: float, rng: np.random.Generator) -> Patch:
    """Return a patch broken up by mottle, its rim frayed."""
    noise = mottle(patch.values.shape, grain=grain * scene.canvas.pixels_per_unit, rng=rng)
    return Patch(patch.top, patch.left, np.clip(patch.values * (1.15 + depth * noise), 0.0, 1.0, dtype=np.float32))


def draw_consolidation(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Fill part of a lobe: dense, frayed, with air-filled bronchi running through."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    centre = lung_spot(scene.chest, sign, lesion, rng, across=(0.2, 0.6))
    rx, ry = (1.9 + 2.3 * s) * rng.uniform(0.85, 1.25), (1.8 + 2.3 * s) * rng.uniform(0.85, 1.25)
    blob = scene.canvas.blob(centre, (rx, ry), angle=rng.uniform(-0.6, 0.6))
    patch = _patchy(scene, blob, grain=1.3, depth=0.3, rng=rng)
    layer = scene.canvas.layer()
    root = np.array(hilum(scene.chest, sign))
    for _ in range(4):
        tip = np.array(centre) + rng.normal(0, 0.5, 2) * [rx, ry]
        bend = 0.5 * (root + tip) + rng.normal(0, 0.5, 2)
        scene.canvas.stroke(layer, [smooth(np.stack([root, bend, tip]))], width=0.24)
    bronchi = patch.view(layer.astype(np.float32))
    scene.opacify(
        Patch(patch.top, patch.left, patch.values * (1 - bronchi * np.float32(0.55 * s / 255))), 0.1 + 0.62 * s
    )
    scene.mark(lesion.finding, scene.canvas.box(_around(centre, 1.2 * rx, 1.2 * ry)))


def draw_pneumonia(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Scatter soft patches over one lobe."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    centre = lung_spot(scene.chest, sign, lesion, rng, across=(0.2, 0.65))
    spots = np.array(centre) + rng.normal(0, 1.5, (4, 2))
    size = (1.5 + 1.5 * s) * rng.uniform(0.8, 1.2, (4, 2))
    for spot, (rx, ry) in zip(spots, size, strict=True):
        blob = scene.canvas.blob((float(spot[0]), float(spot[1])), (rx, ry))
        scene.opacify(_patchy(scene, blob, grain=0.8, depth=0.45, rng=rng), 0.1 + 0.33 * s)
    scene.mark(lesion.finding, scene.canvas.box(spots, margin=float(1.1 * size.max())))


def draw_lung_opacity(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Lay an ill-defined haze over part of a lung."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    centre = lung_spot(scene.chest, sign, lesion, rng, across=(0.25, 0.7))
    rx, ry = (2.9 + 1.4 * s) * rng.uniform(0.8, 1.2), (3.2 + 1.6 * s) * rng.uniform(0.8, 1.2)
    blob = scene.canvas.blob(centre, (rx, ry), angle=rng.uniform(-0.8, 0.8))
    scene.opacify(_patchy(scene, blob, grain=2.2, depth=0.2, rng=rng), 0.12 + 0.46 * s)
    scene.mark(lesion.finding, scene.canvas.box(_around(centre, rx, ry)))


def draw_lung_lesion(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Place one to three nodules, or from about severity 0.6 masses: solid, slightly lobed balls."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    for _ in range(int(rng.choice((1, 2, 3), p=(0.65, 0.2, 0.15)))):
        centre = lung_spot(scene.chest, sign, lesion, rng, across=(0.25, 0.8))
        radius = (0.75 + 1.5 * s) * float(rng.uniform(0.85, 1.1))
        ball = scene.canvas.ridge(_outline_of(centre, radius, rng, lumpy=0.05), radius=radius)
        ball.add_to(scene.extra, 2 * radius * (0.4 + 0.5 * s))
        scene.mark(lesion.finding, scene.canvas.box(_around(centre, radius, radius), margin=0.3))


def draw_atelectasis(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Draw plates of airless lung, nearly level, over a hazy base; the dome is lifted in the anatomy."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    chest, canvas = scene.chest, scene.canvas
    x, y = lung_spot(chest, sign, lesion, rng, across=(0.3, 0.5))
    if lesion.zone in ("", "lower"):
        y = chest.dome(sign) - float(rng.uniform(1.2, 2.6))
    corners = []
    for number in range(1 + round(1.6 * s)):
        half = float(rng.uniform(2.2, 3.8)) * (0.7 + 0.4 * s)
        tilt = float(rng.normal(0.12, 0.15)) * -sign
        mid = (x + float(rng.normal(0, 0.6)), y - 1.1 * number)
        along = points((-1.0, 0.0), (0.0, -0.12), (1.0, 0.0)) * half
        plate = smooth(along + np.stack([np.zeros(3), along[:, 0] * np.tan(tilt)], axis=1) + np.array(mid))
        layer = canvas.layer()
        canvas.stroke(layer, [plate], width=0.22 + 0.4 * s)
        soft = cv2.GaussianBlur(layer, (0, 0), 0.12 * canvas.pixels_per_unit).astype(np.float32)
        cv2.scaleAdd(soft, (0.7 + 1.3 * s) / 255, scene.extra, dst=scene.extra)
        corners.append(plate)
    scene.opacify(canvas.blob((x, y + 1.0), (4.2, 1.9)), 0.08 + 0.34 * s)
    scene.mark(lesion.finding, canvas.box(np.vstack(corners), margin=1.0))


def draw_edema(scene: Scene, lesion: Lesion) -> None:
    """Haze both lungs from the hila outwards, with septal lines at the bases; vessels are widened elsewhere."""
    s, chest, canvas = lesion.severity, scene.chest, scene.canvas
    layer = canvas.layer()
    for sign in (RIGHT, LEFT):
        rng = lesion_rng(chest.seed, lesion, str(sign))
        x, y = hilum(chest, sign)
        haze = canvas.blob((x + sign * 1.8, y + 2.0), (4.4 + s, 6.3 + s))
        scene.opacify(_patchy(scene, haze, grain=0.9, depth=0.22, rng=rng), 0.02 + 0.32 * s)
        ends = rng.uniform(0.62, 0.98, 9) * chest.dome(sign)
        for end in ends:
            wall = sign * (chest.wall_at(float(end)) - 0.15)
            line = points((wall, end), (wall - sign * rng.uniform(0.9, 1.8), end + rng.normal(0.0, 0.15)))
            canvas.stroke(layer, [line], width=0.13)
    cv2.scaleAdd(layer.astype(np.float32), (0.1 + 0.5 * s) / 255, scene.extra, dst=scene.extra)
    scene.lung *= np.float32(1 - 0.09 * s)
