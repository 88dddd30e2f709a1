"""The simulated film: the same arguments give the same bytes, and every finding is where and as strong as asked."""

import dataclasses

import cv2
import numpy as np
import pytest

from phantom.drawing.anatomy import Chest, chest_of, heart_outline
from phantom.drawing.canvas import Canvas
from phantom.drawing.deformation import Deformation
from phantom.drawing.frontal import frontal_scene
from phantom.film import DEVICE_KINDS, FINDINGS, Body, Exposure, Film, Lesion, deformation_by, draw_film
from phantom.findings.registry import PHANTOM_FINDINGS

POSITIVE = [finding for finding in FINDINGS if finding != "No Finding"]
ONE_SIDED = [finding for finding in POSITIVE if PHANTOM_FINDINGS[finding].places is not None]
ADULT = Body(age_years=50.0, sex="M", cardiothoracic_ratio=0.47, seed=11)


def film(lesions=(), body=ADULT, view="PA", size=192, seed=5, **exposure) -> Film:
    return draw_film(
        body, lesions, view=view, exposure=Exposure(**exposure), image_size=size, rng=np.random.default_rng(seed)
    )


def change(lesion: Lesion, **options) -> np.ndarray:
    """Return |with - without| of a film whose noise and positioning are the same."""
    without, with_lesion = film(**options).image, film([lesion], **options).image
    return cv2.absdiff(with_lesion, without).astype(np.float64)


def chest(body: Body, view="PA", lesions=()) -> Chest:
    return chest_of(body, view=view, exposure=Exposure(), deformation=deformation_by(lesions, body))


def test_the_same_arguments_give_the_same_bytes_and_another_seed_does_not():
    lesions = [Lesion(finding="Edema", severity=0.5), Lesion(finding="Support Devices")]
    first, again, other = film(lesions), film(lesions), film(lesions, seed=6)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.boxes == again.boxes
    assert first.image.tobytes() != other.image.tobytes()


def test_lesions_do_not_change_what_the_films_generator_gives_next():
    bare, ill = np.random.default_rng(3), np.random.default_rng(3)
    draw_film(ADULT, image_size=64, rng=bare)
    draw_film(ADULT, [Lesion(finding=f) for f in POSITIVE], image_size=64, rng=ill)
    assert bare.random() == ill.random()


@pytest.mark.parametrize("view", ["PA", "AP", "LATERAL"])
@pytest.mark.parametrize("size", [64, 200, 512])
def test_the_longest_side_is_the_image_size_and_the_film_is_not_square(view, size):
    image = film(view=view, size=size).image
    assert image.dtype == np.uint8
    assert max(image.shape) == size
    assert min(image.shape) == pytest.approx(0.83 * size, abs=1)
    assert image.std() > 30


@pytest.mark.parametrize("finding", ONE_SIDED)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_one_sided_finding_shows_in_its_box_on_the_patients_own_side(finding, side):
    lesion = Lesion(finding=finding, side=side, severity=0.9)
    difference = change(lesion)
    x0, y0, x1, y1 = film([lesion]).boxes[finding]
    inside = difference[y0:y1, x0:x1].mean()
    outside = difference.copy()
    outside[y0:y1, x0:x1] = 0
    outside = outside.sum() / (outside.size - (y1 - y0) * (x1 - x0))
    assert inside > 2.0 * outside
    middle = difference.shape[1] / 2
    assert (x0 + x1) / 2 > middle if side == "left" else (x0 + x1) / 2 < middle
    halves = difference[:, : int(middle)].sum(), difference[:, int(middle) :].sum()
    assert halves[0] < halves[1] if side == "left" else halves[0] > halves[1]


@pytest.mark.parametrize("finding", ["Cardiomegaly", "Enlarged Cardiomediastinum"])
def test_a_midline_finding_shows_in_its_box(finding):
    lesion = Lesion(finding=finding, severity=0.9)
    difference = change(lesion)
    x0, y0, x1, y1 = film([lesion]).boxes[finding]
    assert difference[y0:y1, x0:x1].mean() > 2.0 * difference.mean()


@pytest.mark.parametrize("finding", POSITIVE)
def test_a_more_severe_finding_changes_the_film_more(finding):
    kind = "pacemaker" if finding == "Support Devices" else ""
    amount = [
        np.square(change(Lesion(finding=finding, side="left", severity=s, kind=kind))).mean() for s in (0.3, 0.6, 1.0)
    ]
    assert 0 < amount[0] < amount[1] < amount[2]


@pytest.mark.parametrize("kind", DEVICE_KINDS)
@pytest.mark.parametrize("view", ["PA", "LATERAL"])
def test_every_device_is_seen(kind, view):
    lesion = Lesion(finding="Support Devices", kind=kind, severity=0.8)
    assert np.sort(change(lesion, view=view), axis=None)[-100] > 3  # grey levels; processors round them differently
    assert ("Support Devices" in film([lesion], view=view).boxes) == (view == "PA")


def test_edema_is_diffuse_and_lateral_films_have_no_boxes():
    assert film([Lesion(finding="Edema")]).boxes == {}
    assert film([Lesion(finding=f) for f in POSITIVE], view="LATERAL").boxes == {}


def test_a_lesion_stays_in_place_as_it_grows():
    def centre(severity):
        x0, y0, x1, y1 = film([Lesion(finding="Lung Lesion", side="right", severity=severity)]).boxes["Lung Lesion"]
        return np.array([(x0 + x1) / 2, (y0 + y1) / 2])

    assert np.abs(centre(0.3) - centre(1.0)).max() <= 2


def test_boxes_scale_with_the_image():
    lesion = Lesion(finding="Pleural Effusion", side="left", severity=0.7)
    small, large = (np.array(film([lesion], size=s).boxes["Pleural Effusion"]) for s in (256, 512))
    assert np.abs(large / 2 - small).max() <= 2


def measured_ratio(measures: Chest) -> float:
    """Measure heart over thorax on painted masks, as a radiologist does with a ruler."""
    canvas = Canvas(height=900, width=900, pixels_per_unit=20.0, origin=(450.0, 100.0))
    layer = canvas.layer()
    canvas.fill(layer, heart_outline(measures))
    columns = np.flatnonzero((layer > 127).any(axis=0))
    thorax = 2 * measures.wall(np.linspace(0, measures.sulcus, 200)).max()
    return (columns[-1] - columns[0] + 1) / 20.0 / thorax


@pytest.mark.parametrize("ratio", [0.4, 0.47, 0.55, 0.62])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_heart_on_a_pa_film_is_as_wide_as_the_body_says(ratio, seed):
    body = dataclasses.replace(ADULT, cardiothoracic_ratio=ratio, seed=seed)
    assert measured_ratio(chest(body)) == pytest.approx(ratio, abs=0.01)
    assert chest(body).cardiothoracic_ratio == pytest.approx(ratio)


def test_cardiomegaly_widens_the_heart_with_severity_and_ap_magnifies_it():
    ratios = [
        measured_ratio(chest(ADULT, lesions=[Lesion(finding="Cardiomegaly", severity=s)])) for s in (0.3, 0.6, 1.0)
    ]
    assert ADULT.cardiothoracic_ratio < ratios[0] < ratios[1] < ratios[2]
    assert measured_ratio(chest(ADULT, view="AP")) == pytest.approx(1.08 * ADULT.cardiothoracic_ratio, abs=0.01)


def noise_variance(dose: float) -> float:
    """Half the variance of the difference of two films that differ in noise only."""
    body, exposure = ADULT, Exposure(dose=dose)
    images = []
    for seed in (0, 1):
        rng = np.random.default_rng(2)
        streams = rng.spawn(4)
        streams[2] = np.random.default_rng(seed)
        rng = _Streams(streams)
        images.append(draw_film(body, exposure=exposure, image_size=256, rng=rng).image.astype(float))
    return float(np.var(images[0] - images[1]) / 2)


class _Streams(np.random.Generator):
    """A generator that hands out prepared streams."""

    def __init__(self, streams):
        super().__init__(np.random.PCG64(0))
        self.streams = streams

    def spawn(self, n_children):
        assert n_children == len(self.streams)
        return self.streams


def test_a_lower_dose_is_noisier():
    high, middle, low = noise_variance(4.0), noise_variance(0.5), noise_variance(0.1)
    assert high < middle < low
    assert low > 3 * middle


def test_children_have_rounder_chests_flatter_ribs_and_a_thymus():
    child = chest_of(
        dataclasses.replace(ADULT, age_years=1.0), view="PA", exposure=Exposure(), deformation=Deformation()
    )
    adult = chest(ADULT)
    assert child.scale < 0.5 * adult.scale
    assert child.full_height / child.half_width < 0.85 * adult.full_height / adult.half_width
    assert child.rib_drop < 0.7 * adult.rib_drop
    assert child.thymus > 0 == adult.thymus
    difference = cv2.absdiff(film(body=dataclasses.replace(ADULT, age_years=1.0)).image, film().image)
    assert difference.mean() > 8


def test_breast_shadows_are_those_of_women_not_of_girls():
    canvas = Canvas(height=215, width=180, pixels_per_unit=5.0, origin=(90.0, 25.0))

    def added(age):
        measures = chest(Body(age_years=age, sex="F", seed=4))
        woman, flat = (
            frontal_scene(dataclasses.replace(measures, female=female), canvas, breaks={}, engorged=0.0).body
            for female in (True, False)
        )
        return float((woman - flat).max())

    assert added(40.0) > 1.0
    assert added(6.0) == 0.0


def test_less_inspiration_raises_the_diaphragm_and_atelectasis_raises_its_own_side():
    full, shallow = (
        chest_of(ADULT, view="PA", exposure=Exposure(inspiration=i), deformation=Deformation()) for i in (1.0, 0.3)
    )
    assert shallow.right_dome < full.right_dome - 2
    lifted = chest(ADULT, lesions=[Lesion(finding="Atelectasis", side="right", zone="lower", severity=1.0)])
    assert lifted.right_dome < full.right_dome - 2
    assert lifted.left_dome == full.left_dome


@pytest.mark.parametrize("view", ["PA", "AP", "LATERAL"])
@pytest.mark.parametrize("age", [0.0, 12.0, 100.0])
def test_every_finding_can_be_drawn_at_every_age_in_every_view_with_everything_else(view, age):
    body = Body(age_years=age, sex="F", build=3.0, cardiothoracic_ratio=0.65, seed=9)
    everything = [Lesion(finding=f, side="both", severity=1.0) for f in POSITIVE]
    everything += [Lesion(finding="Support Devices", kind=kind) for kind in DEVICE_KINDS]
    drawn = film(everything, body=body, view=view, size=128, shift_x=0.2, tilt_degrees=10.0, rotation_degrees=-15.0)
    h, w = drawn.image.shape
    for x0, y0, x1, y1 in drawn.boxes.values():
        assert 0 <= x0 < x1 <= w
        assert 0 <= y0 < y1 <= h


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Body(age_years=-1.0, sex="F", seed=1), r"Body.age_years must lie between 0 and 110, found -1.0"),
        (lambda: Body(age_years=float("nan"), sex="F", seed=1), r"Body.age_years .* found nan"),
        (lambda: Body(age_years=30.0, sex="F", seed=-5), r"Body.seed must be 0 or more, found -5"),
        (lambda: Lesion(finding="No Finding"), r"draw the film without lesions"),
        (lambda: Lesion(finding="Pneumonitis"), r"Lesion.finding must be one of 'Atelectasis', .* found 'Pneumonitis'"),
        (lambda: Lesion(finding="Edema", severity=0.0), r"Lesion.severity must lie in \(0, 1\], found 0.0"),
        (lambda: Lesion(finding="Edema", kind="pacemaker"), r"Lesion.kind is for Support Devices only"),
        (lambda: Lesion(finding="Support Devices", kind="balloon"), r"Lesion.kind must be one of .* found 'balloon'"),
        (lambda: Exposure(dose=0.0), r"Exposure.dose must lie between 0.02 and 20, found 0.0"),
        (lambda: film(size=8), r"image_size must be at least 32 pixels, found 8"),
    ],
)
def test_bad_arguments_say_what_was_wanted_and_found(make, message):
    with pytest.raises(ValueError, match=message):
        make()
