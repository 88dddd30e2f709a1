"""Load and save CheXzero's checkpoints: a bare state dict, whose shapes give the architecture."""

from math import isqrt
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg, convert_to_custom_text_state_dict
from torch import Tensor

from common.atomic import write_whole
from models.bundle import Bundle
from models.files.state_dicts import read_state_dict
from models.grey_stem import three_channel_state
from models.network_input import CHEXZERO, Preprocessing
from models.towers.network import network

HEAD_WIDTH = 64
NEEDED = (
    "visual.conv1.weight",
    "visual.positional_embedding",
    "visual.proj",
    "positional_embedding",
    "text_projection",
    "token_embedding.weight",
    "ln_final.weight",
    "logit_scale",
)
BIOVIL_IMAGE = ("encoder.encoder.", "projector.model.")
"""Prefixes of the names in BioViL's image half, which has another loader"""


def config_from_shapes(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return the open_clip configuration of a CLIP vision transformer in OpenAI's key layout.

    Widths, depths, patch and image size, context and vocabulary are read from shapes; heads are 64 wide as in every
    CLIP, the activation is QuickGELU.

    Raises:
        ValueError: It is another architecture; the message names the missing keys.

    Source: key table of CheXzero's published files (302 keys); OpenAI CLIP model.py for the layout.
    """
    if all(any(key.startswith(prefix) for key in state) for prefix in BIOVIL_IMAGE):
        raise ValueError(
            "this looks like BioViL's image half: give the folder in which it lies beside CXR-BERT's config.json,"
            " weights and tokenizer"
        )

    missing = [key for key in NEEDED if key not in state]
    if missing:
        raise ValueError(
            f"wanted a CLIP vision transformer in OpenAI's layout, as CheXzero saves it; missing {', '.join(missing)};"
            f" found {len(state)} tensors such as {', '.join(list(state)[:4])}"
        )

    convolution = state["visual.conv1.weight"]  # (width, 3, patch, patch)
    grid = isqrt(state["visual.positional_embedding"].shape[0] - 1)  # one position more than patches: the class token
    text_width = state["ln_final.weight"].shape[0]
    return {
        "embed_dim": state["text_projection"].shape[1],
        "quick_gelu": True,
        "custom_text": True,
        "vision_cfg": {
            "image_size": grid * convolution.shape[-1],
            "patch_size": convolution.shape[-1],
            "width": convolution.shape[0],
            "layers": _depth(state, "visual.transformer.resblocks."),
            "head_width": HEAD_WIDTH,
        },
        "text_cfg": {
            "context_length": state["positional_embedding"].shape[0],
            "vocab_size": state["token_embedding.weight"].shape[0],
            "width": text_width,
            "heads": text_width // HEAD_WIDTH,
            "layers": _depth(state, "transformer.resblocks."),
        },
    }


def load_chexzero(path: Path | str) -> Bundle:
    """Return CheXzero's model from its `.pt`: float32, with CheXzero's preprocessing.

    Published files (ViT-B/32 at 224 pixels, mixed float16) and those of CheXzero's `--random_init` (ViT-B/16 at 320)
    both load. Half-precision tensors become float32, which changes no value. Nothing is downloaded.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a state dict, is of another architecture, or its shapes do not agree.
    """
    state = read_state_dict(path)
    try:
        config = config_from_shapes(state)
        model: Any = network(config)
        model.load_state_dict(convert_to_custom_text_state_dict(state), strict=True)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} is a checkpoint of another architecture: {' '.join(str(error).split())[:600]}"
        ) from error
    return Bundle(
        model=model,
        tokenizer=open_clip.get_tokenizer("", context_length=model.context_length),
        preprocessing=Preprocessing(image_size=config["vision_cfg"]["image_size"], antialias=CHEXZERO.antialias),
        name=Path(path).stem,
        context_length=model.context_length,
        config=config,
    )


def save_chexzero(bundle: Bundle, path: Path | str) -> None:
    """Write a `.pt` that CheXzero's scripts read: OpenAI's layout, float32 (302 tensors for ViT-B/32).

    CheXzero's scripts build two shapes: ViT-B/32 at 224 pixels with width 512, and ViT-B/16 at 320 with width 768. A
    logit bias is left out, because CheXzero's results do not depend on it.

    Raises:
        ValueError: See `refuse_other_than_chexzero`.
    """
    refuse_other_than_chexzero(bundle)
    with write_whole(path) as temporary:
        torch.save(_openai_state(bundle), temporary)


def refuse_other_than_chexzero(bundle: Bundle) -> None:
    """Raise ValueError if CheXzero's layout cannot describe this model; the message names all differences.

    The layout holds weights only: sizes follow from shapes; heads, activation and preprocessing are CheXzero's own.
    """
    reasons = []
    try:
        found, wanted = _described(bundle.config), _described(config_from_shapes(_openai_state(bundle)))
        reasons = [f"{key} is {found[key]}, not {wanted[key]}" for key in found if found[key] != wanted[key]]
    except ValueError as error:
        reasons = [str(error)]

    ours, theirs = bundle.preprocessing, CHEXZERO
    for name, option in (("mean", ""), ("std", ""), ("interpolation", ""), ("antialias", " (--no_antialias)")):
        if getattr(ours, name) != getattr(theirs, name):
            reasons.append(f"{name} is {getattr(ours, name)}, not {getattr(theirs, name)}{option}")

    if reasons:
        raise ValueError(
            f"CheXzero's layout cannot hold {bundle.name} ({'; '.join(reasons)}): save it in open_clip's instead"
        )


def _openai_state(bundle: Bundle) -> dict[str, Tensor]:
    state = {name.removeprefix("text."): tensor for name, tensor in three_channel_state(bundle).items()}
    state.pop("logit_bias", None)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _described(config: dict[str, Any]) -> dict[str, Any]:
    """Return every option of a configuration, with defaults, without those that matter in training only."""
    vision, text = CLIPVisionCfg(**config["vision_cfg"]), CLIPTextCfg(**config["text_cfg"])
    towers = {f"vision {key}": value for key, value in vars(vision).items() if key != "patch_dropout"}
    towers |= {f"text {key}": value for key, value in vars(text).items()}
    return towers | {"embed_dim": config["embed_dim"], "quick_gelu": config.get("quick_gelu", False)}


def _depth(state: dict[str, Tensor], prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})
