"""What results of an earlier run are good for: never replaced in silence, and the origin of its thresholds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zero_shot.evaluation.spec import differing, hash_of, shown
from zero_shot.zero_shot_config import ZeroShotConfig

OF_MODELS = ("models", "temperature", "logit_bias")
"""Blocks that are known only when the models were loaded"""
OF_SCORES = ("scoring", "aggregation", "models", "prompts")
"""Blocks on which the scale of the scores depends, and with it a threshold"""


def read_spec(path: Path) -> dict[str, Any]:
    """Return a `spec.json`.

    Raises:
        ValueError: it is not one.
    """
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(spec["evaluation"], dict) and isinstance(spec["hash"], str):
            return dict(spec)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a specification of run_zero_shot.py ({error})") from error
    raise ValueError(f"{path} is not a specification of run_zero_shot.py")


def refuse_earlier(config: ZeroShotConfig, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Refuse to replace other results, and thresholds of other scores; return notes on these thresholds.

    Called before models are loaded, when they are not compared yet, and again with them.
    """
    if not config.overwrite:
        refuse_other_results(config.folder, spec["evaluation"])
    return thresholds_origin(config.thresholds, spec)


def refuse_other_results(folder: Path, evaluation: Mapping[str, Any]) -> None:
    """Refuse to replace results of another specification.

    Args:
        folder: the result folder; without a spec.json it holds no complete results.
        evaluation: the block of the specification at hand; with no models, they are not compared yet.

    Raises:
        ValueError: the folder holds results of another specification, with the settings that differ.
    """
    path = folder / "spec.json"
    if not path.is_file():
        return
    advice = "give another --name or --out_dir, or replace them with --overwrite"
    try:
        found = read_spec(path)["evaluation"]
    except ValueError as error:
        raise ValueError(f"--out_dir {folder}: {error}; {advice}") from error

    but = () if evaluation["models"] else OF_MODELS
    mine, theirs = ({name: value for name, value in one.items() if name not in but} for one in (evaluation, found))
    if hash_of(mine) == hash_of(theirs):
        return
    lines = [f"  {name}: {shown(there)} there, {shown(here)} here" for name, there, here in differing(theirs, mine)]
    raise ValueError(
        f"--out_dir {folder}: wanted results of this specification, found those of another ({advice}):\n"
        + "\n".join(lines)
    )


def thresholds_origin(path: Path | None, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return notes on where a file of thresholds comes from, by the spec.json beside it.

    Args:
        path: the thresholds.json; None for none.
        spec: the specification at hand; with no models, they are not compared yet.

    Raises:
        ValueError: its scores came from other models, prompts or scoring, so that they are on another scale.
    """
    if path is None:
        return ()
    beside = path.parent / "spec.json"
    if not beside.is_file():
        return (f"--thresholds {path}: no spec.json beside it says with which model and prompts they were fitted",)

    theirs, evaluation = read_spec(beside), spec["evaluation"]
    blocks = [name for name in OF_SCORES if evaluation["models"] or name != "models"]
    mine, fitted = ({name: one.get(name) for name in blocks} for one in (evaluation, theirs["evaluation"]))
    # a threshold depends on the prompts of its own finding only, but for scores that compare findings
    if evaluation["scoring"] != "single":
        both = set(mine["prompts"]) & set(fitted["prompts"] or {})
        for one in (mine, fitted):
            one["prompts"] = {name: pair for name, pair in one["prompts"].items() if name in both}
    lines = [f"  {name}: {shown(there)} there, {shown(here)} here" for name, there, here in differing(fitted, mine)]
    if lines:
        raise ValueError(
            f"--thresholds {path} were fitted on scores of another scale (fit them with these models and prompts):\n"
            + "\n".join(lines)
        )

    archives = [" and ".join(one.get("provenance", {}).get("datasets", ())) or "?" for one in (theirs, spec)]
    if archives[0] == archives[1]:
        return ()
    return (f"--thresholds {path}: fitted on images of {archives[0]}, used on images of {archives[1]}",)
