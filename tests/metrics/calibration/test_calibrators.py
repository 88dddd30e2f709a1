"""Calibrators against scikit-learn, the likelihood's own equations, and planted parameters."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from metrics import auroc
from metrics.calibration.calibration_error import bin_edges, bin_totals
from metrics.calibration.calibrators import (
    Isotonic,
    Platt,
    Temperature,
    calibrator_from_json,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)

FITS = [fit_temperature, fit_platt, fit_isotonic]


def sample(seed, n=500, a=-0.5, b=40.0):
    """Margins as small as cosine differences are."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(size=n) * 0.03
    return (rng.random(n) < expit(a + b * margins)).astype(int), margins, rng.integers(0, n // 3, n)


def likelihood(y, eta):
    return -np.logaddexp(0, np.where(y == 1, -eta, eta)).sum()


def test_platt_is_logistic_regression_without_a_penalty():
    for seed in range(5):
        y, margins, patients = sample(seed)
        ours = fit_platt(y, margins, patients)
        theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(margins[:, None] / 0.03, y)
        assert ours.slope == pytest.approx(theirs.coef_[0, 0] / 0.03, rel=1e-5)
        assert ours.intercept == pytest.approx(theirs.intercept_[0], abs=1e-5)


def test_platt_solves_the_likelihoods_equations():
    y, margins, patients = sample(1)
    residual = y - fit_platt(y, margins, patients).apply(margins)
    assert residual.sum() == pytest.approx(0, abs=1e-8)
    assert (residual * margins).sum() == pytest.approx(0, abs=1e-10)


def test_platt_of_two_margins_has_a_closed_form():
    """Three of ten positive at -1 and eight of ten at 2: the line goes through both log-odds."""
    y = np.array([1] * 3 + [0] * 7 + [1] * 8 + [0] * 2)
    margins = np.repeat([-1.0, 2.0], 10)
    low, high = np.log(3 / 7), np.log(8 / 2)
    ours = fit_platt(y, margins, np.arange(20))
    assert ours.slope == pytest.approx((high - low) / 3)
    assert ours.intercept == pytest.approx(low + (high - low) / 3)


def test_temperature_is_the_best_of_all_temperatures():
    for seed in range(5):
        y, margins, patients = sample(seed, a=0.0)
        best = minimize_scalar(
            lambda t, y=y, m=margins: -likelihood(y, m / t),
            bounds=(0.001, 1),
            method="bounded",
            options={"xatol": 1e-9},
        )
        ours = fit_temperature(y, margins, patients)
        assert ours.temperature == pytest.approx(best.x, rel=1e-4)
        # the likelihood's equation
        assert ((y - ours.apply(margins)) * margins).sum() == pytest.approx(0, abs=1e-9)


def test_temperature_of_one_margin_has_a_closed_form():
    """Nine of ten right at ± 3: sigmoid(3 / T) = 0.9."""
    y = np.array([1] * 9 + [0] + [0] * 9 + [1])
    ours = fit_temperature(y, np.repeat([3.0, -3.0], 10), np.arange(20))
    assert ours.temperature == pytest.approx(3 / np.log(9))


def test_planted_parameters_are_recovered():
    y, margins, patients = sample(2, n=40_000)
    platt = fit_platt(y, margins, patients)
    assert (platt.intercept, platt.slope) == pytest.approx((-0.5, 40.0), rel=0.05)
    y, margins, patients = sample(3, n=40_000, a=0.0)
    assert fit_temperature(y, margins, patients).temperature == pytest.approx(1 / 40, rel=0.05)


def test_isotonic_is_scikit_learns_and_pools_violators():
    y, margins, patients = sample(4)
    ours, new = fit_isotonic(y, margins, patients), np.linspace(-0.2, 0.2, 301)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(margins, y)
    np.testing.assert_allclose(ours.apply(new), theirs.predict(new), atol=1e-12)
    by_hand = fit_isotonic(np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0]), np.arange(4))
    np.testing.assert_allclose(
        by_hand.apply(np.array([0.0, 1.0, 1.5, 2.0, 3.0, 3.5, 9.0])), [0, 0, 0.25, 0.5, 0.5, 0.75, 1]
    )


@given(st.integers(0, 3000))
def test_a_calibrator_leaves_the_ranking_alone(seed):
    y, margins, patients = sample(seed, n=80)
    test_y, test_margins, _ = sample(seed + 1, n=60)
    for fit in (fit_temperature, fit_platt):
        fitted = fit(y, margins, patients)
        if fitted.reason == "":
            assert auroc(test_y, fitted.apply(test_margins)) == pytest.approx(auroc(test_y, test_margins), nan_ok=True)
    steps = fit_isotonic(y, margins, patients)
    if steps.reason == "":
        assert (np.diff(steps.apply(np.sort(test_margins))) >= 0).all()


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_the_unit_of_the_margin_does_not_matter(seed, unit):
    y, margins, patients = sample(seed, n=100)
    for fit in FITS:
        one, other = fit(y, margins, patients), fit(y, margins * unit, patients)
        assert one.reason.split("(")[0] == other.reason.split("(")[0]
        if one.reason == "":
            np.testing.assert_allclose(other.apply(margins * unit), one.apply(margins), atol=1e-7)


def test_calibration_lowers_the_calibration_error_of_other_patients():
    y, margins, patients = sample(5, n=3000)
    test_y, test_margins, _ = sample(6, n=3000)

    def error(probabilities):
        return bin_totals(test_y, probabilities, bin_edges(probabilities)).expected_calibration_error()[0]

    before = error(expit(test_margins))
    for fit in (fit_platt, fit_isotonic):
        assert error(fit(y, margins, patients).apply(test_margins)) < 0.25 * before


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("y", "reason"), [([1, 1, 1], "no positives"), ([0, 0, 0], "no negatives"), ([], "no rows")])
def test_one_class_gives_no_fit_but_a_reason(fit, y, reason):
    y = 1 - np.array(y, dtype=int)
    fitted = fit(y, np.linspace(-1, 1, len(y)), np.arange(len(y)))
    assert fitted.reason == reason
    with pytest.raises(ValueError, match=f"calibrator could be fitted: {reason}"):
        fitted.apply(np.array([0.1]))


def test_what_has_no_finite_parameter_says_so():
    y, patients = np.array([0, 0, 1, 1]), np.arange(4)
    apart = np.array([-2.0, -1.0, 1.0, 2.0])
    assert fit_temperature(y, apart, patients).reason.startswith("the sign of the margin separates the classes")
    assert fit_platt(y, apart, patients).reason.startswith("the scores separate the classes")
    assert fit_isotonic(y, apart, patients).reason == ""  # a step is a fit
    assert fit_temperature(y, apart + 5, patients).reason == ""  # apart, but not by sign
    assert fit_platt(y, np.ones(4), patients).reason == "all scores are equal"
    assert fit_temperature(y, np.zeros(4), patients).reason.startswith("the labels do not rise with the margin")


def test_labels_that_fall_with_the_margin_are_not_turned_round():
    y, margins, patients = sample(7, b=-40.0)
    for fit in FITS[:2]:
        assert fit(y, margins, patients).reason.startswith("the labels do not rise with the margin")
    assert fit_isotonic(np.array([1, 1, 0, 0]), np.arange(4.0), np.arange(4)).reason == (
        "the labels do not rise with the margin"
    )


@pytest.mark.parametrize("fit", FITS)
def test_a_calibrator_survives_its_json(fit):
    y, margins, patients = sample(8)
    fitted = fit(y, margins, patients)
    saved = fitted.to_json()
    again = calibrator_from_json(json.loads(json.dumps(saved, allow_nan=False)))
    assert again == fitted
    assert type(again) is type(fitted)
    np.testing.assert_array_equal(again.apply(margins), fitted.apply(margins))
    assert (saved["family"], saved["n"], saved["patients"]) == (
        {fit_temperature: "temperature", fit_platt: "platt", fit_isotonic: "isotonic"}[fit],
        500,
        len(set(patients.tolist())),
    )


@pytest.mark.parametrize("fit", FITS)
def test_a_calibrator_without_a_fit_is_saved_as_null_with_its_reason(fit):
    fitted = fit(np.zeros(3), np.arange(3.0), np.arange(3))
    again = calibrator_from_json(json.loads(json.dumps(fitted.to_json(), allow_nan=False)))
    assert again.reason == "no positives"
    assert again.to_json() == fitted.to_json()


def test_a_description_that_is_none_is_refused():
    with pytest.raises(ValueError, match="wanted one of temperature, platt, isotonic; found 'beta'"):
        calibrator_from_json({"family": "beta"})
    saved = Temperature(temperature=2.0, n=3, patients=2).to_json()
    with pytest.raises(ValueError, match="a calibrator of family platt has"):
        calibrator_from_json(saved | {"family": "platt"})


def test_bad_margins_are_refused():
    y, patients = np.array([0, 1]), np.arange(2)
    for fit in FITS:
        with pytest.raises(ValueError, match="1 of 2 margins are infinite: margin_of gives finite ones"):
            fit(y, np.array([0.0, np.inf]), patients)
        with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
            fit(y, np.array([0.0, np.nan]), patients)
        with pytest.raises(ValueError, match="2 labels and 3 patients"):
            fit(y, np.array([0.0, 1.0]), ["a", "b", "c"])
    with pytest.raises(ValueError, match="1 of 2 margins are NaN"):
        Platt(intercept=0.0, slope=1.0, n=2, patients=2).apply(np.array([0.1, np.nan]))
    assert Isotonic(margins=(0.0, 1.0), probabilities=(0.2, 0.6), n=2, patients=2).apply(np.array([0.5])) == 0.4
