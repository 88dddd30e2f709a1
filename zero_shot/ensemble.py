"""Several checkpoints scored in turn and averaged; CheXzero's `ensemble_models`, with a cache that checks."""

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import models
from atomic import write_json, write_whole
from cohort import open_images
from zero_shot.features import image_features, logit_scale, pick_device
from zero_shot.images import Images, as_images
from zero_shot.prompts import NO_FINDING, PromptSet, from_templates, load_prompts
from zero_shot.scoring import Scoring, score_features

CACHE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One checkpoint of an ensemble: what it is and what it said."""

    path: str
    """Where it was loaded from."""
    name: str
    """What it calls itself."""
    weights: str
    """SHA-256 of its weights."""
    preprocessing: dict[str, Any]
    """What its image tower reads."""
    logit_scale: float
    """Learned factor on cosines."""
    scores: Float[np.ndarray, "n c"]
    """Its probabilities."""


def in_order(paths: Sequence[str | Path]) -> list[str]:
    """Return checkpoint paths sorted, so that an ensemble does not depend on how it was listed.

    Raises:
        ValueError: no path, or one twice.
    """
    ordered = sorted(str(path) for path in paths)
    if not ordered:
        raise ValueError("no checkpoint to score with: give at least one")
    twice = [path for path, following in pairwise(ordered) if path == following]
    if twice:
        raise ValueError(f"the checkpoint {twice[0]} is listed twice: it would count double")
    return ordered


def score_checkpoints(
    paths: Sequence[str | Path],
    images: Images,
    prompts: PromptSet,
    *,
    scoring: Scoring = "mixture",
    batch_size: int = 64,
    device: str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> tuple[Member, ...]:
    """Score with each checkpoint, in sorted order, holding one in memory at a time.

    Raises:
        FileNotFoundError, ValueError: see `models.load`, `in_order`, `scoring.score_features`.
    """
    members = []
    for path in in_order(paths):
        bundle = models.load(path)
        bundle.model.to(device)
        encoded = image_features(bundle, images, batch_size=batch_size, progress=progress)
        members.append(_member(path, bundle, score_features(bundle, encoded, prompts, scoring=scoring)))
    return tuple(members)


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

    "No Finding" is the one column that differs: "no No Finding" cannot be asked here, so that its phrases come from
    the shipped set "chexzero" and a warning says so.

    Args:
        model_paths: checkpoints; taken in sorted order.
        cxr_filepath: HDF5 file with images, ours or CheXzero's. All its rows are scored.
        cxr_labels: findings, the columns of the result.
        cxr_pair_template: positive and negative template, such as ("{}", "no {}").
        cache_dir: folder for `[save_name_]CHECKPOINT.npy`, one per model. A file is used only if the JSON beside it has
            the fingerprint of these weights, pixels, prompts and preprocessing.
        save_name: prefix of the cache files.

    Raises:
        FileNotFoundError: a checkpoint or the image file is missing.
        ValueError: see `from_templates`, `models.load`, `Images.batches`.

    Source: rajpurkarlab/CheXzero zero_shot.py, `ensemble_models`.
    """
    prompts = _compatible_prompts(cxr_labels, cxr_pair_template)
    with open_images(cxr_filepath) as store:
        images = as_images(store)
        pixels = images.fingerprint() if cache_dir is not None else ""
        scores = []
        for path in in_order(model_paths):
            bundle = models.load(path)
            bundle.model.to(pick_device())
            stem = f"{save_name}_{Path(path).stem}" if save_name else Path(path).stem
            cache = None if cache_dir is None else Path(cache_dir) / f"{stem}.npy"
            key = _cache_key(bundle, pixels, prompts) if cache is not None else ""
            found = _read_cache(cache, key) if cache is not None else None
            if found is None:
                found = score_features(bundle, image_features(bundle, images), prompts, scoring="chexzero")
                if cache is not None:
                    _write_cache(cache, key, found)
            scores.append(found)
    return scores, average(scores)


def _compatible_prompts(labels: Sequence[str], pair_template: tuple[str, str]) -> PromptSet:
    """Return the templates' prompts, with the declared phrases where a label is "No Finding"."""
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


def _member(path: str, bundle: models.Bundle, scores: Float[np.ndarray, "n c"]) -> Member:
    return Member(
        path=path,
        name=bundle.name,
        weights=models.fingerprint(bundle),
        preprocessing=asdict(bundle.preprocessing),
        logit_scale=logit_scale(bundle),
        scores=scores,
    )


def _cache_key(bundle: models.Bundle, pixels: str, prompts: PromptSet) -> str:
    """Return a hash of everything that the scores depend on."""
    parts = {
        "version": CACHE_VERSION,
        "weights": models.fingerprint(bundle),
        "pixels": pixels,
        "prompts": prompts.to_json(),
        "columns": prompts.findings,
        "preprocessing": asdict(bundle.preprocessing),
        "scoring": "chexzero",
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read_cache(path: Path, key: str) -> Float[np.ndarray, "n c"] | None:
    """Return the cached scores if they are whole and were made from the same things, else None."""
    note = path.with_suffix(".json")
    if not path.is_file() or not note.is_file():
        return None
    try:
        said = json.loads(note.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return None  # a cache that cannot be read is no cache: the scores are computed again
    if said != {"key": key, "array": hashlib.sha256(path.read_bytes()).hexdigest()}:
        return None
    cached: Float[np.ndarray, "n c"] = np.load(path, allow_pickle=False)
    return cached


def _write_cache(path: Path, key: str, scores: Float[np.ndarray, "n c"]) -> None:
    with write_whole(path) as temporary:
        np.save(temporary, scores)
    write_json(path.with_suffix(".json"), {"key": key, "array": hashlib.sha256(path.read_bytes()).hexdigest()})
