"""Differences between a group and everybody else: max-T intervals that are valid for a whole family at once."""

import math

import numpy as np
from jaxtyping import Float, Int

import metrics


def simultaneous(
    difference: Float[np.ndarray, " k"],
    replicates: Float[np.ndarray, "r k"],
    floor: Float[np.ndarray, " k"],
    patients: Int[np.ndarray, " k"],
    *,
    alpha: float = 0.05,
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return max-T intervals `d ± c t SE`: all k of them cover together with probability 1 - alpha.

    The standard errors SE and the quantile c are those of `metrics.max_t`. Two corrections are added for small groups:

        SE_k >= floor_k
        t_k  = 1 + (1.96² + 1) / (4 (patients_k - 1)), the ratio of Student's quantile to the normal one

    The floor matters if a cell is exactly 0 or 1. Every resample then repeats this value, the bootstrap's standard
    error is zero, and the difference would look certain. `rate_floor` and `auroc_floor` give the floor. `t` matters if
    the smaller side of a comparison has a few dozen patients: the standard error is then itself uncertain, and too
    small.

    Args:
        difference: the estimates d.
        replicates: their bootstrap replicates d*.
        floor: smallest standard error of each.
        patients: patients on the smaller side of each.
        alpha: probability that at least one of the k intervals misses.

    Source: Abramowitz & Stegun 26.7.5 (Student's quantile, first term).
    """
    student = 1 + (1.96**2 + 1) / (4 * (patients - 1))
    intervals = metrics.max_t(difference, replicates, floor=floor, widening=student, alpha=alpha)
    return intervals.low, intervals.high


def rate_floor(rate: float, n: int) -> float:
    """Return the standard error of a rate over n patients with two successes and two failures added.

    Source: Agresti & Coull, Am. Stat. 1998.
    """
    moved = (rate * n + 2) / (n + 4)
    return math.sqrt(moved * (1 - moved) / (n + 4))


def auroc_floor(auroc: float, n_pos: int, n_neg: int) -> float:
    """Return Hanley and McNeil's standard error of an AUROC A, after moving A a little towards 1/2.

        A   <- (A k + 1) / (k + 2)                 where k = min(m, n), so that A = 1 is not taken for certain
        var = [A(1-A) + (m-1)(A/(2-A) - A²) + (n-1)(2A²/(1+A) - A²)] / (mn)

    An AUROC below 1/2 has the error of its mirror image.

    Source: Hanley & McNeil, Radiology 1982.
    """
    k = min(n_pos, n_neg)
    a = (max(auroc, 1 - auroc) * k + 1) / (k + 2)
    spread = (n_pos - 1) * (a / (2 - a) - a**2) + (n_neg - 1) * (2 * a**2 / (1 + a) - a**2)
    return math.sqrt((a * (1 - a) + spread) / (n_pos * n_neg))
