"""The specification of an evaluation: everything that its numbers depend on, as one JSON object with a hash."""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cohort import ImageStore, group_table, parse_groups
from common.versions import package_versions
from metrics.threshold_policy import thresholds_to_json
from zero_shot.auroc_table import VERSIONS
from zero_shot.ensemble import Averaged, Member
from zero_shot.evaluation.decision_rule import read_thresholds
from zero_shot.images import Images
from zero_shot.prompts import NO_FINDING, PromptSet
from zero_shot.protocols import find_readings
from zero_shot.select import ValidationImages, labels_fingerprint, sha256_of
from zero_shot.zero_shot_config import ZeroShotConfig

SPEC_VERSION = 4
PACKAGES = ("torch", "open_clip_torch", "transformers", "numpy", "scipy", "scikit-learn", "pandas")
OF_ALTERNATIVES, OF_FEATURES = "mean of exp(cosine / temperature)", "normalise, mean, normalise"
OF_CHECKPOINTS = {"probabilities": "mean of probabilities in float32", "features": OF_FEATURES}
ORDER = {
    "probabilities": ["phrases", "positive against negative", "checkpoints"],
    "features": ["checkpoints", "phrases", "positive against negative"],
}
"""What is averaged or compared first, second and last"""
POSITIVE_ONLY = ("single", "sigmoid")
NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt_set": (),
    "images": ("split", "views"),
    "labels": ("source", "uncertainty_policy", "blank_is_zero"),
    "decisions": ("fitted_on.split",),
}
"""Block -> entries that only name what other entries hold as content, so that they are not hashed; (): all of it"""
SHOWN = 60
"""Longest value shown in an error, characters"""


def spec_of_run(
    config: ZeroShotConfig,
    members: Sequence[Member],
    *,
    prompts: PromptSet,
    store: ImageStore,
    images: Images,
    chosen: pd.DataFrame,
    truth: pd.DataFrame,
    validation: ValidationImages | None,
    headline: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return `build_spec` of a run of `run_zero_shot.py`.

    Args:
        config: the configuration, completed by the protocol if there is one.
        members: the checkpoints that were scored.
        prompts: their prompts.
        store: the store of the images.
        images: the scored images.
        chosen: their cohort rows.
        truth: their labels.
        validation: the images on which thresholds and calibration were fitted.
        headline: the findings of the protocol's headline, if there is one.
    """
    thresholds = None if config.thresholds is None else read_thresholds(config.thresholds, prompts.findings)
    fitted = validation is not None
    # source and blanks as `choose_labels` resolves them
    source = "cohort" if config.truth_filepath is None else "truth file"
    blank_is_zero = config.truth_filepath is None if config.blank_is_zero is None else config.blank_is_zero

    spec = build_spec(
        members,
        prompts,
        scoring=config.scoring,
        averaged=config.ensemble,
        images={
            "split": config.split,
            "views": config.views,
            "n": len(images),
            "fingerprint": images.fingerprint(),
            "resize_rule": store.attributes.get("resize_rule"),
            "resolution": store.resolution,
        },
        labels={
            "fingerprint": labels_fingerprint(truth),
            "patients": sha256_of(chosen["subject_id"].tolist()),
            "source": source,
            "uncertainty_policy": config.uncertainty_policy,
            "blank_is_zero": blank_is_zero,
        },
        interval={"unit": "patient", "replicates": config.n_replicates, "seed": config.seed, "level": 0.95},
        decisions={
            "policy": config.threshold_policy if fitted and thresholds is None else None,
            "calibration": config.calibration if fitted else None,
            "thresholds": None if thresholds is None else thresholds_to_json(thresholds),
            "fitted_on": {"split": config.fit_split, **validation.to_json()} if validation else None,
            "readers": None if config.readers is None else [sha256_of_file(p) for p in find_readings(config.readers)],
        },
        subgroups={
            "groups": list(config.groups),
            "fingerprint": labels_fingerprint(group_table(chosen, [parse_groups(text) for text in config.groups])),
        },
        headline=headline,
    )
    spec["provenance"]["datasets"] = sorted(set(chosen["dataset"]) - {""})
    return spec


def build_spec(
    members: Sequence[Member],
    prompts: PromptSet,
    *,
    scoring: str,
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    interval: Mapping[str, Any],
    averaged: Averaged = "probabilities",
    decisions: Mapping[str, Any] | None = None,
    subgroups: Mapping[str, Any] | None = None,
    headline: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the specification as in `spec.json`, without its blocks `exposure` and `protocol`.

    `hash` covers only the block `evaluation`: the same weights, pixels, prompts and rules give the same hash, whatever
    the paths and versions, which are in `provenance`.

    Args:
        members: the checkpoints that were scored.
        prompts: their prompts.
        scoring: see `scoring.probabilities`.
        images: split, views, number of images, the fingerprint of their pixels and ids, and the side of the stored
            images; the side that each model reads is part of its preprocessing.
        labels: source of the labels, and the policies for uncertain and blank ones.
        interval: unit, replicates, seed and level of the bootstrap.
        averaged: quantity averaged over checkpoints.
        decisions: how thresholds and calibration were fitted, and on which images and labels.
        subgroups: attributes of the subgroup table, and the fingerprint of the groups of every image.
        headline: findings of the protocol's headline.
    """
    models = [
        {
            "weights": m.weights,
            "architecture": m.architecture,
            "preprocessing": dict(m.preprocessing),
            "logit_scale": m.logit_scale,
            "logit_bias": m.logit_bias,
        }
        for m in members
    ]

    # the hash covers this block: whatever changes a number belongs here, and nothing else
    evaluation = {
        "version": SPEC_VERSION,
        "models": models,
        "scoring": scoring,
        "temperature": [1.0 if scoring in ("chexzero", "single") else 1 / m.logit_scale for m in members],
        "logit_bias": [m.logit_bias if scoring == "sigmoid" else None for m in members],
        "aggregation": {
            "phrases": OF_ALTERNATIVES if scoring == "mixture" else OF_FEATURES,
            "negative_phrases": "not used" if scoring in POSITIVE_ONLY else "used",
            "checkpoints": OF_CHECKPOINTS[averaged],
            "order": ORDER[averaged],
        },
        "no_finding": (
            {"prompts": "its own, never a negation of its name", "in_mean": False}
            if NO_FINDING in prompts.pairs
            else "not scored"
        ),
        "metrics": dict(VERSIONS),
        "prompt_set": prompts.name,
        "findings": list(prompts.findings),
        "prompts": prompts.to_json(),
        "images": dict(images),
        "labels": dict(labels),
        "interval": dict(interval),
        "decisions": dict(decisions or {}),
        "subgroups": dict(subgroups or {}),
        "headline": dict(headline or {}),
    }

    return {
        "hash": hash_of(evaluation),
        "evaluation": evaluation,
        "provenance": {
            "checkpoints": [{"path": m.path, "name": m.name} for m in members],
            "python": platform.python_version(),
            "versions": package_versions(PACKAGES),
        },
    }


def hash_of(evaluation: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a specification's `evaluation` block, without NAMES, whatever the order of its keys.

    Specifications of version 3 and before were hashed with their names.
    """
    hashed = evaluation if evaluation.get("version", 0) < 4 else _without_names(evaluation)
    return hashlib.sha256(json.dumps(hashed, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _without_names(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    hashed = json.loads(json.dumps(evaluation, allow_nan=False))
    for block, entries in NAMES.items():
        if not entries:
            hashed.pop(block, None)
        for entry in entries:
            *inner, name = entry.split(".")
            where = hashed.get(block) or {}
            for step in inner:
                where = where.get(step) or {}
            where.pop(name, None)
    return dict(hashed)


def differing(first: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the path of every entry that differs, and both values; "(absent)" if one side lacks it."""
    if isinstance(first, Mapping) and isinstance(other, Mapping):
        for key in sorted({*first, *other}):
            inner = f"{path}.{key}" if path else key
            yield from differing(first.get(key, "(absent)"), other.get(key, "(absent)"), inner)
    elif isinstance(first, list) and isinstance(other, list) and len(first) == len(other):
        for place, (a, b) in enumerate(zip(first, other, strict=True)):
            yield from differing(a, b, f"{path}.{place}")
    elif first != other:
        yield path, first, other


def shown(value: Any) -> str:
    """Return a value as an error shows it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
