"""The threshold of one finding by each rule: Youden, largest F1 or MCC, a wanted TPR or FPR. Arrays in, a number out.

Candidates are the distinct scores; positive is s >= t. If a class is absent the threshold is NaN, which `rates.decide`
refuses. These are the formulas only: `threshold_policy.fit_thresholds` applies one of them to all findings by a
declared policy, and records on which rows. Choose thresholds on other rows than those they are used on.
"""

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

from metrics.auroc import checked

ROUNDING = 1e-12
"""Correlations that differ by less count as equal: they differ by the rounding of square roots only"""


def roc_points(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"], Real[np.ndarray, "k"]]:
    """Return FPR, TPR and threshold at every distinct score, thresholds falling. The rate of an absent class is NaN."""
    false_alarms, hits, thresholds = _counts(y, s)
    negatives, positives = false_alarms[-1:].sum(), hits[-1:].sum()
    with np.errstate(invalid="ignore"):
        return false_alarms / negatives, hits / positives, thresholds


def youden_threshold(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"]) -> float:
    """Return the score t that maximises TPR(t) - FPR(t), the highest such t; NaN if a class is absent.

    Source: Youden, Index for rating diagnostic tests, Cancer 1950.
    """
    false_alarms, hits, thresholds = _counts(y, s)
    if not len(hits) or hits[-1] == 0 or false_alarms[-1] == 0:
        return float("nan")
    # TPR - FPR times both class sizes: in integers equal values are equal, so that the highest threshold wins.
    return float(thresholds[np.argmax(hits * false_alarms[-1] - false_alarms * hits[-1])])


def max_f1_threshold(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"]) -> float:
    """Return the score t that maximises F1 = 2 TP / (2 TP + FP + FN), the highest such t; NaN if a class is absent.

    F1 ignores true negatives: on rows where the finding is rarer than here, this threshold is too low.
    """
    false_alarms, hits, thresholds = _counts(y, s)
    if not len(hits) or hits[-1] == 0 or false_alarms[-1] == 0:
        return float("nan")
    f1 = 2 * hits / (hits + false_alarms + hits[-1])
    return float(thresholds[np.argmax(f1)])


def max_mcc_threshold(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"]) -> float:
    """Return the score t that maximises Matthews' correlation, the lowest such t; NaN if a class is absent.

    At the lowest score everything is called positive and the correlation is 0/0. It counts as 0, so this score is
    returned if no threshold is better than chance. Both conventions, lowest and 0, are those of the reference.

    Source: rajpurkarlab/CheXzero, metrics.py, `get_best_p_vals` (ROC thresholds without the first, ascending, first
    argmax of scikit-learn's `matthews_corrcoef`).
    """
    false_alarms, hits, thresholds = _counts(y, s)
    if not len(hits) or hits[-1] == 0 or false_alarms[-1] == 0:
        return float("nan")

    called, n = hits + false_alarms, hits[-1] + false_alarms[-1]
    agreement = hits * false_alarms[-1] - false_alarms * hits[-1]  # TP TN - FP FN
    # Two square roots, because the product of all four margins overflows int64 beyond 100,000 images.
    spread = np.sqrt(called * (n - called)) * np.sqrt(hits[-1] * false_alarms[-1])
    mcc = np.divide(agreement, spread, out=np.zeros(len(hits)), where=spread > 0)
    return float(thresholds[np.flatnonzero(mcc >= mcc.max() - ROUNDING)[-1]])


def _counts(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"], Real[np.ndarray, "k"]]:
    """Return false positives, true positives and threshold at every distinct score, thresholds falling."""
    positive, s = checked(y, s)
    order = np.argsort(-s, kind="stable")

    # Equal scores are one step: counts are read at the last image of each run.
    last = np.flatnonzero(np.append(np.diff(s[order]) != 0, True)) if len(s) else np.zeros(0, dtype=np.int64)
    return np.cumsum(~positive[order])[last], np.cumsum(positive[order])[last], s[order][last]


def threshold_at_fpr(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], target: float) -> float:
    """Return the lowest threshold whose FPR is at most `target`; NaN without negatives.

    If even the highest score has a larger FPR, the threshold lies just above it and nothing is called positive.
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
