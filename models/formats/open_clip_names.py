"""Load open_clip's NAME:TAG and NAME:FILE with the preprocessing that its weights were trained with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg

from common.notes import note
from models.architecture import architecture_config, build
from models.bundle import Bundle
from models.files.open_clip_weights import weights_file
from models.formats.open_clip_folders import load_open_clip_folder
from models.formats.processors import CONFIG_NAME, from_open_clip, read_open_clip_settings
from models.network_input import Preprocessing
from models.towers.network import differences

STATISTICS = ("mean", "std", "interpolation")
SHOWN = 4


def load_named(name: str, source: str) -> Bundle:
    """Return an open_clip architecture with published or own weights, to be used as it was trained.

    Preprocessing of a published tag is open_clip's own record of it. That of a file is what `open_clip_config.json`
    beside it says, else that of the architecture's published weights if they all agree, else open_clip's default; the
    last two are noted. The activation and the number of heads of a file are those of the architecture, noted too.

    Args:
        name: The architecture.
        source: Published tag, or weights file.

    Raises:
        FileNotFoundError: Weights are not here and cannot be downloaded.
        ValueError: The architecture or tag is unknown, or the file or the settings beside it fit another architecture.
    """
    own = architecture_config(name)

    # a published tag, whose weights may lie in models/weights/
    published = get_pretrained_cfg(name, source)
    if published:
        bundle = build(name, pretrained=source, seed=0)
        return replace(bundle, preprocessing=from_open_clip(published, image_size=bundle.preprocessing.image_size))

    # a file; beside it may lie what it does not tell
    path = weights_file(name, source)
    settings = read_open_clip_settings(path.parent) if path else {}
    if path and "model_cfg" in settings:
        others = differences(settings["model_cfg"], own)
        if others:
            raise ValueError(
                f"{path.parent / CONFIG_NAME} describes another network than {name} ({'; '.join(others[:SHOWN])}): give"
                f" {path} without a name, or move it away from that file"
            )
        return load_open_clip_folder(path.parent, weights=path)
    bundle = build(name, pretrained=source, seed=0)
    return replace(bundle, preprocessing=_of_file(name, path, settings, image_size=bundle.preprocessing.image_size))


def _of_file(name: str, path: Path | None, settings: dict[str, Any], *, image_size: int) -> Preprocessing:
    """Return the preprocessing of a file from the settings beside it, or from the architecture with a note."""
    stated = settings.get("preprocess_cfg", {})
    if {"mean", "std"} <= stated.keys():
        return from_open_clip(stated, image_size=image_size)

    tags = [get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    records = [{key: tag[key] for key in STATISTICS} for tag in tags]
    agree = bool(records) and all(record == records[0] for record in records)
    preprocessing = from_open_clip({**(records[0] if agree else {}), **stated}, image_size=image_size)

    origin = f"that of all published weights of {name}" if agree else "open_clip's default"
    beside = (path.parent if path else Path()) / CONFIG_NAME
    note(
        f"{path}: the file does not hold the preprocessing of its images; taken is {origin}:"
        f" {preprocessing.statistics()}, {preprocessing.interpolation}; if it is another, write it into {beside},"
        f" such as"
        f' {{"preprocess_cfg": {{"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"}}}}'
    )
    return preprocessing
