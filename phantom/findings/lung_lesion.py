"""Lung lesion: one to three nodules or masses."""

from phantom.body import Lesion
from phantom.drawing.canvas import ellipse
from phantom.drawing.opacities import corners, lateral_spot, lobed_outline
from phantom.drawing.scene import Scene, lesion_rng, lung_spot
from phantom.findings.finding import Finding, Places, each_side

_LARGEST_NODULE_MM = 30
"""Anything larger is called a mass (Fleischner Society)"""


def _draw_frontal(scene: Scene, lesion: Lesion, sign: float) -> None:
    """Place one to three nodules, or from about severity 0.6 masses: solid, slightly lobed balls."""
    rng, s = lesion_rng(scene.chest.seed, lesion, str(sign)), lesion.severity
    for _ in range(int(rng.choice((1, 2, 3), p=(0.65, 0.2, 0.15)))):
        centre = lung_spot(scene.chest, sign, lesion, rng, across=(0.25, 0.8))
        radius = (0.75 + 1.5 * s) * float(rng.uniform(0.85, 1.1))
        ball = scene.canvas.ridge(lobed_outline(centre, radius, rng, lumpy=0.05), radius=radius)
        ball.add_to(scene.extra, 2 * radius * (0.4 + 0.5 * s))
        scene.mark(lesion.finding, scene.canvas.box(corners(centre, radius, radius), margin=0.3))


def _draw_lateral(scene: Scene, lesion: Lesion, sign: float) -> None:
    radius = 0.75 + 1.5 * lesion.severity
    ball = scene.canvas.ridge(ellipse(lateral_spot(scene.chest, lesion, sign), (radius, radius)), radius=radius)
    ball.add_to(scene.extra, 2 * radius * (0.4 + 0.5 * lesion.severity))


def _millimetres(severity: float) -> int:
    """Return the diameter of a nodule or mass: 8 mm for the mildest, 40 mm for the worst."""
    return round(8 + 32 * max(0.0, severity - 0.3) / 0.7)


def _tags(lesion: Lesion) -> frozenset[str]:
    return frozenset({"mass" if _millimetres(lesion.severity) > _LARGEST_NODULE_MM else "nodule"})


def _words(lesion: Lesion, _: int) -> dict[str, str]:
    millimetres = _millimetres(lesion.severity)
    return {"mm": f"{millimetres}", "cm": f"{millimetres / 10:.1f}"}


LUNG_LESION = Finding(
    name="Lung Lesion",
    prevalence=0.10,
    prevalence_age_slope=0.15,
    loadings={"tumour": 0.60},
    persistence=0.97,
    places=Places(sides=(0.42, 0.46, 0.12), zones=(0.48, 0.22, 0.30)),
    draw_frontal=each_side(_draw_frontal),
    draw_lateral=each_side(_draw_lateral),
    region="lungs",
    urgency=90,
    denial_weight=1.2,
    odd_denials=frozenset({"Lung Opacity"}),
    complaints=(("weight loss", "mass"), ("smoking history and cough", "nodule"), ("hemoptysis", "mass")),
    tags=_tags,
    words=_words,
)
