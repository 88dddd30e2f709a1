"""Image towers that replace the architecture's own: any network of timm, or a DINOv2 of the Hugging Face hub."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub.errors import HfHubHTTPError
from open_clip.timm_model import TimmModel
from torch import nn

from common.notes import note
from models.files.hub import find_file, quiet, read_config, source_of
from models.files.open_clip_weights import placed_file
from models.files.state_dicts import read_state_dict
from models.towers.dinov2 import read_dinov2, timm_name

PROCESSOR_NAME = "preprocessor_config.json"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTower:
    """Description of a tower whose weights are not read yet."""

    vision_cfg: dict[str, Any]
    """Configuration for open_clip"""
    mean: tuple[float]
    """Mean grey level, 0..255: the average of the published colour means, because images are grey"""
    std: tuple[float]
    """Standard deviation of the grey levels, 0..255, averaged alike"""
    trunk: Callable[[], nn.Module]
    """Reads timm's network with its weights, at the image size of its training"""


def find_image_tower(tower: str, *, image_size: int | None) -> ImageTower:
    """Return the tower that "timm:NAME", "hf:OWNER/NAME" or a folder of the Hugging Face hub names.

    Its output is the architecture's own pooling (class token, or average) and a new linear projection. Calling the
    result's `trunk` reads the weights.

    Args:
        tower: As in `TrainConfig.image_tower`.
        image_size: Side of the input, pixels; None is the tower's own. timm interpolates the positions of vision
            transformers.

    Raises:
        FileNotFoundError: The configuration is not there and cannot be downloaded.
        ValueError: timm does not know the network, or it is not a DINOv2.
    """
    if tower.startswith("timm:"):
        return _timm_tower(tower.removeprefix("timm:"), image_size=image_size)
    if not tower.startswith("hf:") and not Path(tower).is_dir():
        raise ValueError(f"image_tower {tower!r} is none of timm:NAME, hf:OWNER/NAME and a folder of such a model")

    source = source_of(tower, option="image_tower")
    config = read_config(source)
    mean, std = _published_statistics(source)
    return _image_tower(
        timm_name(config, source),
        side=image_size or config.image_size,
        mean=mean,
        std=std,
        trunk=partial(read_dinov2, source),
    )


def _timm_tower(name: str, *, image_size: int | None) -> ImageTower:
    if not timm.is_model(name):
        kind = re.split(r"[._]", name)[0]
        near = (timm.list_models(f"*{kind}*") or timm.list_models())[:12]
        raise ValueError(f"image tower {name!r} is unknown to timm {timm.__version__}; known: {', '.join(near)}")
    _refuse_hidden_head(name)
    published: Any = timm.get_pretrained_cfg(name)
    return _image_tower(
        name,
        side=image_size or published.input_size[-1],
        mean=published.mean,
        std=published.std,
        trunk=partial(_published_trunk, name),
    )


def _refuse_hidden_head(name: str) -> None:
    """Refuse networks that widen their pooled features in a layer of their own, which open_clip's adapter ignores."""
    with torch.device("meta"):
        trunk: Any = timm.create_model(name)
    width = getattr(trunk, "head_hidden_size", None) or trunk.num_features
    if width != trunk.num_features:
        raise ValueError(
            f"image tower 'timm:{name}' has a layer of {width} behind its pooling of {trunk.num_features}, which "
            f"open_clip's adapter for timm cannot project; take another network, such as convnext_tiny or densenet121"
        )


def _image_tower(
    name: str, *, side: int, mean: tuple[float, ...], std: tuple[float, ...], trunk: Callable[[], nn.Module]
) -> ImageTower:
    vision_cfg = {"timm_model_name": name, "timm_pool": "", "timm_proj": "linear", "image_size": side}
    grey_mean, grey_std = (255 * sum(values) / len(values) for values in (mean, std))
    return ImageTower(vision_cfg=vision_cfg, mean=(grey_mean,), std=(grey_std,), trunk=trunk)


def _published_trunk(name: str) -> nn.Module:
    """Return timm's network with the weights placed in `models/weights/`, or downloaded."""
    placed = placed_file(name)
    if placed is not None:
        read_state_dict(placed)
    try:
        # with its classifier, because without one timm accepts any file with no more than a warning
        with quiet():
            trunk: Any = timm.create_model(
                name, pretrained=True, pretrained_cfg_overlay=None if placed is None else {"file": str(placed)}
            )
    except (OSError, RuntimeError, HfHubHTTPError) as error:
        reason = " ".join(str(error).split())[:300]
        if placed is not None:
            raise ValueError(f"{placed} holds weights of another architecture than {name}: {reason}") from error
        published: Any = timm.get_pretrained_cfg(name)
        hub_id = published.hf_hub_id or f"timm/{name}"
        raise FileNotFoundError(
            f"the published weights of timm's {name} could not be downloaded ({reason}): on a machine with internet"
            f" access run `hf download {hub_id} model.safetensors --local-dir .`, and put the file here as"
            f" models/weights/{name}.safetensors; or start from random weights with --random_init"
        ) from error
    trunk.reset_classifier(0)
    return trunk  # type: ignore[no-any-return]


def _published_statistics(source: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation, 0..1, from the processor beside the weights; without them ImageNet's, as in DINOv2."""
    path = find_file(source, PROCESSOR_NAME)
    fields = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    if not {"image_mean", "image_std"} <= fields.keys():
        note(
            f"{source} does not state image_mean and image_std in {PROCESSOR_NAME}: taken are ImageNet's, as in DINOv2"
        )
        return IMAGENET
    return tuple(fields["image_mean"]), tuple(fields["image_std"])


def load_image_weights(visual: TimmModel, tower: ImageTower) -> None:
    """Load the published weights of a tower into its network, in place; its projection is not changed."""
    trunk: Any = tower.trunk()
    if hasattr(trunk, "set_input_size"):
        trunk.set_input_size(tower.vision_cfg["image_size"])
    visual.trunk.load_state_dict(trunk.state_dict(), strict=True)
