"""open_clip's published weights: from the user's file, from `models/weights/`, or downloaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg
from torch import nn

from models.files.hub import quiet
from models.files.state_dicts import StoredWeights, read_weights, refuse_other_names

WEIGHTS = Path(__file__).parent.parent / "weights"
SUFFIXES = (".safetensors", ".pt", ".bin")
SAFE_NAME = "open_clip_model.safetensors"
"""open_clip's file in a repository of the Hugging Face hub"""


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
        ValueError: The tag is unknown, or a file holds another architecture or was trained with another activation.
    """
    path = weights_file(name, pretrained)
    if path is None:
        return _downloaded(name, pretrained, config)

    with readable(path) as (file, stored):
        refuse_other_activation(path, stored, name, config)
        if config.get("init_logit_bias") is not None and "logit_bias" not in stored.tensors:
            refuse_other_names(f"{path} as {name}", missing=["logit_bias"], unexpected=[])
        try:
            return _created(name, str(file), config, has_bias="logit_bias" in stored.tensors)
        except (RuntimeError, OSError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())[:400]
            raise ValueError(f"{path} holds weights of another architecture than {name}: {reason}") from error


def refuse_other_activation(path: Path, stored: StoredWeights, name: str, config: dict[str, Any]) -> None:
    """Raise ValueError if OpenAI's code made the weights, which knows QuickGELU only, and the architecture has GELU."""
    if (stored.is_openai or stored.is_half_as_openai) and not config.get("quick_gelu", False):
        raise ValueError(
            f"{path} was saved by OpenAI's code (CLIP, CheXzero), which trains with QuickGELU, and {name} has GELU:"
            f" name the architecture {name}-quickgelu"
        )


@contextmanager
def readable(path: Path) -> Iterator[tuple[Path, StoredWeights]]:
    """Yield a weights file that open_clip reads as we do, and its weights; a copy if it wraps or prefixes them."""
    stored = read_weights(path)
    if not stored.is_changed:
        yield path, stored
        return
    # open_clip reads weights from files only
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "weights.pt"
        torch.save(stored.tensors, copy)
        yield copy, stored


def weights_file(name: str, pretrained: str) -> Path | None:
    """Return the file that `pretrained` names, itself or by its tag in `models/weights/`; None: to be downloaded.

    Raises:
        FileNotFoundError: It names a file that does not exist.
        ValueError: It is neither a file nor a published tag.
    """
    if Path(pretrained).is_file():
        return Path(pretrained)
    placed = placed_file(f"{name}-{pretrained}")
    if placed is not None:
        return placed

    if "/" in pretrained or Path(pretrained).suffix in SUFFIXES:
        raise FileNotFoundError(f"weights file {pretrained} does not exist")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained not in tags:
        known = ", ".join(tags) or "none"
        raise ValueError(f"{pretrained!r} is neither a file nor published weights of {name}; published: {known}")
    return None


def _downloaded(name: str, tag: str, config: dict[str, Any]) -> nn.Module:
    try:
        return _created(name, tag, config)
    except (RuntimeError, OSError, KeyError) as error:
        place = WEIGHTS / f"{name}-{tag}.safetensors"
        reason = " ".join(str(error).split())[:300]
        hub, _, file = str((get_pretrained_cfg(name, tag) or {}).get("hf_hub", "")).rpartition("/")
        command = f" with `hf download {hub} {file or SAFE_NAME} --local-dir .`" if hub else ""
        raise FileNotFoundError(
            f"the published weights {tag!r} of {name} could not be downloaded ({reason}): download them on a machine"
            f" with internet access{command} and put the file at {place} (or .pt, .bin), give another file with"
            f" --pretrained PATH, or start from random weights with --random_init"
        ) from error


def _created(name: str, source: str, config: dict[str, Any], *, has_bias: bool = False) -> nn.Module:
    with quiet():
        model: nn.Module = open_clip.create_model(
            name,
            pretrained=source,
            force_custom_text=True,
            force_quick_gelu=config.get("quick_gelu", False),
            force_image_size=config["vision_cfg"].get("image_size"),
            require_pretrained=True,
            **({"init_logit_bias": 0.0} if has_bias else {}),
        )
    return model
