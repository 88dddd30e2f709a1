"""Calibration in the large and calibration slope: a logistic regression of the label on the logit of the score."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped

from metrics.auroc import one_class_reason
from metrics.calibration.calibration_error import checked_probabilities
from metrics.calibration.logistic import NoFitError, count_clipped, fit_line, fit_logistic, margin_of, no_line_reason
from metrics.resampling import ReplicateWeights, unit_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationLine:
    """Regression of labels on the logit of the probabilities, in each replicate; NaN where there is no fit."""

    in_the_large: Float[np.ndarray, "r"]
    """a in logit P(y = 1) = a + logit s: 0 if the mean is right, positive if scores are too low"""
    intercept: Float[np.ndarray, "r"]
    """a in logit P(y = 1) = a + b logit s; read together with the slope"""
    slope: Float[np.ndarray, "r"]
    """b: 1 if calibrated, below 1 if scores are too extreme, above 1 if they are not extreme enough"""
    clipped: int
    """Number of scores (0, 1 or close) whose logit was limited by `logistic.CLIP`: the slope depends on that choice"""
    reason: str
    """Why the estimate has no slope, e.g. "no positives"; "" if it has one"""


def calibration_line(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], weights: ReplicateWeights | None = None
) -> CalibrationLine:
    """Return calibration in the large, intercept and slope.

    Each replicate is fitted, starting from the fit of all images. A replicate that drew one class, or whose scores
    separate the classes or all but do, is NaN and counted by `percentile_interval`.

    Args:
        y: labels, 0 or 1.
        s: probabilities; logits as `logistic.margin_of`.
        weights: replicates; by default one with all weights 1.

    Raises:
        ValueError: as `calibration_error.checked_probabilities`.

    Source: Cox, Biometrika 1958; Van Calster et al., BMC Medicine 2019.
    """
    positive, s = checked_probabilities(y, s)
    logits = margin_of(s)
    drawn = weights or unit_weights(len(y))
    every = np.arange(len(y))

    overall, reason = _fit(logits, positive, np.ones(len(y)), None)
    lines = [
        _fit(logits, positive, drawn.take(slice(b, b + 1), every)[0].astype(np.float64), overall)[0]
        for b in range(drawn.n_replicates)
    ]

    in_the_large, intercept, slope = np.array(lines).reshape(-1, 3).T
    return CalibrationLine(
        in_the_large=in_the_large,
        intercept=intercept,
        slope=slope,
        clipped=count_clipped(s),
        reason=reason,
    )


def _fit(
    logits: Float[np.ndarray, "n"],
    positive: Bool[np.ndarray, "n"],
    weights: Float[np.ndarray, "n"],
    start: tuple[float, float, float] | None,
) -> tuple[tuple[float, float, float], str]:
    """Return in the large, intercept and slope of the images that have a weight, and why there is no slope."""
    there = weights > 0
    x, own, w = logits[there], positive[there], weights[there]
    nan = float("nan")
    reason = one_class_reason(own)
    if reason:
        return (nan, nan, nan), reason

    # Start from the fit of all images, if there is one.
    known = start is not None and not np.isnan(start).any()
    first = start if start is not None and known else (0.0, 0.0, 1.0)

    # In the large: the slope is held at 1 by taking the logits as an offset.
    try:
        alone = float(fit_logistic(np.ones((len(x), 1)), own, weights=w, offset=x, start=np.array(first[:1]))[0])
    except NoFitError as error:
        return (nan, nan, nan), str(error)

    reason = no_line_reason(x, own)
    if reason:
        return (alone, nan, nan), reason
    try:
        return (alone, *fit_line(x, own, weights=w, start=first[1:])), ""
    except NoFitError as error:
        return (alone, nan, nan), str(error)
