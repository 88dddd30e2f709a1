"""Any open_clip architecture by name: published weights, a local file, or seeded random weights."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg

from models.bundle import Bundle
from models.preprocessing import Preprocessing
from models.weights_file import read_state_dict

CONFIGS = Path(__file__).parent / "configs"
WEIGHTS = Path(__file__).parent / "weights"
SUFFIXES = (".safetensors", ".pt", ".bin")

open_clip.add_model_config(CONFIGS)


def published_names(prefix: str = "") -> list[str]:
    """Return the architectures that `build` knows, ours included, whose name starts with `prefix`."""
    return [name for name in open_clip.list_models() if name.startswith(prefix)]


def build(
    name: str,
    *,
    pretrained: str | None = None,
    image_size: int | None = None,
    context_length: int | None = None,
    antialias: bool = True,
    seed: int,
) -> Bundle:
    """Return an architecture with weights; float32, on the CPU.

    Args:
        name: an open_clip architecture ("ViT-B-32", "RN50", ...) or ours ("phantom-tiny").
        pretrained: a published tag ("openai"), a path of a weights file, or None for random weights. A tag is first
            looked for as `models/weights/{name}-{tag}.safetensors` (or .pt, .bin), then downloaded.
        image_size: side of the network's input in pixels; None keeps the architecture's.
        context_length: tokens of a text; None keeps the architecture's.
        antialias: how stored images are to be shrunk to `image_size`; False is CheXzero's way.
        seed: fixes the random weights; the global generator is left as it was.

    Raises:
        ValueError: unknown architecture or tag, or a file of another architecture.
        FileNotFoundError: weights that are neither here nor can be downloaded.
    """
    config = _config(name, pretrained, image_size=image_size, context_length=context_length)
    source = None if pretrained is None else _weights_source(name, pretrained)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _create(name, source, config)
    side = config["vision_cfg"].get("image_size", 224)
    return Bundle(
        model=model,
        tokenizer=open_clip.get_tokenizer(name, context_length=model.context_length),
        preprocessing=Preprocessing(image_size=side, antialias=antialias),
        name=name if pretrained is None else f"{name}:{pretrained}",
        context_length=model.context_length,
        config=config,
    )


def _config(name: str, pretrained: str | None, *, image_size: int | None, context_length: int | None) -> dict[str, Any]:
    """Return open_clip's `model_cfg` with our overrides, complete enough to build the same network again."""
    known: dict[str, Any] | None = open_clip.get_model_config(name)
    if known is None:
        near = published_names(name.split("-", maxsplit=1)[0]) or published_names()
        raise ValueError(f"model {name!r} is unknown to open_clip {open_clip.__version__}; known: {', '.join(near)}")
    config = deepcopy(known)
    # one class for all architectures, with towers .visual and .text; open_clip converts weights of the other layout
    config["custom_text"] = True
    if image_size is not None:
        config["vision_cfg"]["image_size"] = image_size
    if context_length is not None:
        config["text_cfg"]["context_length"] = context_length
    if pretrained is not None and (get_pretrained_cfg(name, pretrained) or {}).get("quick_gelu"):
        config["quick_gelu"] = True
    return config


def _weights_source(name: str, pretrained: str) -> str:
    """Return the path or tag that open_clip shall load, checked as far as possible."""
    if Path(pretrained).is_file():
        read_state_dict(pretrained)
        return pretrained
    for suffix in SUFFIXES:
        placed = WEIGHTS / f"{name}-{pretrained}{suffix}"
        if placed.is_file():
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
    """Keep open_clip from logging what we raise with a way out, and from warning of random weights asked for."""
    root = logging.getLogger()

    def is_foreign(record: logging.LogRecord) -> bool:
        return record.module != "factory"

    root.addFilter(is_foreign)
    try:
        yield
    finally:
        root.removeFilter(is_foreign)


def _create(name: str, source: str | None, config: dict[str, Any]) -> Any:
    """Let open_clip build the network, with its errors turned into ours."""
    try:
        with quiet_open_clip():
            return open_clip.create_model(
                name,
                pretrained=source,
                force_custom_text=True,
                force_quick_gelu=config.get("quick_gelu", False),
                force_image_size=config["vision_cfg"].get("image_size"),
                force_context_length=config["text_cfg"].get("context_length"),
                require_pretrained=source is not None,
            )
    except (RuntimeError, OSError, KeyError) as error:
        if source is None:
            raise ValueError(f"open_clip could not build {name}: {error}") from error
        if Path(source).is_file():
            reason = " ".join(str(error).split())[:400]
            raise ValueError(f"{source} holds weights of another architecture than {name}: {reason}") from error
        place = WEIGHTS / f"{name}-{source}.safetensors"
        raise FileNotFoundError(
            f"the published weights {source!r} of {name} could not be downloaded ({error}).\n"
            f"Fetch them on a machine with internet access and put the file at {place} (or .pt, .bin),"
            f" give another file with --pretrained PATH, or start from random weights with --random_init"
        ) from error
