"""Load a DINOv2 of Hugging Face, such as microsoft/rad-dino, into timm's vision transformer."""

import re
from typing import Any

import timm
from torch import Tensor, nn

from models.files.hub import read_config, read_network
from models.files.state_dicts import renamed

BY_WIDTH = {384: "vit_small_patch14_dinov2", 768: "vit_base_patch14_dinov2", 1024: "vit_large_patch14_dinov2"}
HEAD_WIDTH = 64
OPTIONS = {"num_attention_heads": None, "hidden_act": "gelu", "layer_norm_eps": 1e-6}
"""Options of a configuration that its weights do not show -> timm's value; heads are 64 wide"""

RENAMED = (
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"encoder\.layer\.", "blocks."),
    # the first spelling is transformers 4's and that of published files, the second transformers 5's
    (r"attention\.(output\.dense|o_proj)\.", "attn.proj."),
    (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
    (r"^layernorm\.", "norm."),
)
"""Hugging Face's name -> timm's; queries, keys and values are also stacked"""
PART = re.compile(r"attention\.(?:attention\.)?(?P<letter>query|key|value|[qkv]_proj)\.(?P<kind>weight|bias)$")


def to_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a `transformers.Dinov2Model` under the names of `timm.models.VisionTransformer`; exact.

    The mask token, which only pretraining uses, is left out.
    """
    used = {name: tensor for name, tensor in state.items() if not name.endswith("mask_token")}
    return renamed(used, RENAMED, part=PART, stacked="attn.qkv.{kind}")


def timm_name(config: Any, source: str) -> str:
    """Return timm's architecture of a DINOv2 configuration.

    Raises:
        ValueError: It is not DINOv2 small, base or large.
    """
    name = BY_WIDTH.get(config.hidden_size) if config.model_type == "dinov2" else None
    # the weights look the same with other values of these
    for option, wanted in OPTIONS.items() if name else ():
        expected = config.hidden_size // HEAD_WIDTH if option == "num_attention_heads" else wanted
        if getattr(config, option) != expected:
            raise ValueError(
                f"image tower {source}: {option} is {getattr(config, option)}; timm's {name} has {expected}"
            )
    if name is None or config.patch_size != 14 or config.use_swiglu_ffn:
        known = ", ".join(f"{width}" for width in BY_WIDTH)
        raise ValueError(
            f"image tower {source} is a {config.model_type} of width {config.hidden_size}; wanted a dinov2 with patches"
            f" of 14 pixels and width {known}: take other towers from timm with --image_tower timm:NAME"
        )
    return name


def read_dinov2(source: str) -> nn.Module:
    """Return timm's vision transformer with the weights of a Hugging Face DINOv2, at the image size they were made at.

    Raises:
        FileNotFoundError, ValueError: See `read_config`, `timm_name`, `read_network`.
    """
    config = read_config(source)
    trunk: nn.Module = timm.create_model(timm_name(config, source), num_classes=0, img_size=config.image_size)
    trunk.load_state_dict(to_timm(read_network(source, config).state_dict()), strict=True)
    return trunk
