"""Decision thresholds of an audit: one per finding for all groups, and where they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from metrics import threshold_policy
from metrics.threshold_policy import FittedOn, Threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """One threshold per finding; predicted positive is `score >= threshold`."""

    by_finding: Mapping[str, float]
    """NaN where the finding had no positives or no negatives to fit on."""
    policy: str
    """How they were chosen, e.g. "youden"."""
    fitted_on: str
    """The rows they were chosen on: "validation", or "test" when these are the audited rows themselves."""

    @classmethod
    def of(cls, thresholds: Mapping[str, Threshold]) -> "Thresholds":
        """Return thresholds of one policy as `metrics.fit_thresholds` gives them.

        Raises:
            ValueError: there are none, or they are of several policies or rows.
        """
        made = {(threshold.policy.name, threshold.fitted_on) for threshold in thresholds.values()}
        if len(made) != 1:
            found = ", ".join(" on ".join(one) for one in sorted(made)) or "no threshold"
            raise ValueError(f"an audit takes thresholds of one policy, fitted on the same rows; found {found}")
        ((policy, fitted_on),) = made
        by_finding = {finding: threshold.value for finding, threshold in thresholds.items()}
        return cls(by_finding=by_finding, policy=policy, fitted_on=fitted_on)

    @property
    def label(self) -> str:
        """Return the policy as the tables print it, e.g. "youden, fitted-on-test"."""
        return f"{self.policy}, fitted-on-{self.fitted_on}"


def fit_thresholds(
    scores: Float[np.ndarray, "n c"],
    truth: Float[np.ndarray, "n c"],
    *,
    findings: Sequence[str],
    fitted_on: FittedOn,
) -> Thresholds:
    """Return Youden's threshold of each finding, one for all groups.

    Args:
        scores: higher is more likely present.
        truth: 1, 0, or NaN for images without a label of that finding.
        findings: the names of the columns.
        fitted_on: what these rows are; every output says so.
    """
    policy = threshold_policy.ThresholdPolicy(rule="youden")
    fitted = threshold_policy.fit_thresholds(truth, scores, findings=findings, policy=policy, fitted_on=fitted_on)
    return Thresholds.of(fitted)
