"""Load and save CheXzero's checkpoints: a bare state dict, whose shapes give the architecture."""

from math import isqrt
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor

from common.atomic import write_whole
from common.notes import note
from models.bundle import Bundle
from models.files.state_dicts import StoredWeights, read_weights
from models.grey_stem import three_channel_state
from models.network_input import CHEXZERO, Preprocessing
from models.towers.network import differences, network

HEAD_WIDTH = 64
SIZES = ((32, 224, 512), (16, 320, 768))
"""Patch, image and joint space of the two networks that CheXzero builds: from OpenAI's weights, and random ones"""
DEPTHS = (768, 12, 512, 12)
"""Width and layers of their image and text towers"""
WITH_QUICK_GELU = (
    "--model ViT-B-32-quickgelu, or from the network of CheXzero's own --random_init, --model ViT-B-16-quickgelu"
    " --image_size 320 --embed_dim 768"
)
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
    widths = (convolution.shape[0], text_width)
    if any(width % HEAD_WIDTH for width in widths):
        raise ValueError(f"its towers are {widths[0]} and {widths[1]} wide, which heads of {HEAD_WIDTH} do not divide")
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


def load_chexzero(path: Path | str, *, is_told: bool = True) -> Bundle:
    """Return CheXzero's model from its `.pt`: float32, with CheXzero's preprocessing.

    Published files (ViT-B/32 at 224 pixels, mixed float16) and those of CheXzero's `--random_init` (ViT-B/16 at 320)
    both load. Half-precision tensors become float32, which changes no value. Nothing is downloaded.

    Args:
        path: The file.
        is_told: Whether the user says that it is CheXzero's. If not, the file has to look like one
            (`is_like_chexzeros`), which is noted, because shapes tell neither activation nor heads.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a state dict, is of another architecture, its shapes do not agree, or its origin has to be
            told.
    """
    path = Path(path)
    stored = read_weights(path)
    try:
        config = config_from_shapes(stored.tensors)
        model: Any = network(config)
        model.load_state_dict(convert_to_custom_text_state_dict(stored.tensors), strict=True)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} is a checkpoint of another architecture: {' '.join(str(error).split())[:600]}; if it is one of"
            f" open_clip, give its name too, NAME:{path}"
        ) from error

    if not is_told:
        others = f"NAME:{path} with its open_clip name, such as ViT-B-32:{path}"
        if not is_like_chexzeros(stored):
            raise ValueError(
                f"{path} holds a CLIP, but tells neither its activation, heads nor preprocessing: give {others}, or"
                f" chexzero:{path} if CheXzero's code made it"
            )
        note(
            f"{path} is read as CheXzero's, by its names, shapes and types: QuickGELU, heads 64 wide, CheXzero's mean"
            f" and std; if it is of other origin: {others}"
        )
    return Bundle(
        model=model,
        tokenizer=open_clip.get_tokenizer("", context_length=model.context_length),
        preprocessing=Preprocessing(image_size=config["vision_cfg"]["image_size"], antialias=CHEXZERO.antialias),
        name=path.stem,
        context_length=model.context_length,
        config=config,
    )


def is_like_chexzeros(stored: StoredWeights) -> bool:
    """Return whether weights look as CheXzero's code saves them.

    OpenAI's code, which CheXzero is built on, has converted them to mixed float16; or they are a bare state dict with
    the sizes of one of the two networks that CheXzero builds.
    """
    if stored.is_openai:
        return False
    config = config_from_shapes(stored.tensors)
    vision, text = config["vision_cfg"], config["text_cfg"]
    sizes = (vision["patch_size"], vision["image_size"], config["embed_dim"])
    depths = (vision["width"], vision["layers"], text["width"], text["layers"])
    return stored.is_half_as_openai or (not stored.is_changed and sizes in SIZES and depths == DEPTHS)


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
        reasons = differences(bundle.config, config_from_shapes(_openai_state(bundle)))
    except ValueError as error:
        reasons = [str(error)]

    ours, theirs = bundle.preprocessing, CHEXZERO
    for name, option in (("mean", ""), ("std", ""), ("interpolation", ""), ("antialias", " (--no_antialias)")):
        if getattr(ours, name) != getattr(theirs, name):
            reasons.append(f"{name} is {getattr(ours, name)}, not {getattr(theirs, name)}{option}")

    if reasons:
        has_gelu = any(reason.startswith("quick_gelu is False") for reason in reasons)
        advice = f" (and not --save_format chexzero), or start from {WITH_QUICK_GELU}" if has_gelu else ""
        raise ValueError(
            f"CheXzero's layout cannot hold {bundle.name} ({'; '.join(reasons)}): save it in open_clip's"
            f" instead{advice}"
        )


def _openai_state(bundle: Bundle) -> dict[str, Tensor]:
    state = {name.removeprefix("text."): tensor for name, tensor in three_channel_state(bundle).items()}
    state.pop("logit_bias", None)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _depth(state: dict[str, Tensor], prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})
