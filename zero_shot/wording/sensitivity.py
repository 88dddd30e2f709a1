"""Prompt sensitivity: how much an AUROC depends on the wording of the prompt, beside its interval over patients.

An AUROC is published for one prompt, with an interval for the choice of patients. The choice among prompts of the same
meaning is as arbitrary. Here each prompt of each family is scored on image features that were computed once, and the
range over prompts stands beside the interval over patients.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

import metrics
import models
from common.atomic import write_whole
from metrics.evidence import MEAN, NOT_IN_MEAN
from zero_shot.auroc_table import metrics_table
from zero_shot.features import Phrases, logit_scale, phrase_features
from zero_shot.scoring import score_phrases
from zero_shot.select import refuse_unknown, rows_by_id
from zero_shot.wording.families import Prompt, PromptFamily
from zero_shot.wording.flips import rank_flips

COLUMNS = ("finding", "family", "style", "term", "prompt", "auroc", "is_default")

Prompts = Mapping[str, tuple[Prompt, ...]]
"""Finding -> its prompts"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFeatures:
    """Features of images and phrases by one model: enough to score any prompt made of these phrases."""

    image_ids: tuple[str, ...]
    """Image of every row of `images`"""
    images: Float[Tensor, "n d"]
    """L2-normalised image features"""
    phrases: tuple[str, ...]
    """Distinct phrases"""
    texts: Float[Tensor, "k d"]
    """L2-normalised features of the phrases"""
    scale: float
    """The model's logit scale"""

    def score(self, prompts: Sequence[Prompt]) -> Float[np.ndarray, "n v"]:
        """Return the probability of a finding in every image by each of v prompts, by the scoring "mixture".

        Raises:
            ValueError: a phrase that was not encoded.
        """
        places = {phrase: row for row, phrase in enumerate(self.phrases)}
        used = list(dict.fromkeys(chain.from_iterable((*p.pair.positive, *p.pair.negative) for p in prompts)))
        unknown = [phrase for phrase in used if phrase not in places]
        if unknown:
            raise ValueError(
                f"{len(unknown)} phrases have no feature, first {unknown[0]!r}: encode these prompts first"
            )

        texts = self.texts[torch.tensor([places[phrase] for phrase in used])]
        row = {phrase: k for k, phrase in enumerate(used)}
        sides = ([p.pair.positive for p in prompts], [p.pair.negative for p in prompts])
        positive, negative = ([[row[phrase] for phrase in phrases] for phrases in side] for side in sides)
        return score_phrases(self.images, Phrases(texts, positive), Phrases(texts, negative), scale=self.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Tables of the sensitivity to prompts."""

    prompts: pd.DataFrame
    """One row per model, finding and prompt: model, finding, family, style, term, prompt, auroc, is_default; the
    mean has one row per style"""
    summary: pd.DataFrame
    """One row per model and finding, and for the mean; see `prompt_sensitivity`"""
    flips: pd.DataFrame
    """One row per pair of models and finding, see `rank_flips`; empty for one model"""

    def write(self, folder: Path) -> None:
        """Write prompts.csv, prompt_sensitivity.csv and rank_flips.csv into `folder`."""
        tables = {"prompts": self.prompts, "prompt_sensitivity": self.summary, "rank_flips": self.flips}
        for name, table in tables.items():
            with write_whole(folder / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False, lineterminator="\n")


def all_prompts(families: Sequence[PromptFamily], findings: Sequence[str]) -> dict[str, tuple[Prompt, ...]]:
    """Return every prompt of every family for each finding.

    Raises:
        ValueError: no family, a family listed twice, or a family without prompts for a finding.
    """
    names = [family.name for family in families]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"wanted prompt families of different names, found {names}")
    return {finding: tuple(chain.from_iterable(f.prompts(finding) for f in families)) for finding in findings}


def encode_prompts(
    bundle: models.Bundle, images: Float[Tensor, "n d"], image_ids: Sequence[str], prompts: Prompts
) -> PromptFeatures:
    """Return the image features and the features of every distinct phrase, encoded once.

    Raises:
        ValueError: see `phrase_features`.
    """
    pairs = [prompt.pair for own in prompts.values() for prompt in own]
    phrases = tuple(dict.fromkeys(chain.from_iterable((*pair.positive, *pair.negative) for pair in pairs)))
    texts, _ = phrase_features(bundle, [phrases])
    return PromptFeatures(
        image_ids=tuple(image_ids), images=images, phrases=phrases, texts=texts, scale=logit_scale(bundle)
    )


def prompt_sensitivity(
    encoded: Mapping[str, PromptFeatures],
    prompts: Prompts,
    truth: pd.DataFrame,
    subject_ids: Sequence[str],
    *,
    default: str = "radiologist",
    n_replicates: int = 1000,
    seed: int = 0,
) -> Sensitivity:
    """Return AUROCs by prompt, their range per finding beside the sampling interval, and the models' rank flips.

    `summary` has per model and finding: n_prompts; min, median, max over prompts and spread = max - min; worst_prompt
    and best_prompt; bound, the worst-prompt bound; auroc, low, high of the default prompt with its interval over
    patients, and width = high - low; larger, the larger of spread and width ("prompts" or "sampling"); status and
    reason as in `metrics_table`.

    The row `mean` is over findings of status `ok` without "No Finding". Its prompts are styles: one choice of family
    and templates for all findings, each with its first term. Its bound is the mean of the findings' own minima: no
    choice of these prompts gives a lower mean, even if made per finding.

    Args:
        encoded: model name -> its features, of the same images for every model, in any order.
        prompts: finding -> prompts, as from `all_prompts`.
        truth: image_id and the findings in {1, 0, NaN}.
        subject_ids: patient of every row of `truth`.
        default: the family whose pooled prompt is the default.
        n_replicates: bootstrap resamples of patients, one draw for all models and findings.
        seed: seed of the resampling.

    Raises:
        ValueError: no model or finding, a finding without truth, images that differ, a default family without prompts;
            see also `metrics_table`.
    """
    if not encoded or not prompts:
        raise ValueError(f"wanted models and findings; found {len(encoded)} models, {len(prompts)} findings")
    refuse_unknown(truth, prompts)
    findings, ids = list(prompts), truth["image_id"].tolist()
    chosen = {finding: _last_of(default, own, finding) for finding, own in prompts.items()}

    tables, summaries, defaults = [], [], {}
    for model, features in encoded.items():
        # scores of every prompt, (n, v) per finding, in the order of the truth
        rows = rows_by_id(features.image_ids, ids)
        scores = {finding: features.score(own)[rows] for finding, own in prompts.items()}
        aurocs = {finding: _aurocs(truth[finding].to_numpy(np.float64), own) for finding, own in scores.items()}

        # the default prompt has the interval over patients
        defaults[model] = pd.DataFrame({"image_id": ids} | {f: scores[f][:, chosen[f]] for f in findings})
        sampling = metrics_table(
            defaults[model], truth, subject_ids, findings=findings, n_replicates=n_replicates, seed=seed
        )

        in_mean = [f for f in sampling.loc[sampling["status"] == "ok", "finding"] if f not in {MEAN, *NOT_IN_MEAN}]
        rows_of_model = [*_of_findings(prompts, aurocs, chosen), *_of_mean(prompts, aurocs, chosen, in_mean)]
        tables.append(pd.DataFrame(rows_of_model).assign(model=model)[["model", *COLUMNS]])
        summaries.append(_summary(tables[-1], sampling, in_mean))

    # one draw of patients for all models, so that their differences are paired
    long = pd.concat(tables, ignore_index=True)
    weights = metrics.patient_weights(subject_ids, n_replicates, np.random.default_rng(seed))
    resampled = {} if len(encoded) == 1 else {m: _resample(own, truth, weights, in_mean) for m, own in defaults.items()}
    return Sensitivity(prompts=long, summary=pd.concat(summaries, ignore_index=True), flips=rank_flips(long, resampled))


def _last_of(family: str, prompts: Sequence[Prompt], finding: str) -> int:
    """Return the place of a family's last prompt, which is its pooled one."""
    places = [place for place, prompt in enumerate(prompts) if prompt.family == family]
    if not places:
        found = ", ".join(dict.fromkeys(prompt.family for prompt in prompts))
        raise ValueError(f"the default family {family!r} has no prompt for {finding!r}; families: {found}")
    return places[-1]


def _aurocs(labels: Float[np.ndarray, "n"], scores: Float[np.ndarray, "n v"]) -> Float[np.ndarray, "v"]:
    """Return the AUROC of each prompt's scores against one finding's labels."""
    repeated = np.repeat(labels[:, None], scores.shape[1], axis=1)
    replicates = metrics.auroc_matrix(repeated, scores, metrics.unit_weights(len(labels)))
    return replicates.ravel()


def _of_findings(
    prompts: Prompts, aurocs: Mapping[str, Float[np.ndarray, "v"]], chosen: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Yield one row per finding and prompt."""
    for finding, own in prompts.items():
        for place, prompt in enumerate(own):
            yield {
                "finding": finding,
                "family": prompt.family,
                "style": prompt.style,
                "term": prompt.term,
                "prompt": str(prompt),
                "auroc": aurocs[finding][place],
                "is_default": place == chosen[finding],
            }


def _of_mean(
    prompts: Prompts,
    aurocs: Mapping[str, Float[np.ndarray, "v"]],
    chosen: Mapping[str, int],
    in_mean: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Yield the mean AUROC of each style; a finding without the style takes its family's last prompt."""
    styles = dict.fromkeys((prompt.family, prompt.style) for finding in in_mean for prompt in prompts[finding])
    for family, style in styles:
        places = {}
        for finding in in_mean:
            own = prompts[finding]
            alike = [place for place, prompt in enumerate(own) if (prompt.family, prompt.style) == (family, style)]
            places[finding] = alike[0] if alike else _last_of(family, own, finding)

        yield {
            "finding": MEAN,
            "family": family,
            "style": style,
            "term": "",
            "prompt": f"{family}: {style}",
            "auroc": float(np.mean([aurocs[finding][place] for finding, place in places.items()])),
            "is_default": all(place == chosen[finding] for finding, place in places.items()),
        }


def _summary(table: pd.DataFrame, sampling: pd.DataFrame, in_mean: Sequence[str]) -> pd.DataFrame:
    """Return one model's range over prompts beside the interval over patients."""
    rows = []
    minima = table.groupby("finding")["auroc"].min()
    for row in sampling.to_dict("records"):
        own = table.loc[table["finding"] == row["finding"]].set_index("prompt")["auroc"]
        defined = own.dropna()
        low, high = defined.min(), defined.max()
        width = row["high"] - row["low"]
        of_mean = row["finding"] == MEAN

        rows.append(
            {
                "model": table["model"].iloc[0],
                "finding": row["finding"],
                "n_prompts": len(own),
                "min": low,
                "median": defined.median(),
                "max": high,
                "spread": high - low,
                "bound": minima[list(in_mean)].mean() if of_mean else low,
                "worst_prompt": defined.idxmin() if len(defined) else "",
                "best_prompt": defined.idxmax() if len(defined) else "",
                **{key: row[key] for key in ("auroc", "low", "high")},
                "width": width,
                "larger": "" if np.isnan(width) else "prompts" if high - low > width else "sampling",
                **{key: row[key] for key in ("status", "reason")},
            }
        )
    return pd.DataFrame(rows)


def _resample(
    scores: pd.DataFrame, truth: pd.DataFrame, weights: metrics.ReplicateWeights, in_mean: Sequence[str]
) -> dict[str, Float[np.ndarray, "r"]]:
    """Return the AUROC of each finding in every replicate, and of the mean if there is one."""
    findings = [column for column in scores if column != "image_id"]
    replicates = metrics.auroc_matrix(truth[findings].to_numpy(np.float64), scores[findings].to_numpy(), weights)
    named = dict(zip(findings, replicates.T, strict=True))
    return named | ({MEAN: np.mean([named[finding] for finding in in_mean], axis=0)} if in_mean else {})
