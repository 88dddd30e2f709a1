"""Rank flips: how often the prompt decides which of two models is better."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

import metrics

COLUMNS = (
    "first", "second", "finding", "n_prompts", "first_better", "second_better", "equal", "share", "prompts",
    "difference", "low", "high",
)  # fmt: skip


def rank_flips(aurocs: pd.DataFrame, replicates: Mapping[str, Mapping[str, Float[np.ndarray, "r"]]]) -> pd.DataFrame:
    """Return, per pair of models and finding, how often the prompt decides which of the two is better.

    Columns: first, second (models); finding; n_prompts; first_better, second_better, equal (numbers of prompts); share,
    the share of prompts whose order contradicts the majority; prompts, these prompts, separated by "; " (in a tie,
    those for which the second is better); difference (first - second under the default prompt) with low and high, its
    paired interval over patients. If that interval contains 0, the patients do not decide the order either.

    Args:
        aurocs: model, finding, prompt, auroc and is_default; the same prompts in the same order for every model. A
            prompt with an AUROC of NaN is not counted.
        replicates: model -> finding -> AUROC of the default prompt in r resamples of the patients, one draw for all.

    Raises:
        ValueError: the models have different prompts.
    """
    rows = []
    groups = {key: group.reset_index(drop=True) for key, group in aurocs.groupby(["model", "finding"], sort=False)}
    for first, second in combinations(aurocs["model"].unique(), 2):
        for finding in aurocs["finding"].unique():
            ours, theirs = groups.get((first, finding)), groups.get((second, finding))
            if ours is None or theirs is None or not ours["prompt"].equals(theirs["prompt"]):
                raise ValueError(f"{first} and {second} have different prompts for {finding!r}")

            difference = ours["auroc"] - theirs["auroc"]
            drawn = replicates[first][finding] - replicates[second][finding]
            low, high, _, _ = metrics.percentile_interval(drawn)
            rows.append(
                {"first": first, "second": second, "finding": finding}
                | _count(difference, ours["prompt"])
                | {"difference": difference[ours["is_default"]].mean(), "low": low, "high": high}
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _count(difference: "pd.Series[float]", prompts: "pd.Series[str]") -> dict[str, Any]:
    """Count which model is better, and name the prompts that contradict the majority."""
    n, better, worse = int(difference.notna().sum()), difference > 0, difference < 0
    minority = worse if worse.sum() <= better.sum() else better
    return {
        "n_prompts": n,
        "first_better": int(better.sum()),
        "second_better": int(worse.sum()),
        "equal": n - int(better.sum()) - int(worse.sum()),
        "share": minority.sum() / n if n else np.nan,
        "prompts": "; ".join(prompts[minority]),
    }
