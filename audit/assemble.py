"""From the tables of an evaluation to parts of its report: headline numbers in honest words, and example films."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from audit.page import ExampleFilm, FindingScore, Headline
from metrics.evidence import MEAN, MIN_N, NOT_IN_MEAN

ReadImage = Callable[[str], UInt8[np.ndarray, "h w"]]
"""image_id -> pixels."""
SEEN = {"clean": "no", "exposed": "yes", "unknown": "unknown"}
"""Stamp of the exposure -> the answer to: were these films seen in training?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImages:
    """The scored films, joined by image_id."""

    predictions: pd.DataFrame
    """image_id and a score per finding"""
    truth: pd.DataFrame
    """image_id and the findings as 1, 0 or blank"""
    cohort: pd.DataFrame
    """Cohort rows: image_id, view, age_years, sex, race"""
    prompts: Mapping[str, Mapping[str, Sequence[str]]]
    """Finding -> "positive" and "negative" phrases"""


def choose_examples(
    scored: ScoredImages, texts: Mapping[str, str], read_image: ReadImage, *, n_abnormal: int = 4, n_normal: int = 2
) -> list[ExampleFilm]:
    """Return a few films with their reports and scores: the first by image_id, never chosen by their scores.

    The films are copied into the page. Use this for simulated or openly licensed archives only: the terms of
    credentialed archives forbid to pass films and reports on.

    Args:
        scored: the films to choose from.
        texts: image_id -> report text; a film without one is shown without.
        read_image: gives the pixels.
        n_abnormal: films with at least one finding.
        n_normal: films without any.
    """
    truth = scored.truth.set_index("image_id").sort_index()
    findings = [name for name in truth.columns if name not in NOT_IN_MEAN]
    abnormal = (truth[findings] == 1).any(axis=1)
    ids = [*truth.index[abnormal][:n_abnormal], *truth.index[~abnormal][:n_normal]]

    people = scored.cohort.set_index("image_id")
    scores = scored.predictions.set_index("image_id")
    return [
        ExampleFilm(
            image=read_image(image_id),
            caption=_caption(people.loc[image_id]),
            report=texts.get(image_id, ""),
            scores=_finding_scores(scores.loc[image_id], truth.loc[image_id], scored.prompts, findings),
        )
        for image_id in ids
    ]


def headlines(
    scores: pd.DataFrame, subgroups: pd.DataFrame, *, exposure: Mapping[str, Any] | None = None
) -> list[Headline]:
    """Return the numbers at the top of every evaluation's page, each with what it is and is not.

    Args:
        scores: table of AUROCs with the row "mean".
        subgroups: of `disaggregate`.
        exposure: stamp and number of images by reason; None: nothing is said of it.
    """
    cards = [_mean_card(scores), _group_card(subgroups)]
    return cards if exposure is None else [*cards, _exposure_card(exposure)]


def simulated_headlines(
    *, ceiling: pd.DataFrame, shuffled: pd.DataFrame | None, sensitivity: pd.DataFrame
) -> list[Headline]:
    """Return the numbers that only a simulated archive has.

    Args:
        ceiling: the scores of the supervised classifier.
        shuffled: the scores after training on shuffled reports; None: there was no such training.
        sensitivity: of `report_sensitivity`.
    """
    note = "Same image tower, films and passes, trained on labels read from the reports."
    cards = [Headline(label="Supervised", value=_auroc_text(mean_auroc(ceiling)), note=note)]
    if shuffled is not None:
        note = "The same training on shuffled reports: near 0.5 unless something leaks."
        cards.append(Headline(label="Negative control", value=_auroc_text(mean_auroc(shuffled)), note=note))
    return [*cards, _under_reporting_card(sensitivity)]


def count_in_mean(scores: pd.DataFrame) -> int:
    """Return how many findings the row "mean" of a score table averages."""
    single = scores[scores["finding"] != MEAN]
    return int(((single["status"] == "ok") & ~single["finding"].isin(NOT_IN_MEAN)).sum())


def mean_auroc(scores: pd.DataFrame) -> float:
    """Return the AUROC of the row "mean"; NaN where no finding had enough images."""
    return float(_mean_row(scores)["auroc"])


def _mean_card(scores: pd.DataFrame) -> Headline:
    label, mean = "Mean zero-shot AUROC", _mean_row(scores)
    if math.isnan(mean["auroc"]):
        note = f"No finding has {MIN_N} positives and {MIN_N} negatives among these films."
        return Headline(label=label, value=_auroc_text(math.nan), note=note)

    n_findings = count_in_mean(scores)
    findings = "1 finding" if n_findings == 1 else f"{n_findings} findings"
    interval = "" if math.isnan(mean["low"]) else f"95 % interval {mean['low']:.3f} to {mean['high']:.3f}, "
    note = f"{interval}over {findings} with {MIN_N} or more positives. Labels judge the scores; they do not make them."
    return Headline(label=label, value=_auroc_text(mean["auroc"]), note=note)


def _group_card(subgroups: pd.DataFrame) -> Headline:
    confirmatory = subgroups[subgroups["family"] == "confirmatory"]
    label = "Groups that differ"
    if confirmatory.empty:
        return Headline(
            label=label, value="not tested", note="No group had enough films and patients for a comparison."
        )
    return Headline(
        label=label,
        value=f"{int(confirmatory['flagged'].sum())} of {len(confirmatory)}",
        note="Comparisons of a group with everybody else (mean AUROC, TPR, FPR), corrected for their number.",
    )


def _exposure_card(exposure: Mapping[str, Any]) -> Headline:
    reasons = [f"{count:,} films: {reason}" for reason, count in exposure["images"].items()]
    more = f"; {len(reasons) - 1} more below" if len(reasons) > 1 else ""
    return Headline(label="Seen in training", value=SEEN[exposure["stamp"]], note="".join(reasons[:1]) + more)


def _under_reporting_card(sensitivity: pd.DataFrame) -> Headline:
    """Return the group whose reports fall shortest, if any falls short after correction."""
    label = "Under-reporting"
    short = sensitivity[
        (sensitivity["family"] == "confirmatory") & sensitivity["flagged"] & (sensitivity["shortfall"] > 0)
    ]
    if short.empty:
        note = "No group's reports were shown to mention fewer of the findings in its films."
        return Headline(label=label, value="not shown", note=note)

    worst = short.sort_values("shortfall").iloc[-1]
    note = (
        f"{worst['attribute']} {worst['group']}: findings in the films that the reports leave out, beyond what "
        f"everybody else's leave out; 95 % interval {worst['shortfall_low']:.0%} to {worst['shortfall_high']:.0%}."
    )
    return Headline(label=label, value=f"{worst['shortfall']:.0%}", note=note)


def _auroc_text(auroc: float) -> str:
    return "too few" if math.isnan(auroc) else f"{auroc:.3f}"


def _mean_row(scores: pd.DataFrame) -> "pd.Series[Any]":
    return scores[scores["finding"] == MEAN].iloc[0]


def _caption(person: "pd.Series[Any]") -> str:
    age = "age unknown" if pd.isna(person["age_years"]) else f"{person['age_years']:.0f} years"
    view, sex, race = (person[name] or f"{name} unknown" for name in ("view", "sex", "race"))
    return f"{view}, {age}, {sex}, {race}"


def _finding_scores(
    scores: "pd.Series[Any]",
    truth: "pd.Series[Any]",
    prompts: Mapping[str, Mapping[str, Sequence[str]]],
    findings: Sequence[str],
    most: int = 5,
) -> tuple[FindingScore, ...]:
    """Return the findings that are present first, then the highest scores of the others."""
    order = sorted(findings, key=lambda name: (truth[name] != 1, -scores[name]))
    return tuple(
        FindingScore(
            finding=name,
            positive=tuple(prompts[name]["positive"]),
            negative=tuple(prompts[name]["negative"]),
            score=float(scores[name]),
            truth=None if pd.isna(truth[name]) else bool(truth[name]),
        )
        for name in order[:most]
    )
