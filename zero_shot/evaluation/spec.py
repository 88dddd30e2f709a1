"""The specification of an evaluation: everything that its numbers depend on, as one JSON object with a hash."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cohort import ImageStore
from common.versions import package_versions
from zero_shot.auroc_table import VERSIONS
from zero_shot.ensemble import Averaged, Member
from zero_shot.images import Images
from zero_shot.prompts import NO_FINDING, PromptSet
from zero_shot.select import ValidationImages, labels_fingerprint
from zero_shot.zero_shot_config import ZeroShotConfig

SPEC_VERSION = 3
PACKAGES = ("torch", "open_clip_torch", "transformers", "numpy", "scipy", "scikit-learn", "pandas")
OF_ALTERNATIVES, OF_FEATURES = "mean of exp(cosine / temperature)", "normalise, mean, normalise"
OF_CHECKPOINTS = {"probabilities": "mean of probabilities in float32", "features": OF_FEATURES}
ORDER = {
    "probabilities": ["phrases", "positive against negative", "checkpoints"],
    "features": ["checkpoints", "phrases", "positive against negative"],
}
"""What is averaged or compared first, second and last"""
POSITIVE_ONLY = ("single", "sigmoid")


def spec_of_run(
    config: ZeroShotConfig,
    members: Sequence[Member],
    prompts: PromptSet,
    *,
    store: ImageStore,
    images: Images,
    truth: pd.DataFrame,
    validation: ValidationImages | None,
) -> dict[str, Any]:
    """Return `build_spec` of a run of `run_zero_shot.py`.

    Args:
        config: the configuration, completed by the protocol if there is one.
        members: the checkpoints that were scored.
        prompts: their prompts.
        store: the store of the images.
        images: the scored images.
        truth: their labels.
        validation: the images on which thresholds and calibration were fitted.
    """
    # source and blanks as `choose_labels` resolves them
    source = "cohort" if config.truth_filepath is None else "truth file"
    blank_is_zero = config.truth_filepath is None if config.blank_is_zero is None else config.blank_is_zero

    return build_spec(
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
            "source": source,
            "uncertainty_policy": config.uncertainty_policy,
            "blank_is_zero": blank_is_zero,
        },
        interval={"unit": "patient", "replicates": config.n_replicates, "seed": config.seed, "level": 0.95},
        decisions={
            "policy": config.threshold_policy,
            "calibration": config.calibration,
            "thresholds_file": config.thresholds is not None,
            "fitted_on": {"split": config.fit_split, **validation.to_json()} if validation else None,
        },
    )


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
    """Return the SHA-256 of a specification's `evaluation` block, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(evaluation, sort_keys=True, allow_nan=False).encode()).hexdigest()
