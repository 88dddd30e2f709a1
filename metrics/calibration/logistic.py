"""Logits, and logistic regression without a penalty: the fits behind calibration's slope and the calibrators."""

import numpy as np
from jaxtyping import Bool, Float, Real
from scipy.special import expit

from metrics.auroc import one_class_reason

CLIP = 2.0**-25
"""Least distance of a probability from 0 and 1 before its logit is taken; what lies between a float32 1 and its
predecessor rounds to that distance, so a stored 1 says no more than this"""
MAX_STEPS = 100
HALVINGS = 60


def margin_of(probabilities: Real[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return the margin whose sigmoid a probability is: log p - log(1 - p), with p moved into [CLIP, 1 - CLIP].

    So margins lie within ± 17.33, and all beyond are ties. Probabilities that were stored as float32 have lost part of
    a large positive margin already: half a step near 1 is 3e-8, which is 7e-4 of a margin of 10, 0.04 of one of 14
    and all of one above 17. Large negative margins keep their digits down to the clip. `count_clipped` says how many
    are at the ends. Raw margins are better where they are at hand.

    Raises:
        ValueError: a value outside [0, 1], or NaN.
    """
    p = probabilities.astype(np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        odd = p[~((p >= 0) & (p <= 1))]
        raise ValueError(f"{odd.size} of {p.size} values are no probabilities, the first is {odd[0]:g}")
    p = np.clip(p, CLIP, 1 - CLIP)
    return np.log(p) - np.log1p(-p)


def count_clipped(probabilities: Real[np.ndarray, "n"]) -> int:
    """Return how many probabilities `margin_of` moves, because they are 0, 1 or next to it."""
    p = probabilities.astype(np.float64)  # as float32, 1 - CLIP would be 1
    return int(((p < CLIP) | (p > 1 - CLIP)).sum())


def no_line_reason(x: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]) -> str:
    """Return why `logit P(y = 1) = a + b x` has no finite fit, or "" when it has one.

    With one score, the likelihood has a maximum exactly when both classes occur and their ranges of x overlap in more
    than one end point.

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

    A step that lowers the likelihood is halved. The caller makes sure that a maximum exists (`no_line_reason`) and that
    the columns are of a comparable size.

    Args:
        design: one column per coefficient.
        positive: labels.
        weights: non-negative; all 1 when absent.
        offset: added to η with a fixed coefficient of 1.
        start: first guess; 0 when absent.

    Raises:
        ValueError: no convergence in MAX_STEPS; a maximum that exists is found in a dozen.
    """
    w = np.ones(len(design)) if weights is None else weights
    beta = np.zeros(design.shape[1]) if start is None else start
    for _ in range(MAX_STEPS):
        eta = design @ beta + offset
        p = expit(eta)
        gradient = design.T @ (w * (positive - p))
        step = np.linalg.solve(design.T @ (design * (w * p * (1 - p))[:, None]), gradient)
        # Twice what the likelihood still has to rise, which Newton's step squares: nothing is left to check after it.
        if gradient @ step <= 1e-9 * w.sum():
            return np.asarray(beta + step)
        value = _likelihood(eta, positive, w)
        for _ in range(HALVINGS):
            if _likelihood(design @ (beta + step) + offset, positive, w) >= value:
                break
            step = step / 2
        beta = beta + step
    raise ValueError(f"no convergence in {MAX_STEPS} steps: do the classes overlap, and are the columns scaled?")


def fit_line(
    x: Float[np.ndarray, "n"],
    positive: Bool[np.ndarray, "n"],
    *,
    weights: Float[np.ndarray, "n"] | None = None,
    start: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """Return intercept a and slope b of `logit P(y = 1) = a + b x`; x is standardised within."""
    centre, scale = float(x.mean()), float(x.std())
    design = np.stack([np.ones_like(x), (x - centre) / scale], axis=1)
    first = None if start is None else np.array([start[0] + start[1] * centre, start[1] * scale])
    a, b = fit_logistic(design, positive, weights=weights, start=first)
    return float(a - b * centre / scale), float(b / scale)


def _likelihood(eta: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"], w: Float[np.ndarray, "n"]) -> float:
    # log(1 + e^η) - y η is log(1 + e^-η) for a positive: nothing overflows and nothing cancels.
    return -float(w @ np.logaddexp(0, np.where(positive, -eta, eta)))
