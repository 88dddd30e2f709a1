"""Logits, and logistic regression without a penalty: the fit behind the calibration slope and the calibrators."""

import numpy as np
from jaxtyping import Bool, Float, Real
from scipy.special import expit

from metrics.auroc import one_class_reason

CLIP = 2.0**-25
"""Smallest distance of a probability from 0 and 1 before its logit is taken. It is half the gap between 1 and the
float32 below it: a stored 1 can mean any probability nearer to 1 than this"""
MAX_STEPS = 100
HALVINGS = 60
TOO_STEEP = "the scores all but separate the classes: the slope is too steep to be computed"


class NoFitError(ValueError):
    """A maximum that exists, but that the arithmetic does not reach; the message is the reason for the tables."""


def margin_of(probabilities: Real[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return the margin of a probability, log p - log(1 - p), with p moved into [CLIP, 1 - CLIP].

    Margins lie within ± 17.33; larger ones become ties, which `count_clipped` counts. Probabilities stored as float32
    have already lost part of a large positive margin: half a step near 1 is 3e-8, an error of 7e-4 in a margin of 10,
    of 0.04 in one of 14, and everything above 17. Large negative margins keep their digits. Use raw margins if you have
    them.

    Raises:
        ValueError: a value outside [0, 1], or NaN.
    """
    p = probabilities.astype(np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        odd = p[~((p >= 0) & (p <= 1))]
        raise ValueError(f"{odd.size} of {p.size} values are not probabilities, the first is {odd[0]:g}")

    p = np.clip(p, CLIP, 1 - CLIP)
    return np.log(p) - np.log1p(-p)


def count_clipped(probabilities: Real[np.ndarray, "n"]) -> int:
    """Return how many probabilities `margin_of` moves, because they are 0, 1 or very close."""
    p = probabilities.astype(np.float64)  # as float32, 1 - CLIP would be 1
    return int(((p < CLIP) | (p > 1 - CLIP)).sum())


def no_line_reason(x: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]) -> str:
    """Return why `logit P(y = 1) = a + b x` has no finite fit, or "" if it has one.

    With one score, the likelihood has a maximum if and only if both classes occur and their ranges of x overlap in more
    than an end point.

    Source: Albert & Anderson, Biometrika 1984; Silvapulle, JRSS-B 1981.
    """
    reason = one_class_reason(positive)
    if reason:
        return reason

    own, others = x[positive], x[~positive]
    if x.min() == x.max():
        return "all scores are equal"
    if own.min() >= others.max() or own.max() <= others.min():
        return "the scores separate the classes: the slope has no finite value"
    return ""


def fit_logistic(
    design: Float[np.ndarray, "n k"],
    positive: Bool[np.ndarray, "n"],
    *,
    weights: Float[np.ndarray, "n"] | None = None,
    offset: Float[np.ndarray, "n"] | float = 0.0,
    start: Float[np.ndarray, "k"] | None = None,
) -> Float[np.ndarray, "k"]:
    """Return the coefficients β that maximise Σ w [y η - log(1 + e^η)], η = design β + offset, by Newton's method.

    A step that lowers the likelihood is halved. If the first guess leads nowhere, which it can where scores all but
    separate the classes, 0 is tried. The caller ensures that a maximum exists (`no_line_reason`) and that the columns
    have comparable scales.

    Args:
        design: one column per coefficient.
        positive: labels.
        weights: non-negative; all 1 by default.
        offset: added to η with a fixed coefficient of 1.
        start: first guess; 0 by default.

    Raises:
        NoFitError: no convergence in MAX_STEPS (a maximum that exists is found in about a dozen), or scores that leave
            no information about a coefficient.
    """
    w = np.ones(len(design)) if weights is None else weights
    zero = np.zeros(design.shape[1])
    if start is not None:
        try:
            return _newton(design, positive, w, offset, start)
        except NoFitError:
            pass
    return _newton(design, positive, w, offset, zero)


def _newton(
    design: Float[np.ndarray, "n k"],
    positive: Bool[np.ndarray, "n"],
    w: Float[np.ndarray, "n"],
    offset: Float[np.ndarray, "n"] | float,
    start: Float[np.ndarray, "k"],
) -> Float[np.ndarray, "k"]:
    beta = start
    for _ in range(MAX_STEPS):
        # Newton's step: the gradient (k,), solved with the information matrix (k k).
        eta = design @ beta + offset
        p = expit(eta)
        gradient = design.T @ (w * (positive - p))
        try:
            step = np.linalg.solve(design.T @ (design * (w * p * (1 - p))[:, None]), gradient)
        except np.linalg.LinAlgError as error:
            raise NoFitError(TOO_STEEP) from error

        # gradient @ step is twice the rise that is left. Newton's method squares the error, so after this step it is 0.
        if gradient @ step <= 1e-9 * w.sum():
            found = np.asarray(beta + step)
            left = design.T @ (w * (positive - expit(design @ found + offset)))
            # Where next to no information is left, the step is rounding: its end is no maximum.
            if np.abs(left).max() > 1e-5 * w.sum():
                raise NoFitError(TOO_STEEP)
            return found

        value = _likelihood(eta, positive, w)
        for _ in range(HALVINGS):
            if _likelihood(design @ (beta + step) + offset, positive, w) >= value:
                break
            step = step / 2
        beta = beta + step
    raise NoFitError(f"no convergence in {MAX_STEPS} steps: do the classes overlap, and are the columns scaled?")


def fit_line(
    x: Float[np.ndarray, "n"],
    positive: Bool[np.ndarray, "n"],
    *,
    weights: Float[np.ndarray, "n"] | None = None,
    start: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """Return intercept a and slope b of `logit P(y = 1) = a + b x`; x is standardised for the fit only."""
    centre, scale = float(x.mean()), float(x.std())
    design = np.stack([np.ones_like(x), (x - centre) / scale], axis=1)
    first = None if start is None else np.array([start[0] + start[1] * centre, start[1] * scale])
    if not scale > 0:
        raise NoFitError(TOO_STEEP)  # distances so small that their square is 0
    a, b = fit_logistic(design, positive, weights=weights, start=first)
    return float(a - b * centre / scale), float(b / scale)


def _likelihood(eta: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"], w: Float[np.ndarray, "n"]) -> float:
    # For a positive, log(1 + e^η) - η is computed as log(1 + e^-η): no overflow and no cancellation.
    return -float(w @ np.logaddexp(0, np.where(positive, -eta, eta)))
