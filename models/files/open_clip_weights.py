"""open_clip's published weights: a file of the user's, one placed in `models/weights/`, or a download."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
from torch import nn

from models.files.state_dicts import read_state_dict

WEIGHTS = Path(__file__).parent.parent / "weights"
SUFFIXES = (".safetensors", ".pt", ".bin")


def placed_file(stem: str) -> Path | None:
    """Return the weights file of that name in `models/weights/`, where users put what they fetched elsewhere."""
    return next((path for suffix in SUFFIXES if (path := WEIGHTS / f"{stem}{suffix}").is_file()), None)


def published_network(name: str, pretrained: str, config: dict[str, Any]) -> nn.Module:
    """Return an architecture of open_clip's with weights, in one class for all.

    Args:
        name: the architecture.
        pretrained: published tag or weights file.
        config: its `model_cfg`, of which image size and activation count.

    Raises:
        FileNotFoundError: weights that are neither here nor can be downloaded.
        ValueError: an unknown tag, or a file of another architecture.
    """
    source = _source(name, pretrained)
    try:
        with quiet_open_clip():
            model: nn.Module = open_clip.create_model(
                name,
                pretrained=source,
                force_custom_text=True,
                force_quick_gelu=config.get("quick_gelu", False),
                force_image_size=config["vision_cfg"].get("image_size"),
                require_pretrained=True,
            )
    except (RuntimeError, OSError, KeyError) as error:
        if Path(source).is_file():
            reason = " ".join(str(error).split())[:400]
            raise ValueError(f"{source} holds weights of another architecture than {name}: {reason}") from error
        place = WEIGHTS / f"{name}-{source}.safetensors"
        raise FileNotFoundError(
            f"the published weights {source!r} of {name} could not be downloaded ({error}).\n"
            f"Fetch them on a machine with internet access and put the file at {place} (or .pt, .bin),"
            f" give another file with --pretrained PATH, or start from random weights with --random_init"
        ) from error
    return model


def _source(name: str, pretrained: str) -> str:
    """Return the path or tag that open_clip shall load, checked as far as possible."""
    if Path(pretrained).is_file():
        read_state_dict(pretrained)
        return pretrained
    placed = placed_file(f"{name}-{pretrained}")
    if placed is not None:
        read_state_dict(placed)
        return str(placed)
    if "/" in pretrained or Path(pretrained).suffix in SUFFIXES:
        raise FileNotFoundError(f"weights file {pretrained} does not exist")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained not in tags:
        known = ", ".join(tags) or "none"
        raise ValueError(f"{pretrained!r} is neither a file nor published weights of {name}; published: {known}")
    return pretrained


@contextmanager
def quiet_open_clip() -> Iterator[None]:
    """Keep open_clip from logging what we raise with a way out."""
    root = logging.getLogger()

    def is_foreign(record: logging.LogRecord) -> bool:
        return record.module != "factory"

    root.addFilter(is_foreign)
    try:
        yield
    finally:
        root.removeFilter(is_foreign)
