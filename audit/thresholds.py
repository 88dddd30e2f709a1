"""Decision thresholds as an audit uses them: one per finding for all groups, and what the tables print about them."""

from collections.abc import Mapping
from dataclasses import dataclass

from metrics.threshold_policy import Threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """One threshold per finding; predicted positive is `score >= threshold`.

    `metrics.fit_thresholds` fits them and `Thresholds.of` takes them. Thresholds from elsewhere are given as numbers,
    `by_finding`, with words for where they came from.
    """

    by_finding: Mapping[str, float]
    """NaN where the finding had no positives or no negatives to fit on"""
    policy: str
    """How they were chosen, e.g. `youden`"""
    fitted_on: str
    """The rows they were chosen on: `validation`, or `test` if these are the audited rows themselves"""

    @classmethod
    def of(cls, thresholds: Mapping[str, Threshold]) -> "Thresholds":
        """Return what `metrics.fit_thresholds` fitted, by one policy on the same rows.

        Raises:
            ValueError: There are none, or they differ in policy or rows.
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
