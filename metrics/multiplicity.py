"""Many comparisons at once: p-values and intervals that hold for a whole family, which is declared before the run."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


def holm(p: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    """Return Holm's adjusted p-values, which are valid however the tests depend on each other.

        adjusted_(j) = max over i <= j of min(1, (k - i + 1) p_(i)),  p_(1) <= ... <= p_(k)

    Args:
        p: one p-value per comparison. NaN (not evaluable) is no member of the family: it stays NaN, and k is smaller.

    Raises:
        ValueError: a value lies outside [0, 1].

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 1979.
    """
    tested = np.flatnonzero(~np.isnan(p))
    outside = [float(value) for value in p[tested] if not 0 <= value <= 1]
    if outside:
        raise ValueError(f"p-values lie in [0, 1]; found {outside[0]:g}")
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    steps = np.minimum(p[order] * np.arange(len(order), 0, -1), 1)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


class MaxT(NamedTuple):
    """Simultaneous intervals of a family, and the p-values that fit them; NaN for what is no member."""

    low: Float[np.ndarray, "k"]
    high: Float[np.ndarray, "k"]
    p: Float[np.ndarray, "k"]
    """Adjusted for the family: the share of replicates whose largest deviation is at least this difference."""
    critical: float
    """Standard errors that an interval reaches to either side, before `widening`; NaN for an empty family."""


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

    The replicates of all members come from one draw of patients, so c knows how the differences vary together; for
    independent ones it is the normal quantile at (1 + (1 - alpha)^(1/k)) / 2. The replicates are centred on the
    estimate before anything is tested: they are never treated as if they were observations.

    Args:
        difference: the estimates d. A NaN is no member of the family.
        replicates: their bootstrap replicates d*. A NaN replicate is left out of that member's standard error and of
            the maximum; leave out members that are undefined often (see `resampling.SPARSE_SHARE`).
        floor: least standard error of each. Without it, a difference that no replicate moves is no member: a standard
            error of zero would make it certain.
        widening: factor w on each interval, for a standard error that is itself uncertain.
        alpha: chance that any of the intervals misses.

    Source: Westfall & Young, Resampling-Based Multiple Testing, 1993 (single-step max-T).
    """
    k = len(difference)
    low, high, p = np.full(k, np.nan), np.full(k, np.nan), np.full(k, np.nan)
    floors, factors = np.broadcast_to(floor, k), np.broadcast_to(widening, k)
    usable = ~np.isnan(difference) & ~np.isnan(floors) & ((~np.isnan(replicates)).sum(axis=0) > 1)
    spread = np.full(k, np.nan)
    moving = np.compress(usable, replicates, axis=1)
    # Equal numbers have a standard deviation of rounding, not of zero.
    moved = np.nanmax(moving, axis=0, initial=-np.inf) > np.nanmin(moving, axis=0, initial=np.inf)
    spread[usable] = np.where(moved, np.nanstd(moving, axis=0, ddof=1), 0.0)
    error = np.maximum(spread, floors)
    member = error > 0
    if not member.any():
        return MaxT(low, high, p, float("nan"))
    deviation = np.abs(np.compress(member, replicates, axis=1) - difference[member]) / error[member]
    largest = np.nanmax(deviation[~np.isnan(deviation).all(axis=1)], axis=1)
    critical = float(np.quantile(largest, 1 - alpha))
    half_width = critical * error * factors
    low[member], high[member] = (difference - half_width)[member], (difference + half_width)[member]
    observed = np.abs(difference[member]) / (error[member] * factors[member])
    p[member] = (1 + (largest[:, None] >= observed).sum(axis=0)) / (len(largest) + 1)
    return MaxT(low, high, p, critical)
