"""Many comparisons at once: Holm's p-values and max-T intervals, valid for a whole family of comparisons.

A family is declared before the run. A comparison that cannot be evaluated is NaN and does not belong to it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


def holm(p: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    """Return Holm's adjusted p-values, which are valid under any dependence between the tests.

        adjusted_(j) = max over i <= j of min(1, (k - i + 1) p_(i)),  p_(1) <= ... <= p_(k)

    Args:
        p: one p-value per comparison. NaN (not evaluable) is not in the family: it stays NaN, and k is smaller.

    Raises:
        ValueError: a value lies outside [0, 1].

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 1979.
    """
    tested = np.flatnonzero(~np.isnan(p))
    outside = [float(value) for value in p[tested] if not 0 <= value <= 1]
    if outside:
        raise ValueError(f"p-values lie in [0, 1]; found {outside[0]:g}")

    # The smallest p-value is multiplied by k, the next by k - 1, ...; none may fall below the one before it.
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    steps = np.minimum(p[order] * np.arange(len(order), 0, -1), 1)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


class MaxT(NamedTuple):
    """Simultaneous intervals of a family and the p-values that belong to them; NaN outside the family."""

    low: Float[np.ndarray, "k"]
    high: Float[np.ndarray, "k"]
    p: Float[np.ndarray, "k"]
    """Adjusted for the family: the share of replicates whose largest deviation is at least this difference"""
    critical: float
    """Half-width of each interval in standard errors, before `widening`; NaN for an empty family"""


def max_t(
    difference: Float[np.ndarray, "k"],
    replicates: Float[np.ndarray, "r k"],
    *,
    floor: Float[np.ndarray, "k"] | float = 0.0,
    widening: Float[np.ndarray, "k"] | float = 1.0,
    alpha: float = 0.05,
) -> MaxT:
    """Return single-step max-T intervals `d ± c w SE`: all of them cover together with probability 1 - alpha.

        SE_k = max(sd over replicates of d*_k, floor_k)
        T*   = max_k |d*_k - d_k| / SE_k, one per replicate
        c    = (1 - alpha) quantile of T*
        p_k  = (1 + #{T* >= |d_k| / (w_k SE_k)}) / (r + 1)

    The replicates of all members come from one draw of patients, so c takes into account how the differences vary
    together. For independent differences it is the normal quantile at (1 + (1 - alpha)^(1/k)) / 2. The replicates are
    centred on the estimate before the test: they are never taken for observations.

    Args:
        difference: the estimates d. NaN is not in the family.
        replicates: their bootstrap replicates d*. A NaN replicate is left out of that member's standard error and of
            the maximum; leave out members that are often undefined (see `resampling.SPARSE_SHARE`).
        floor: smallest standard error of each. Without a floor, a difference that is equal in all replicates is not in
            the family: a standard error of zero would make it certain.
        widening: factor w on each interval, for a standard error that is itself uncertain.
        alpha: probability that at least one of the intervals misses.

    Source: Westfall & Young, Resampling-Based Multiple Testing, 1993 (single-step max-T).
    """
    k = len(difference)
    low, high, p = np.full(k, np.nan), np.full(k, np.nan), np.full(k, np.nan)
    floors, factors = np.broadcast_to(floor, k), np.broadcast_to(widening, k)

    # The standard error of each difference: the spread of its replicates, but at least the floor.
    usable = ~np.isnan(difference) & ~np.isnan(floors) & ((~np.isnan(replicates)).sum(axis=0) > 1)
    spread = np.full(k, np.nan)
    moving = np.compress(usable, replicates, axis=1)  # (r usable)
    # Equal replicates have a standard deviation near, but not exactly, zero: rounding.
    moved = np.nanmax(moving, axis=0, initial=-np.inf) > np.nanmin(moving, axis=0, initial=np.inf)
    spread[usable] = np.where(moved, np.nanstd(moving, axis=0, ddof=1), 0.0)
    error = np.maximum(spread, floors)
    member = error > 0
    if not member.any():
        return MaxT(low, high, p, float("nan"))

    # How far the worst member lies from its estimate, in standard errors, in each replicate.
    deviation = np.abs(np.compress(member, replicates, axis=1) - difference[member]) / error[member]  # (r members)
    largest = np.nanmax(deviation[~np.isnan(deviation).all(axis=1)], axis=1)  # (r,)

    # An interval that reaches so far covers all members at once in 1 - alpha of the replicates.
    critical = float(np.quantile(largest, 1 - alpha))
    half_width = critical * error * factors
    low[member], high[member] = (difference - half_width)[member], (difference + half_width)[member]

    # The p-value of each member: how often chance alone moves the worst one by as much.
    observed = np.abs(difference[member]) / (error[member] * factors[member])
    p[member] = (1 + (largest[:, None] >= observed).sum(axis=0)) / (len(largest) + 1)
    return MaxT(low, high, p, critical)
