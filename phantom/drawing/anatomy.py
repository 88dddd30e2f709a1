"""The measures of one chest, and the outlines of its organs on a frontal film.

Lengths are in chest units, about a centimetre of an average man; `Chest.scale` turns them into centimetres. x grows to
the patient's left (the right of the film), y downwards from the lung apices.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from phantom.body import Body, Exposure, View
from phantom.drawing.canvas import ellipse, mirrored, moved, part_rng, points, smooth
from phantom.drawing.deformation import Deformation

Outline = Float[np.ndarray, "n 2"]

AP_HEART_MAGNIFICATION = 1.08
"""The heart lies in front, so with the tube in front its shadow is wider by about a twelfth"""

_AGES = (0.0, 1.0, 3.0, 6.0, 12.0, 16.0, 20.0)
_WIDTHS = (9.5, 12.5, 15.5, 18.5, 23.0, 26.5, 28.5)
_HEIGHTS = (17.5, 18.5, 19.5, 21.0, 23.0, 24.0, 24.6)
_RIB_DROPS = (0.45, 0.5, 0.6, 0.72, 0.88, 1.0, 1.0)
_WALL_Y = (-0.02, 0.0, 0.03, 0.1, 0.2, 0.35, 0.55, 0.8, 1.0, 1.3)
_WALL_X = (0.2, 0.32, 0.44, 0.6, 0.73, 0.85, 0.935, 0.985, 1.0, 0.985)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chest:
    """Measures of one chest on one film, in chest units where not said otherwise."""

    seed: int
    age_years: float
    female: bool
    scale: float
    """Centimetres per chest unit"""
    maturity: float
    """0 at birth, 1 in an adult"""
    frailty: float
    """0 until 50 years, 1 at 90: aorta, spine, calcification"""
    build: float
    supine: bool
    """AP portable: shoulder blades over the lungs, clavicles high, domes high"""
    half_width: float
    full_height: float
    """Apex to the right dome at full inspiration; the skeleton hangs on it"""
    right_dome: float
    left_dome: float
    """y of the tops of the diaphragm"""
    sulcus: float
    """y of the costophrenic angles"""
    heart_right: float
    heart_left: float
    """Furthest reach of the heart from the midline"""
    mediastinum: float
    """Factor on the width of the upper mediastinum"""
    widening: float
    """Pathological width added to each side of the upper mediastinum"""
    knob: float
    """Reach of the aortic knob to the left"""
    thymus: float
    rib_drop: float
    """How far ribs descend from back to front, 1 in an adult"""
    taper: float
    """Exponent on the chest wall's width: above 1 narrow shoulders, below 1 a barrel"""
    vascularity: float
    """Factor on the calibre of the lung's vessels"""
    body_depth: float
    lung_depth: float
    fat: float
    """Thickness of the lateral chest wall"""
    turn: float
    """Sine of the patient's rotation"""

    @property
    def cardiothoracic_ratio(self) -> float:
        """Widest heart over widest inner thorax."""
        return (self.heart_left + self.heart_right) / (2 * self.half_width)

    def dome(self, sign: float) -> float:
        """Return y of the dome on the patient's left (+1) or right (-1)."""
        return self.left_dome if sign > 0 else self.right_dome

    def wall(self, y: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return |x| of the inner chest wall at the heights y."""
        return self.half_width * np.interp(y / self.full_height, _WALL_Y, _WALL_X) ** self.taper

    def wall_at(self, y: float) -> float:
        """Return |x| of the inner chest wall at one height."""
        return float(self.wall(np.array([y]))[0])

    def level(self, vertebra: float) -> float:
        """Return y of a thoracic vertebra: 1 is T1, 12 is T12, 0 is C7."""
        return -0.2 + self.full_height / 10.6 * (vertebra - 1)

    def anterior_shift(self, depth: float) -> float:
        """Return the shift in x by rotation of something `depth` units in front of the body's axis."""
        return self.turn * depth


def chest_of(body: Body, *, view: View, exposure: Exposure, deformation: Deformation) -> Chest:
    """Return the measures of this patient's chest on this film."""
    rng = part_rng(body.seed, "chest")
    # Individual variation as z-scores, cut at 2.2 so that every chest stays drawable.
    wide, tall, domes, share, knob, drop, width, taper, vascular, thick = np.clip(rng.normal(size=10), -2.2, 2.2)

    age = body.age_years
    female = body.sex == "F"
    maturity = float(np.clip(age / 18, 0, 1))
    frailty = float(np.clip((age - 50) / 40, 0, 1))
    supine = view == "AP"

    # The thorax: women's are smaller by up to 9 % from adolescence on.
    smaller = 1 - (0.09 if female else 0.0) * np.clip((age - 11) / 6, 0, 1)
    scale = float(np.interp(age, _AGES, _WIDTHS) / 29.0 * smaller)
    half_width = 14.2 * (1 + 0.045 * wide + 0.012 * body.build)
    full_height = float(np.interp(age, _AGES, _HEIGHTS)) * (1 + 0.05 * tall) * (0.97 if female else 1.0)

    # The diaphragm: a breath lowers it by a quarter of the lung; lying down and fat push it up.
    breath = float(np.clip(exposure.inspiration, 0, 1.2)) - (0.18 if supine else 0.0)
    right_dome = full_height * (0.74 + 0.26 * breath) - 0.25 * max(body.build, 0)
    drop_left = 0.9 + 0.6 * domes

    # The heart: a third of it lies to the right of the midline.
    ratio = float(np.clip(body.cardiothoracic_ratio + deformation.heart, 0.3, 0.82))
    heart_width = ratio * 2 * half_width * (AP_HEART_MAGNIFICATION if supine else 1.0)
    right_share = float(np.clip(0.33 + 0.035 * share, 0.25, 0.41))
    turn = float(np.sin(np.radians(exposure.rotation_degrees)))

    return Chest(
        seed=body.seed,
        age_years=age,
        female=female,
        scale=scale,
        maturity=maturity,
        frailty=frailty,
        build=body.build,
        supine=supine,
        half_width=half_width,
        full_height=full_height,
        right_dome=right_dome - deformation.lift_right,
        left_dome=right_dome + drop_left - deformation.lift_left,
        sulcus=0.5 * right_dome + 0.5 * full_height + (4.6 if maturity > 0.5 else 3.6),
        heart_right=heart_width * right_share,
        heart_left=heart_width * (1 - right_share),
        mediastinum=(1 + 0.1 * width + 0.05 * max(body.build, 0)) * (1.12 if supine else 1.0),
        widening=deformation.mediastinum,
        knob=float(np.interp(age, (0, 10, 30, 60, 90), (1.9, 2.2, 2.7, 3.4, 4.1)) + 0.3 * knob),
        thymus=float(np.clip(1.0 - age / 4.0, 0, 1)) * float(rng.uniform(0.5, 1.0)),
        rib_drop=float(np.interp(age, _AGES, _RIB_DROPS)) * (1 + 0.06 * drop) * (0.92 if supine else 1.0),
        taper=1.0 + 0.14 * float(taper),
        vascularity=1.0 + 0.18 * float(vascular),
        body_depth=21.0 + 2.3 * body.build - 2.0 * female + 0.8 * float(thick),
        lung_depth=16.5 - 1.2 * female + 1.0 * frailty,
        fat=float(np.clip(2.4 + 1.0 * body.build, 1.2, 7.0)),
        turn=turn,
    )


def lung_outline(chest: Chest, sign: float) -> Outline:
    """Return the reach of one lung: apex, lateral wall, costophrenic angle, and inwards up to the midline."""
    a = chest.half_width
    y = np.linspace(0.035, 1.0, 14) * chest.sulcus
    wall = np.stack([chest.wall(y), y], axis=1)
    apex = points((0.11 * a, 3.2), (0.13 * a, 1.2), (0.2 * a, 0.15), (0.3 * a, 0.0))
    below = points((0.9 * a, chest.sulcus + 1.4), (0.4 * a, chest.sulcus + 2.5), (0.03 * a, chest.sulcus + 1.0))
    inner = points((0.03 * a, 0.5 * chest.full_height), (0.06 * a, 0.25 * chest.full_height))
    return mirrored(smooth(np.vstack([apex, wall, below, inner]), closed=True, steps=4), sign)


def dome_line(chest: Chest, sign: float) -> Outline:
    """Return the upper face of one half of the diaphragm, from the spine out to the costophrenic angle."""
    a, top, foot = chest.half_width, chest.dome(sign), chest.sulcus
    rng = part_rng(chest.seed, f"dome{sign}")
    crest = 0.46 + 0.03 * rng.normal()
    drop = foot - top
    end = chest.wall_at(foot)
    controls = points(
        (-0.02 * a, top + 0.42 * drop),
        (0.16 * a, top + 0.22 * drop),
        (0.3 * a, top + 0.05 * drop),
        (crest * a, top),
        (0.66 * a, top + 0.12 * drop),
        (0.82 * a, top + 0.4 * drop),
        (0.93 * a, top + 0.72 * drop),
        (end + 0.1, foot),
    )
    return mirrored(smooth(controls, steps=6), sign)


def abdomen_outline(chest: Chest, sign: float) -> Outline:
    """Return what lies below one half of the diaphragm."""
    line = dome_line(chest, sign)
    bottom = chest.sulcus + 16
    corners = mirrored(points((chest.half_width * 1.15, bottom), (-0.3, bottom)), sign)
    return np.vstack([line, corners])


def heart_outline(chest: Chest) -> Outline:
    """Return the heart's border; its reach to both sides is exactly heart_right and heart_left, before rotation."""
    left, right, h = chest.heart_left, chest.heart_right, chest.full_height
    base = min(max(chest.right_dome, chest.left_dome), h * 1.02)
    top, low = 0.36 * h, base + 1.6
    rng = part_rng(chest.seed, "heart")
    round_apex, waist, slant = np.array([0.05, 0.05, 0.03]) * np.clip(rng.normal(size=3), -2.0, 2.0)

    def at(fraction: float) -> float:
        return top + fraction * (low - top)

    controls = points(
        # Right border, downwards: vena cava, then the right atrium, widest at 0.62 of the height.
        (-0.46 * right - 0.5, top),
        (-0.66 * right, at(0.22)),
        (-0.93 * right, at(0.42)),
        (-right, at(0.62)),
        (-0.88 * right, at(0.85)),
        (-0.5 * right, at(1.0)),
        # Lower border on the diaphragm, out to the apex.
        (0.3 * left, at(1.08)),
        (0.8 * left, at(1.0)),
        ((0.97 + 0.2 * round_apex) * left, at(0.9 - slant)),
        # Left border, upwards: left ventricle, waist, pulmonary trunk.
        (0.97 * left, at(0.78 - slant)),
        (0.87 * left, at(0.6)),
        ((0.68 + waist) * left, at(0.4)),
        ((0.48 + waist) * left, at(0.22)),
        (0.4 * left, at(0.09)),
        (0.24 * left, top - 0.4),
    )
    border = smooth(controls, closed=True, steps=6)

    # The curve overshoots its control points a little: scale each side to its reach.
    x = border[:, 0]
    border[:, 0] = np.where(x < 0, x * right / -x.min(), x * left / x.max())
    border[:, 0] += chest.anterior_shift(4.0)
    return border


def mediastinum_outline(chest: Chest) -> Outline:
    """Return the great vessels and the spine's soft shadow from the neck to below the heart."""
    h, wide, extra = chest.full_height, chest.mediastinum, chest.widening
    sail = 2.6 * chest.thymus
    lean = chest.anterior_shift(2.0)

    # Downwards: brachiocephalic veins, superior vena cava, right atrium, spine.
    right = points(
        (-2.3 * wide, -6.0),
        (-2.2 * wide - 0.2 * extra, 0.0),
        (-2.3 * wide - 0.8 * extra - 0.4 * sail, 0.12 * h),
        (-2.5 * wide - extra - sail, 0.26 * h),
        (-2.6 * wide - 0.7 * extra - 0.8 * sail, 0.38 * h),
        (-2.2 * wide, 0.55 * h),
        (-1.9, 0.9 * h),
        (-1.9, 1.6 * h),
    )

    # Upwards: spine, heart, pulmonary trunk, aortic arch, left subclavian artery.
    left = points(
        (2.2, 1.6 * h),
        (2.2, 0.9 * h),
        (2.3 * wide, 0.6 * h),
        (2.5 * wide + 0.4 * extra + 0.5 * sail, 0.42 * h),
        (2.3 * wide + 0.7 * extra + sail, 0.33 * h),
        (2.4 * wide + 0.9 * extra + 0.6 * sail, 0.25 * h),
        (2.3 * wide + 0.6 * extra, 0.16 * h),
        (2.3 * wide + 0.2 * extra, 0.02 * h),
        (2.3 * wide, -6.0),
    )

    outline = smooth(np.vstack([right, left]), closed=True, steps=5)
    outline[:, 0] += lean
    return outline


def knob_outline(chest: Chest) -> Outline:
    """Return the aortic arch seen end on."""
    size = 1.5 + 0.25 * chest.knob
    reach = chest.knob + 0.7 * chest.widening + chest.anterior_shift(1.0)
    return ellipse((reach - size, 0.285 * chest.full_height), (size, 1.08 * size), steps=24)


def aorta_outline(chest: Chest) -> Outline:
    """Return the descending aorta, whose left edge runs beside the spine behind the heart."""
    h, knob = chest.full_height, chest.knob + 0.3 * chest.widening
    edge = smooth(
        points((knob - 0.3, 0.3 * h), (0.8 * knob + 0.3, 0.5 * h), (0.6 * knob + 0.6, 0.75 * h), (1.6, 1.1 * h))
    )
    spine = points((0.0, 1.1 * h), (0.0, 0.3 * h))
    return moved(np.vstack([edge, spine]), chest.anterior_shift(-2.0))


def hilum(chest: Chest, sign: float) -> tuple[float, float]:
    """Return the point from which one lung's vessels fan out; the left one is a little higher."""
    y = (0.465 if sign < 0 else 0.43) * chest.full_height
    return sign * 3.9 + chest.anterior_shift(1.0), y
