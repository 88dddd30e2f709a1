"""From the tables of one run to its report: example films, headline numbers, honest wording."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from audit.report import Example, Headline, Judgement
from metrics.evidence import MEAN

ReadImage = Callable[[str], UInt8[np.ndarray, "h w"]]
"""image_id -> pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImages:
    """The scored films, joined by image_id."""

    predictions: pd.DataFrame
    """image_id and a score per finding."""
    truth: pd.DataFrame
    """image_id and the findings as 1, 0 or blank."""
    cohort: pd.DataFrame
    """Cohort rows: image_id, view, age_years, sex, race."""
    prompts: Mapping[str, Mapping[str, Sequence[str]]]
    """finding -> "positive" and "negative" phrases."""


def choose_examples(
    scored: ScoredImages, texts: Mapping[str, str], read_image: ReadImage, *, n_abnormal: int = 4, n_normal: int = 2
) -> list[Example]:
    """Return a few films with their report and scores, the first by image_id: never chosen by how they were scored.

    Args:
        scored: the films to choose from.
        texts: image_id -> report text; a film without one is shown without.
        read_image: gives the pixels.
        n_abnormal: films with at least one finding.
        n_normal: films without any.
    """
    truth = scored.truth.set_index("image_id").sort_index()
    findings = [name for name in truth.columns if name != "No Finding"]
    abnormal = (truth[findings] == 1).any(axis=1)
    ids = [*truth.index[abnormal][:n_abnormal], *truth.index[~abnormal][:n_normal]]
    people = scored.cohort.set_index("image_id")
    scores = scored.predictions.set_index("image_id")
    return [
        Example(
            image=read_image(image_id),
            caption=_caption(people.loc[image_id]),
            report=texts.get(image_id, ""),
            judgements=_judge(scores.loc[image_id], truth.loc[image_id], scored.prompts, findings),
        )
        for image_id in ids
    ]


def headlines(
    scores: pd.DataFrame,
    subgroups: pd.DataFrame,
    *,
    ceiling: pd.DataFrame | None = None,
    shuffled: pd.DataFrame | None = None,
    sensitivity: pd.DataFrame | None = None,
) -> list[Headline]:
    """Return the numbers at the top of the page, each with what it is and is not.

    Args:
        scores: table of AUROCs with the row "mean".
        subgroups: of `disaggregate`.
        ceiling: the scores of the supervised classifier.
        shuffled: the scores after training on shuffled reports.
        sensitivity: of `report_sensitivity`.
    """
    cards = [_mean_card(scores)]
    if ceiling is not None:
        note = "Same image tower, films and time, trained on labels read from the reports."
        cards.append(Headline(label="Supervised", value=_told(mean_auroc(ceiling)), note=note))
    if shuffled is not None:
        note = "The same training on shuffled reports: near 0.5 unless something leaks."
        cards.append(Headline(label="Negative control", value=_told(mean_auroc(shuffled)), note=note))
    confirmatory = subgroups[subgroups["family"] == "confirmatory"]
    cards.append(
        Headline(
            label="Groups that differ",
            value=f"{int(confirmatory['flagged'].sum())} of {len(confirmatory)}",
            note="Mean AUROC, TPR and FPR of a group against everybody else, corrected for all of them.",
        )
    )
    return [*cards, *_worst_reported(sensitivity)]


def _mean_card(scores: pd.DataFrame) -> Headline:
    label, mean = "Mean zero-shot AUROC", _mean_row(scores)
    if math.isnan(mean["auroc"]):
        return Headline(
            label=label, value=_told(math.nan), note="No finding has 30 positives among the held-out films."
        )
    note = (
        f"95 % interval {mean['low']:.3f} to {mean['high']:.3f}, over {count_in_mean(scores)} findings with 30 or more "
        "positives. No label was used in training."
    )
    return Headline(label=label, value=_told(mean["auroc"]), note=note)


def _told(auroc: float) -> str:
    return "too few" if math.isnan(auroc) else f"{auroc:.3f}"


def count_in_mean(scores: pd.DataFrame) -> int:
    """Return how many findings the row "mean" of a score table averages."""
    single = scores[scores["finding"] != MEAN]
    return int(((single["status"] == "ok") & (single["finding"] != "No Finding")).sum())


def mean_auroc(scores: pd.DataFrame) -> float:
    """Return the AUROC of the row "mean"; NaN where no finding had enough images."""
    return float(_mean_row(scores)["auroc"])


def _worst_reported(sensitivity: pd.DataFrame | None) -> list[Headline]:
    """Return the group whose reports fall shortest, if any falls short after correction."""
    if sensitivity is None:
        return []
    short = sensitivity[
        (sensitivity["family"] == "confirmatory") & sensitivity["flagged"] & (sensitivity["shortfall"] > 0)
    ]
    if short.empty:
        note = "No group's reports stand out as mentioning fewer of the findings in its films."
        return [Headline(label="Under-reporting", value="not shown", note=note)]
    worst = short.sort_values("shortfall").iloc[-1]
    note = (
        f"{worst['attribute']} {worst['group']}: findings present in the films but missing from the reports, beyond "
        f"everybody else's; 95 % interval {worst['shortfall_low']:.0%} to {worst['shortfall_high']:.0%}."
    )
    return [Headline(label="Under-reporting", value=f"{worst['shortfall']:.0%}", note=note)]


def _mean_row(scores: pd.DataFrame) -> "pd.Series[Any]":
    return scores[scores["finding"] == MEAN].iloc[0]


def _caption(person: "pd.Series[Any]") -> str:
    age = "age unknown" if pd.isna(person["age_years"]) else f"{person['age_years']:.0f} years"
    view, sex, race = (person[name] or f"{name} unknown" for name in ("view", "sex", "race"))
    return f"{view}, {age}, {sex}, {race}"


def _judge(
    scores: "pd.Series[Any]",
    truth: "pd.Series[Any]",
    prompts: Mapping[str, Mapping[str, Sequence[str]]],
    findings: Sequence[str],
    most: int = 5,
) -> tuple[Judgement, ...]:
    """Return what is present first, then what scored highest of the rest."""
    order = sorted(findings, key=lambda name: (truth[name] != 1, -scores[name]))
    return tuple(
        Judgement(
            finding=name,
            positive=tuple(prompts[name]["positive"]),
            negative=tuple(prompts[name]["negative"]),
            score=float(scores[name]),
            truth=None if pd.isna(truth[name]) else bool(truth[name]),
        )
        for name in order[:most]
    )
