"""open_clip's published weights: from the user's file, from `models/weights/`, or downloaded."""

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
    """Return the weights file of that name in `models/weights/`, where users put files downloaded elsewhere."""
    return next((path for suffix in SUFFIXES if (path := WEIGHTS / f"{stem}{suffix}").is_file()), None)


def published_network(name: str, pretrained: str, config: dict[str, Any]) -> nn.Module:
    """Return an open_clip architecture with weights, in one class for all architectures.

    Args:
        name: The architecture.
        pretrained: Published tag or weights file.
        config: Its `model_cfg`; only image size and activation are used.

    Raises:
        FileNotFoundError: Weights are not here and cannot be downloaded.
        ValueError: The tag is unknown, or a file holds another architecture.
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
        # a file that does not fit, or a failed download
        if Path(source).is_file():
            reason = " ".join(str(error).split())[:400]
            raise ValueError(f"{source} holds weights of another architecture than {name}: {reason}") from error
        place = WEIGHTS / f"{name}-{source}.safetensors"
        raise FileNotFoundError(
            f"the published weights {source!r} of {name} could not be downloaded ({error}).\n"
            f"Download them on a machine with internet access and put the file at {place} (or .pt, .bin),"
            f" give another file with --pretrained PATH, or start from random weights with --random_init"
        ) from error
    return model


def _source(name: str, pretrained: str) -> str:
    """Return the path or tag for open_clip to load, checked as far as possible."""
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
    """Keep open_clip from logging errors that we raise with advice."""
    root = logging.getLogger()

    def is_foreign(record: logging.LogRecord) -> bool:
        return record.module != "factory"

    root.addFilter(is_foreign)
    try:
        yield
    finally:
        root.removeFilter(is_foreign)
