"""One threshold per finding by a declared policy, with a record of the rows it was fitted on: `thresholds.json`.

The formula of each rule is in `threshold_rules`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

import numpy as np
from jaxtyping import Real, Shaped

from metrics.auroc import checked, one_class_reason
from metrics.rates import decide
from metrics.threshold_rules import (
    max_f1_threshold,
    max_mcc_threshold,
    threshold_at_fpr,
    threshold_at_tpr,
    youden_threshold,
)

Rule = Literal["youden", "f1", "mcc", "tpr", "fpr", "fixed"]
FittedOn = Literal["validation", "test"]
NUMBERS = ("value", "sensitivity", "specificity")
"""Fields of a threshold that can be undefined"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdPolicy:
    """How a threshold is chosen, the same for all findings and all groups."""

    rule: Rule
    """youden, f1, mcc: the score that maximises it; tpr, fpr: the score that reaches `target`; fixed: `target`"""
    target: float | None = None
    """For tpr and fpr the wanted rate, in [0, 1] (specificity 0.9 is FPR 0.1); for fixed the threshold itself"""

    def __post_init__(self) -> None:
        """Check that the rule has the target that it needs, and no other."""
        if (self.target is not None) != (self.rule in {"tpr", "fpr", "fixed"}):
            raise ValueError(f"tpr, fpr and fixed need a target and the other rules take none; found {self.target}")

        if self.target is None:
            return
        if not math.isfinite(self.target) or (self.rule != "fixed" and not 0 <= self.target <= 1):
            raise ValueError(f"the target must be a rate from 0 to 1, or any number when fixed; found {self.target:g}")

    @classmethod
    def parse(cls, text: str) -> "ThresholdPolicy":
        """Return the policy written as `name` writes it: youden, f1, mcc, tpr=0.9, fpr=0.2 or fixed:0.5.

        Raises:
            ValueError: anything else.
        """
        refusal = f"threshold_policy: wanted youden, f1, mcc, tpr=0.9, fpr=0.2 or fixed:0.5, found {text!r}"
        rule, _, target = text.replace(":", "=").partition("=")
        if rule not in get_args(Rule):
            raise ValueError(refusal)

        try:
            return cls(rule=cast("Rule", rule), target=float(target) if target else None)
        except ValueError as error:
            raise ValueError(f"{refusal}: {error}") from error

    @property
    def name(self) -> str:
        """Return the policy as `parse` reads it."""
        if self.target is None:
            return self.rule
        return f"{self.rule}{':' if self.rule == 'fixed' else '='}{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The threshold of one finding, and its rates on the rows that it was fitted on."""

    policy: ThresholdPolicy
    """How it was chosen"""
    value: float
    """Predicted positive is score >= value; NaN if the policy is undefined on these rows"""
    fitted_on: FittedOn
    """Rows of the numbers below and, unless fixed, of the choice; `test`: the rows that it decides on"""
    n: int
    """Images with a label of this finding among these rows"""
    sensitivity: float
    """TPR on these rows, NaN without positives; optimistic, because the threshold was chosen here"""
    specificity: float
    """1 - FPR on these rows, NaN without negatives"""
    reason: str = ""
    """Why a number is NaN ("no positives", ...); "" if none is"""

    @property
    def label(self) -> str:
        """Return the policy as tables print it: "youden, fitted-on-test", or "fixed:0.5", which was not fitted."""
        return self.policy.name if self.policy.rule == "fixed" else f"{self.policy.name}, fitted-on-{self.fitted_on}"


def fit_thresholds(
    labels: Real[np.ndarray, "n c"],
    scores: Real[np.ndarray, "n c"],
    *,
    findings: Sequence[str],
    policy: ThresholdPolicy,
    fitted_on: FittedOn,
) -> dict[str, Threshold]:
    """Return the threshold of each finding, one for all groups, by one policy.

    A finding with labels of one class has a NaN threshold, with the reason, if the policy needs both classes.

    Args:
        labels: 1, 0, or NaN for images without a label of that finding.
        scores: higher means more likely positive.
        findings: the names of the columns.
        policy: how to choose.
        fitted_on: what these rows are; "test" means the rows that the thresholds decide on, and all outputs say so.

    Raises:
        ValueError: names and columns that do not fit, a label that is not 0 or 1, a NaN score: with the finding.
    """
    if labels.shape != scores.shape or not labels.shape[1] == len(findings) == len(set(findings)):
        raise ValueError(f"labels {labels.shape}, scores {scores.shape} and findings {list(findings)} do not fit")

    fitted = {}
    for finding, y, s in zip(findings, labels.T, scores.T, strict=True):
        known = ~np.isnan(y)
        try:
            fitted[finding] = _fit(y[known], s[known], policy, fitted_on)
        except ValueError as error:
            raise ValueError(f"no threshold for {finding!r}: {error}") from error
    return fitted


def thresholds_to_json(thresholds: Mapping[str, Threshold]) -> dict[str, dict[str, Any]]:
    """Return the content of `thresholds.json`: finding -> the fields of its threshold, the policy by its name.

    NaN becomes None; `reason` says why.
    """
    content = {}
    for finding, threshold in thresholds.items():
        numbers = {key: getattr(threshold, key) for key in NUMBERS}
        content[finding] = {
            "policy": threshold.policy.name,
            "fitted_on": threshold.fitted_on,
            "n": threshold.n,
            **{key: None if math.isnan(number) else number for key, number in numbers.items()},
            "reason": threshold.reason,
        }
    return content


def thresholds_from_json(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Threshold]:
    """Return what `thresholds_to_json` was given.

    Raises:
        ValueError: a key is missing or unknown, or so are a policy or its rows; the message names the finding.
    """
    keys = {field.name for field in fields(Threshold)}
    thresholds = {}
    for finding, entry in content.items():
        # Entries come from a file that people may have edited.
        if set(entry) != keys:
            raise ValueError(f"the threshold of {finding!r} must have {sorted(keys)}; found {sorted(entry)}")
        if entry["fitted_on"] not in get_args(FittedOn):
            raise ValueError(
                f"the threshold of {finding!r} must be fitted on {' or '.join(get_args(FittedOn))}; "
                f"found {entry['fitted_on']!r}"
            )

        numbers = {key: math.nan if entry[key] is None else float(entry[key]) for key in NUMBERS}
        try:
            thresholds[finding] = Threshold(
                policy=ThresholdPolicy.parse(entry["policy"]),
                fitted_on=entry["fitted_on"],
                n=entry["n"],
                reason=entry["reason"],
                **numbers,
            )
        except ValueError as error:
            raise ValueError(f"the threshold of {finding!r} cannot be read: {error}") from error
    return thresholds


def _fit(
    y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], policy: ThresholdPolicy, fitted_on: FittedOn
) -> Threshold:
    positive, s = checked(y, s)
    value = _choose(y, s, policy)

    # Sensitivity among the positives, specificity among the negatives.
    rates = [math.nan, math.nan]
    if not math.isnan(value):
        called = decide(s, value)
        rates = [float(right.mean()) if right.size else math.nan for right in (called[positive], ~called[~positive])]

    return Threshold(
        policy=policy,
        value=value,
        fitted_on=fitted_on,
        n=len(y),
        sensitivity=rates[0],
        specificity=rates[1],
        reason=one_class_reason(y),
    )


def _choose(y: Shaped[np.ndarray, "n"], s: Real[np.ndarray, "n"], policy: ThresholdPolicy) -> float:
    if policy.target is None:
        return {"youden": youden_threshold, "f1": max_f1_threshold, "mcc": max_mcc_threshold}[policy.rule](y, s)
    if policy.rule == "fixed":
        return policy.target
    return (threshold_at_tpr if policy.rule == "tpr" else threshold_at_fpr)(y, s, policy.target)
