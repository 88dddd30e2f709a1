"""Decision thresholds of an audit: one per finding for all groups, and where they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

import metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """One threshold per finding; predicted positive is `score >= threshold`."""

    by_finding: Mapping[str, float]
    """NaN where the finding had no positives or no negatives to fit on."""
    policy: str
    """How they were chosen, e.g. "youden"."""
    fitted_on: str
    """The rows they were chosen on: "validation", or "test" when these are the audited rows themselves."""

    @property
    def label(self) -> str:
        """Return the policy as the tables print it, e.g. "youden, fitted-on-test"."""
        return f"{self.policy}, fitted-on-{self.fitted_on}"


def fit_thresholds(
    scores: Float[np.ndarray, "n c"], truth: Float[np.ndarray, "n c"], *, findings: Sequence[str], fitted_on: str
) -> Thresholds:
    """Return Youden's threshold of each finding, one for all groups.

    Args:
        scores: higher is more likely present.
        truth: 1, 0, or NaN for images without a label of that finding.
        findings: the names of the columns.
        fitted_on: what to call these rows in every output.
    """
    values = {}
    for c, finding in enumerate(findings):
        known = ~np.isnan(truth[:, c])
        values[finding] = metrics.youden_threshold(truth[known, c], scores[known, c])
    return Thresholds(by_finding=values, policy="youden", fitted_on=fitted_on)
