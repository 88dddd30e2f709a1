"""Ensembles: checkpoints scored in turn, their probabilities or features averaged; CheXzero's `ensemble_models`."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

import models
from cohort import open_images
from common.atomic import write_whole
from zero_shot.embeddings import Cache, ModelKey, cached_features, model_key
from zero_shot.features import Phrases, logit_bias, logit_scale, pair_features
from zero_shot.file_names import checkpoint_files
from zero_shot.images import Images, as_images
from zero_shot.prompts import NO_FINDING, PromptSet, from_templates, load_prompts
from zero_shot.scoring import Scoring, refuse_scoring, score_phrases

Averaged = Literal["probabilities", "features"]
"""What an ensemble averages"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One checkpoint of an ensemble: its identity and its scores."""

    path: str
    """Path of the checkpoint"""
    name: str
    """Name of the model"""
    weights: str
    """SHA-256 of the weights"""
    architecture: str
    """SHA-256 of the configuration"""
    preprocessing: Mapping[str, Any]
    """Input of the image tower"""
    logit_scale: float
    """Learned factor on cosines"""
    logit_bias: float | None
    """Learned bias of a model trained with a sigmoid loss, else None"""
    scores: Float[np.ndarray, "n c"]
    """Probabilities"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFeatures:
    """Features of images and phrases by one model, and its factor and bias on their cosines."""

    path: str
    """Path of the checkpoint"""
    name: str
    """Name of the model"""
    key: ModelKey
    """Key of its features"""

    images: Float[Tensor, "n d"]
    """L2-normalised image features"""
    positive: Phrases
    """Positive phrases"""
    negative: Phrases
    """Negative phrases"""
    scale: float
    """Learned factor on cosines"""
    bias: float | None
    """Learned bias, or None"""

    def score(self, scoring: Scoring) -> Float[np.ndarray, "n c"]:
        """Return the probabilities; see `scoring.score_phrases`."""
        return score_phrases(
            self.images, self.positive, self.negative, scoring=scoring, scale=self.scale, bias=self.bias
        )


def in_order(paths: Sequence[str | Path]) -> list[str]:
    """Return checkpoint paths sorted, so that an ensemble does not depend on how it was listed.

    Raises:
        ValueError: no path, or one twice.
    """
    ordered = sorted(str(path) for path in paths)
    if not ordered:
        raise ValueError("checkpoints: wanted at least one, found none")
    twice = [path for path, following in pairwise(ordered) if path == following]
    if twice:
        raise ValueError(f"the checkpoint {twice[0]} is listed twice: it would count double")
    return ordered


def score_ensemble(
    paths: Sequence[str | Path],
    images: Images,
    prompts: PromptSet,
    *,
    scoring: Scoring = "mixture",
    averaged: Averaged = "probabilities",
    cache: Cache | None = None,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> tuple[Float[np.ndarray, "n c"], tuple[Member, ...]]:
    """Return the ensemble's probabilities and its members, scored in sorted order, one model in memory at a time.

    - "probabilities": the mean of the members' probabilities. Members may be any models.
    - "features": the members' features of every image and of every phrase are averaged and normalised again, and scored
      once, with the geometric mean of their logit scales and the mean of their biases. All members must share one
      feature space, as checkpoints of one run do; the axes of two runs are unrelated. Only the architecture is checked.

    Args:
        paths: checkpoints as `models.load` takes them.
        images: the images.
        prompts: the prompts, one column each.
        scoring: see `scoring.score_phrases`.
        averaged: what is averaged.
        cache: where image features are looked up first, and stored.
        batch_size: images per forward pass.
        device: where the models run.
        progress: called with the number of images after every batch.

    Raises:
        FileNotFoundError, ValueError: see `models.load`, `in_order`, `cached_features`, `score_phrases`; members of
            different architectures if features are averaged.
    """
    members: list[Member] = []
    total: ModelFeatures | None = None

    # one model in memory at a time; its features are added up where they are averaged
    for path in in_order(paths):
        one = _encode(
            path, images, prompts, scoring=scoring, cache=cache, batch_size=batch_size, device=device, progress=progress
        )
        if averaged == "features":
            total = one if total is None else _sum(total, one)
        members.append(_member(one, one.score(scoring)))

    if total is None:
        return average([member.scores for member in members]), tuple(members)
    return _mean(total, members).score(scoring), tuple(members)


def average(scores: Sequence[Float[np.ndarray, "n c"]]) -> Float[np.ndarray, "n c"]:
    """Return the mean probability over checkpoints, in float32 as CheXzero computes it."""
    return np.asarray(np.mean(np.stack(list(scores)), axis=0, dtype=np.float32))


def ensemble_models(  # noqa: PLR0917  (CheXzero's signature)
    model_paths: Sequence[str | Path],
    cxr_filepath: str | Path,
    cxr_labels: Sequence[str],
    cxr_pair_template: tuple[str, str],
    cache_dir: str | Path | None = None,
    save_name: str | None = None,
) -> tuple[list[Float[np.ndarray, "n c"]], Float[np.ndarray, "n c"]]:
    """Return every model's probabilities and their mean: CheXzero's function, with its scoring (no logit scale).

    Only the column "No Finding" differs: "no No Finding" is not allowed here, so its phrases come from the shipped set
    "chexzero", with a warning.

    Args:
        model_paths: checkpoints; taken in sorted order.
        cxr_filepath: HDF5 file with images, ours or CheXzero's. All its rows are scored.
        cxr_labels: findings, the columns of the result.
        cxr_pair_template: positive and negative template, such as ("{}", "no {}").
        cache_dir: folder for every model's probabilities, `[save_name_]CHECKPOINT.npy`, and for the image features in
            `[save_name_]embeddings.h5`. The probabilities are written but never read back: CheXzero returned such a
            file even for other labels. The features save the time, for any labels. Two checkpoints called the same get
            more of their path in the name.
        save_name: prefix of these files.

    Raises:
        FileNotFoundError: a checkpoint or the image file is missing.
        ValueError: see `from_templates`, `models.load`, `Images.batches`.

    Source: rajpurkarlab/CheXzero zero_shot.py, `ensemble_models`.
    """
    prompts = _compatible_prompts(cxr_labels, cxr_pair_template)

    prefix = f"{save_name}_" if save_name else ""
    folder = None if cache_dir is None else Path(cache_dir)
    with open_images(cxr_filepath) as store:
        images, cache = as_images(store), None
        if folder is not None:
            cache = Cache(path=folder / f"{prefix}embeddings.h5", images=images.fingerprint())

        mean, members = score_ensemble(
            model_paths, images, prompts, scoring="chexzero", cache=cache, device=models.pick_device()
        )

    if folder is not None:
        for name, member in zip(checkpoint_files([one.path for one in members]), members, strict=True):
            with write_whole(folder / f"{prefix}{name}.npy") as temporary:
                np.save(temporary, member.scores)
    return [member.scores for member in members], mean


def _compatible_prompts(labels: Sequence[str], pair_template: tuple[str, str]) -> PromptSet:
    """Return the templates' prompts, with phrases of its own for "No Finding"."""
    if len(set(labels)) < len(labels):
        raise ValueError(f"a label is named twice: {', '.join(labels)}")
    if NO_FINDING not in labels:
        return from_templates(labels, pair_template)

    declared = load_prompts("chexzero").pairs[NO_FINDING]
    warnings.warn(
        f"{NO_FINDING!r} is scored with phrases of its own ({declared.positive[0]!r}, ...) and not with "
        f"{pair_template[1].replace('{}', NO_FINDING)!r}: its column differs from CheXzero's on purpose",
        stacklevel=3,
    )
    others = [label for label in labels if label != NO_FINDING]
    pairs = {NO_FINDING: declared, **(from_templates(others, pair_template).pairs if others else {})}
    return PromptSet(name="templates", pairs={label: pairs[label] for label in labels})


def _encode(
    path: str,
    images: Images,
    prompts: PromptSet,
    *,
    scoring: Scoring,
    cache: Cache | None,
    batch_size: int,
    device: torch.device | str,
    progress: Callable[[int], object] | None,
) -> ModelFeatures:
    """Load a model, and encode phrases and images."""
    bundle = models.load(path)
    key, bias = model_key(bundle), logit_bias(bundle)
    refuse_scoring(scoring, n_findings=len(prompts.pairs), bias=bias)
    bundle.model.to(device)

    # phrases before images: a phrase that does not fit is reported before the long part
    positive, negative = pair_features(bundle, prompts.pairs.values())
    return ModelFeatures(
        path=path,
        name=bundle.name,
        key=key,
        positive=positive,
        negative=negative,
        images=cached_features(bundle, images, key=key, cache=cache, batch_size=batch_size, progress=progress),
        scale=logit_scale(bundle),
        bias=bias,
    )


def _member(encoded: ModelFeatures, scores: Float[np.ndarray, "n c"]) -> Member:
    """Return a model and its scores without its features."""
    return Member(
        path=encoded.path,
        name=encoded.name,
        weights=encoded.key.weights,
        architecture=encoded.key.architecture,
        preprocessing=encoded.key.preprocessing,
        logit_scale=encoded.scale,
        logit_bias=encoded.bias,
        scores=scores,
    )


def _sum(total: ModelFeatures, other: ModelFeatures) -> ModelFeatures:
    """Add the features of two models of one architecture."""
    if total.key.architecture != other.key.architecture:
        raise ValueError(
            f"features can be averaged over checkpoints of one run only; {total.path} and {other.path} have different "
            "architectures; average probabilities instead"
        )
    return replace(
        total,
        images=total.images + other.images,
        positive=total.positive._replace(features=total.positive.features + other.positive.features),
        negative=total.negative._replace(features=total.negative.features + other.negative.features),
    )


def _mean(total: ModelFeatures, members: Sequence[Member]) -> ModelFeatures:
    """Return the features, scale and bias of the ensemble from the sums over its members."""
    biases = [member.logit_bias for member in members if member.logit_bias is not None]
    return replace(
        total,
        images=normalize(total.images, dim=-1),
        positive=total.positive._replace(features=normalize(total.positive.features, dim=-1)),
        negative=total.negative._replace(features=normalize(total.negative.features, dim=-1)),
        scale=float(np.exp(np.mean(np.log([member.logit_scale for member in members])))),
        bias=float(np.mean(biases)) if len(biases) == len(members) else None,
    )
