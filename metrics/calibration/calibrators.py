"""Calibrators turn margins into probabilities: temperature, Platt and isotonic, fitted on validation patients.

A margin is an unbounded score, such as cos⁺ - cos⁻ or a multiple of it; `logistic.margin_of` recovers it from a stored
probability. A strictly rising calibrator does not change the AUROC; an isotonic one can add ties.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped
from scipy.special import expit

from metrics.auroc import checked, one_class_reason
from metrics.calibration.logistic import NoFitError, fit_line, fit_logistic, no_line_reason
from metrics.resampling import patient_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator(ABC):
    """What all families have in common: the size of the fit, or why there is none."""

    n: int
    """Images that it was fitted on"""
    patients: int
    """Patients that it was fitted on"""
    reason: str = ""
    """Why there is no fit, e.g. "no positives"; "" if there is one"""

    def apply(self, margins: Real[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Return the calibrated probabilities.

        Raises:
            ValueError: there is no fit, or a margin is NaN.
        """
        if self.reason:
            raise ValueError(f"no {self._family()} calibrator could be fitted: {self.reason}")
        if np.isnan(margins).any():
            raise ValueError(f"{int(np.isnan(margins).sum())} of {margins.size} margins are NaN")

        return self._probabilities(margins.astype(np.float64))

    def to_json(self) -> dict[str, Any]:
        """Return family, parameters, n, patients and reason; a parameter without a value is None."""
        values = {name: None if _is_nan(value) else value for name, value in asdict(self).items()}
        return {"family": self._family(), **values}

    def _family(self) -> str:
        return type(self).__name__.lower()

    @abstractmethod
    def _probabilities(self, margins: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature(Calibrator):
    """p = sigmoid(margin / T): one parameter; a margin of zero stays at one half."""

    temperature: float
    """T > 0, in units of the margin"""

    def _probabilities(self, margins: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        return np.asarray(expit(margins / self.temperature))


@dataclass(frozen=True, slots=True, kw_only=True)
class Platt(Calibrator):
    """p = sigmoid(a + b margin)."""

    intercept: float
    slope: float
    """b > 0, per unit of the margin"""

    def _probabilities(self, margins: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        return np.asarray(expit(self.intercept + self.slope * margins))


@dataclass(frozen=True, slots=True, kw_only=True)
class Isotonic(Calibrator):
    """A rising step function, linear between its knots and constant outside them; it reaches 0 and 1."""

    margins: tuple[float, ...]
    """Knots, rising"""
    probabilities: tuple[float, ...]
    """Values at the knots"""

    def _probabilities(self, margins: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        return np.asarray(np.interp(margins, self.margins, self.probabilities))


FAMILIES: tuple[type[Calibrator], ...] = (Temperature, Platt, Isotonic)


def fit_temperature(
    y: Shaped[np.ndarray, "n"], margins: Real[np.ndarray, "n"], subject_ids: Sequence[Any] | np.ndarray
) -> Temperature:
    """Return the temperature that maximises the likelihood of the validation labels.

    No fit, with a reason, if a class is absent, if the sign of the margin separates the classes (T would be 0), or if
    labels do not rise with the margin (T would be infinite or negative).

    Args:
        y: labels of validation images, 0 or 1.
        margins: their margins.
        subject_ids: their patients; only their number is used.

    Raises:
        ValueError: NaN or infinite margins, labels other than 0 and 1, lengths that differ, a missing patient.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    positive, x, evidence = _checked(y, margins, subject_ids)

    # Why no temperature fits, if none does. The likelihood is concave in 1/T; its slope at 1/T = 0 is half the sum.
    reason = one_class_reason(positive)
    signed = np.where(positive, x, -x)
    if not reason and signed.sum() <= 0:
        reason = "the labels do not rise with the margin: no positive temperature fits"
    if not reason and signed.min() >= 0:
        reason = "the sign of the margin separates the classes: the temperature would be zero"
    if reason:
        return Temperature(temperature=float("nan"), reason=reason, **evidence)

    # Margins are scaled to at most 1 for the fit, and the result is scaled back.
    scale = float(np.abs(x).max())
    try:
        inverse = fit_logistic(x[:, None] / scale, positive)[0] / scale
    except NoFitError as error:
        return Temperature(temperature=float("nan"), reason=str(error), **evidence)
    return Temperature(temperature=float(1 / inverse), **evidence)


def fit_platt(
    y: Shaped[np.ndarray, "n"], margins: Real[np.ndarray, "n"], subject_ids: Sequence[Any] | np.ndarray
) -> Platt:
    """Return intercept and slope that maximise the likelihood of the validation labels, without a penalty.

    Labels are used as they are, without Platt's smoothing. No fit, with a reason, if a class is absent, all margins are
    equal, the margins separate the classes, or the slope is not positive: such a calibrator would reverse the ranking.

    Args:
        y: labels of validation images, 0 or 1.
        margins: their margins.
        subject_ids: their patients; only their number is used.

    Raises:
        ValueError: as `fit_temperature`.

    Source: Platt, Advances in Large Margin Classifiers, 1999.
    """
    positive, x, evidence = _checked(y, margins, subject_ids)
    reason = no_line_reason(x, positive)
    intercept = slope = float("nan")
    if not reason:
        try:
            intercept, slope = fit_line(x, positive)
        except NoFitError as error:
            reason = str(error)

    if slope <= 0:
        reason = f"the labels do not rise with the margin (slope {slope:.3g})"
        intercept = slope = float("nan")
    return Platt(intercept=intercept, slope=slope, reason=reason, **evidence)


def fit_isotonic(
    y: Shaped[np.ndarray, "n"], margins: Real[np.ndarray, "n"], subject_ids: Sequence[Any] | np.ndarray
) -> Isotonic:
    """Return the rising step function nearest to the validation labels, by scikit-learn's pool-adjacent-violators.

    It needs more images than the other two families; with few it overfits the validation set. No fit, with a reason, if
    a class is absent or if labels do not rise with the margin at all.

    Args:
        y: labels of validation images, 0 or 1.
        margins: their margins.
        subject_ids: their patients; only their number is used.

    Raises:
        ValueError: as `fit_temperature`.

    Source: Zadrozny & Elkan, KDD 2002.
    """
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415  (takes seconds, and only this family needs it)

    positive, x, evidence = _checked(y, margins, subject_ids)
    reason = one_class_reason(positive)
    if reason:
        return Isotonic(margins=(), probabilities=(), reason=reason, **evidence)

    fitted = IsotonicRegression(y_min=0, y_max=1).fit(x, positive)
    knots, values = fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist()
    if values[0] == values[-1]:
        return Isotonic(margins=(), probabilities=(), reason="the labels do not rise with the margin", **evidence)
    return Isotonic(margins=tuple(knots), probabilities=tuple(values), **evidence)


def calibrator_from_json(saved: Mapping[str, Any]) -> Calibrator:
    """Return the calibrator that `to_json` described.

    Raises:
        ValueError: the family is unknown, or the parameters are not those of the family.
    """
    families = {family.__name__.lower(): family for family in FAMILIES}
    if saved.get("family") not in families:
        raise ValueError(f"family: wanted one of {', '.join(families)}; found {saved.get('family')!r}")

    family = families[saved["family"]]
    wanted = set(family.__dataclass_fields__)
    found = {name: value for name, value in saved.items() if name != "family"}
    if set(found) != wanted:
        raise ValueError(f"a calibrator of family {saved['family']} has {sorted(wanted)}; found {sorted(found)}")

    values: dict[str, Any] = {
        name: float("nan") if value is None else tuple(value) if isinstance(value, list | tuple) else value
        for name, value in found.items()
    }
    return family(**values)


def _checked(
    y: Shaped[np.ndarray, "n"], margins: Real[np.ndarray, "n"], subject_ids: Sequence[Any] | np.ndarray
) -> tuple[Bool[np.ndarray, "n"], Float[np.ndarray, "n"], dict[str, Any]]:
    """Return labels, margins as float64, and the numbers of images and patients."""
    positive, x = checked(y, margins)
    if np.isinf(x).any():
        raise ValueError(f"{int(np.isinf(x).sum())} of {x.size} margins are infinite: margin_of gives finite ones")
    if len(subject_ids) != len(y):
        raise ValueError(f"{len(y)} labels and {len(subject_ids)} patients: lengths differ")
    patients = patient_numbers(subject_ids)[1] if len(y) else 0
    return positive, x, {"n": len(y), "patients": patients}


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
