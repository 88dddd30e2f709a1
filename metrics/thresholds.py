"""Thresholds chosen on one set of rows, to be used on another. Candidates are the distinct scores; positive is s >= t.

A threshold that is undefined, because a class is absent, is NaN; `rates.decide` refuses it.
"""

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

from metrics.auroc import checked


def roc_points(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"], Real[np.ndarray, "k"]]:
    """Return FPR, TPR and threshold at every distinct score, thresholds falling. Rates are NaN for an absent class."""
    false_alarms, hits, thresholds = _counts(y, s)
    negatives, positives = false_alarms[-1:].sum(), hits[-1:].sum()
    with np.errstate(invalid="ignore"):
        return false_alarms / negatives, hits / positives, thresholds


def youden_threshold(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"]) -> float:
    """Return the score t that maximises TPR(t) - FPR(t), the highest such t; NaN when a class is absent.

    Source: Youden, Index for rating diagnostic tests, Cancer 1950.
    """
    false_alarms, hits, thresholds = _counts(y, s)
    if not len(hits) or hits[-1] == 0 or false_alarms[-1] == 0:
        return float("nan")
    # TPR - FPR times both class sizes: in integers equal values are equal, so that the highest threshold wins.
    return float(thresholds[np.argmax(hits * false_alarms[-1] - false_alarms * hits[-1])])


def _counts(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"], Real[np.ndarray, "k"]]:
    """Return false positives, true positives and threshold at every distinct score, thresholds falling."""
    positive = checked(y, s)
    order = np.argsort(-s, kind="stable")
    last = np.flatnonzero(np.append(np.diff(s[order]) != 0, True)) if len(s) else np.zeros(0, dtype=np.int64)
    return np.cumsum(~positive[order])[last], np.cumsum(positive[order])[last], s[order][last]


def threshold_at_fpr(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], target: float) -> float:
    """Return the lowest threshold whose FPR is at most `target`; NaN without negatives.

    When even the highest score has a larger FPR, the threshold lies just above it: nothing is called positive.
    """
    fpr, _, thresholds = roc_points(y, s)
    if not len(fpr) or np.isnan(fpr[0]):
        return float("nan")
    allowed = thresholds[fpr <= target]
    return float(allowed[-1]) if len(allowed) else float(np.nextafter(np.float64(thresholds[0]), np.inf))


def threshold_at_tpr(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], target: float) -> float:
    """Return the highest threshold whose TPR is at least `target`; NaN without positives."""
    _, tpr, thresholds = roc_points(y, s)
    if not len(tpr) or np.isnan(tpr[0]):
        return float("nan")
    return float(thresholds[np.argmax(tpr >= target)])
