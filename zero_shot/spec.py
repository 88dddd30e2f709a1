"""The evaluation specification: everything that a zero-shot number depends on, in one JSON with a hash."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from zero_shot.ensemble import Member
from zero_shot.prompts import PromptSet

SPEC_VERSION = 2
PACKAGES = ("torch", "open_clip_torch", "numpy", "pandas")
OF_ALTERNATIVES, OF_FEATURES = "mean of exp(cosine / temperature)", "normalise, mean, normalise"


def build_spec(
    members: Sequence[Member],
    prompts: PromptSet,
    *,
    scoring: str,
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    interval: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the specification as it is written to `spec.json`, but for its block `exposure` (`exposure.Stamped`).

    `hash` covers the block `evaluation` only: the same weights, pixels, prompts and rules give the same hash wherever
    the files lie and whatever the versions are, which stand beside it in `provenance`.

    Args:
        members: the checkpoints that were scored.
        prompts: their prompts.
        scoring: see `scoring.probabilities`.
        images: split, views, number of images and the fingerprint of their pixels and ids.
        labels: where labels come from and the policies for uncertain and blank ones.
        interval: unit, replicates, seed and level of the bootstrap.
    """
    evaluation = {
        "version": SPEC_VERSION,
        "models": [
            {"weights": m.weights, "preprocessing": m.preprocessing, "logit_scale": m.logit_scale} for m in members
        ],
        "scoring": scoring,
        "temperature": [1 / m.logit_scale if scoring in ("mixture", "temperature") else 1.0 for m in members],
        "aggregation": {
            "phrases": OF_ALTERNATIVES if scoring == "mixture" else OF_FEATURES,
            "checkpoints": "mean of probabilities in float32",
        },
        "prompt_set": prompts.name,
        "findings": list(prompts.findings),
        "prompts": prompts.to_json(),
        "images": dict(images),
        "labels": dict(labels),
        "interval": dict(interval),
    }
    return {
        "hash": hash_of(evaluation),
        "evaluation": evaluation,
        "provenance": {
            "checkpoints": [{"path": m.path, "name": m.name} for m in members],
            "python": platform.python_version(),
            "versions": {package: version(package) for package in PACKAGES},
        },
    }


def hash_of(evaluation: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a specification's `evaluation` block, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(evaluation, sort_keys=True, allow_nan=False).encode()).hexdigest()
