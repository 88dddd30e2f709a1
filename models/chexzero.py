"""CheXzero's checkpoints: a bare state dict whose shapes say everything."""

from math import isqrt
from pathlib import Path
from typing import Any

import open_clip
from open_clip.model import CustomTextCLIP, convert_to_custom_text_state_dict
from torch import Tensor

from models.bundle import Bundle
from models.preprocessing import CHEXZERO, Preprocessing
from models.weights_file import read_state_dict

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


def config_from_shapes(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return the open_clip configuration of a CLIP vision transformer in OpenAI's key layout.

    Widths, depths, patch and image size, context and vocabulary are read from shapes; heads are 64 wide as in every
    CLIP, the activation is QuickGELU.

    Raises:
        ValueError: naming the missing keys, if this is another architecture.

    Source: key table of CheXzero's published files (302 keys); OpenAI CLIP model.py for the layout.
    """
    missing = [key for key in NEEDED if key not in state]
    if missing:
        raise ValueError(
            f"wanted a CLIP vision transformer in OpenAI's layout, as CheXzero saves it; missing {', '.join(missing)};"
            f" found {len(state)} tensors such as {', '.join(list(state)[:4])}"
        )
    convolution = state["visual.conv1.weight"]
    grid = isqrt(state["visual.positional_embedding"].shape[0] - 1)
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

    Published files (ViT-B/32 at 224 pixels, mixed float16) and those of `--random_init` (ViT-B/16 at 320) both load;
    half-precision tensors are widened, which changes no value. No architecture file is downloaded.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a state dict, another architecture, or shapes that do not agree.
    """
    state = read_state_dict(path)
    try:
        config = config_from_shapes(state)
        model = CustomTextCLIP(**{key: value for key, value in config.items() if key != "custom_text"})
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


def _depth(state: dict[str, Tensor], prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})
