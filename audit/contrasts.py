"""Differences between a group and everybody else: intervals that are valid for a whole family at once."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

import metrics
from metrics.share_intervals import Share, difference_limits


def simultaneous(
    groups: Sequence[Share], rests: Sequence[Share], *, alpha: float = 0.05
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return intervals of the k differences group - rest: all of them cover together with probability 1 - alpha.

    The quantile c is that of `metrics.max_t` over the replicates, which says how the differences vary together. Each
    side's limits are taken at c and combined by `share_intervals.difference_limits`. A standard error would not do: it
    shrinks with a low rate, so that the group that was lucky seems to be certain.

    c is never below the normal quantile of one interval; nor, if no resample moves some of the differences, below that
    of as many independent ones.

    Args:
        groups: the shares inside the groups.
        rests: the same shares outside the groups, from the same draws of patients.
        alpha: probability that at least one of the k intervals misses.
    """
    if not groups:
        return np.zeros(0), np.zeros(0)

    pairs = list(zip(groups, rests, strict=True))
    difference = np.array([group.value - rest.value for group, rest in pairs])
    replicates = np.stack([group.replicates - rest.replicates for group, rest in pairs], axis=1)  # (r k)
    still = int((np.nanmax(replicates, axis=0) == np.nanmin(replicates, axis=0)).sum())
    least = float(ndtri((1 + (1 - alpha) ** (1 / max(still, 1))) / 2))
    critical = float(np.nanmax([metrics.max_t(difference, replicates, alpha=alpha).critical, least]))

    low, high = np.array([difference_limits(group, rest, critical) for group, rest in pairs]).T
    return low, high
