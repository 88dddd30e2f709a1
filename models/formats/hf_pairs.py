"""Load Hugging Face's CLIP and SigLIP into open_clip's towers, with the same features."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from models.bundle import Bundle
from models.files.hub import model_type, read_config, read_network
from models.files.state_dicts import renamed
from models.formats.biovil import load_biovil
from models.formats.hf_tokenizers import clip_tokenizer, siglip_tokenizer
from models.formats.processors import read_processor
from models.towers.network import TIMM_OPTIONS, network

PAIRS = ("clip", "siglip")
OTHERS = {
    "siglip2": "this is SigLIP 2 of variable resolution (NaFlex), which is not supported; take one of fixed resolution",
}
"""Advice for other types"""
PART = re.compile(r"self_attn\.(?P<letter>[qkv])_proj\.(?P<kind>weight|bias)$")
BLOCKS = (
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm(\d)\.", r".ln_\1."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
)
TEXT = (
    *BLOCKS,
    (r"^embeddings\.token_embedding\.", "token_embedding."),
    (r"^final_layer_norm\.", "ln_final."),
    (r"^head\.", "text_projection."),
)
CLIP_IMAGE = (
    *BLOCKS,
    (r"^embeddings\.class_embedding$", "class_embedding"),
    (r"^embeddings\.patch_embedding\.", "conv1."),
    # transformers' own spelling
    (r"^pre_layrnorm\.", "ln_pre."),
    (r"^post_layernorm\.", "ln_post."),
)
SIGLIP_IMAGE = (
    (r"^encoder\.layers\.", "blocks."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"\.self_attn\.out_proj\.", ".attn.proj."),
    (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
    (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
    (r"^post_layernorm\.", "norm."),
    (r"^head\.probe$", "attn_pool.latent"),
    (r"^head\.attention\.out_proj\.", "attn_pool.proj."),
    (r"^head\.attention\.in_proj_", "attn_pool.qkv."),
    (r"^head\.layernorm\.", "attn_pool.norm."),
    (r"^head\.mlp\.", "attn_pool.mlp."),
)
"""To the names of timm's vision transformer, which open_clip keeps in `trunk`"""
TIMM_NAME = "vit_base_patch16_siglip_224"
TIMM_NORM_EPS = 1e-6
TORCH_NORM_EPS = 1e-5
ACTIVATIONS = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}
"""Hugging Face's name -> timm's"""


def load_pair(source: str) -> Bundle:
    """Return a CLIP, SigLIP or BioViL of a Hugging Face hub id or folder in open_clip's towers; float32, on the CPU.

    The folder is as published: config.json, model.safetensors (or pytorch_model.bin), preprocessor_config.json and the
    tokenizer's files. SigLIP 2 of fixed resolution and MedSigLIP are of type siglip, too. Features and logits are
    transformers' own to rounding (tested to 1e-5).

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: The model is of another type, the weights do not fit, open_clip's towers lack an option, or its
            preprocessing or tokenizer is not supported.
    """
    # BioViL has a loader of its own
    kind = model_type(source)
    if kind == "cxr-bert":
        return load_biovil(source)
    if kind not in PAIRS:
        hint = OTHERS.get(kind, "a tower alone goes in with --image_tower or --text_tower")
        raise ValueError(f"{source} is of type {kind!r}; wanted an image-text model, {' or '.join(PAIRS)}: {hint}")

    # configuration, preprocessing and tokenizer
    is_siglip = kind == "siglip"
    own = read_config(source)
    config = (siglip_cfg if is_siglip else clip_cfg)(own, source)
    preprocessing = read_processor(source, image_size=config["vision_cfg"]["image_size"])
    text = config["text_cfg"]
    if is_siglip:
        tokenizer, spelling = siglip_tokenizer(source, length=text["context_length"], n_words=text["vocab_size"])
        text |= spelling
    else:
        tokenizer = clip_tokenizer(source, length=text["context_length"])

    # weights, under open_clip's names
    state = read_network(source, own, whole=True).state_dict()
    model: Any = network(config)
    model.load_state_dict((siglip_state if is_siglip else clip_state)(state), strict=True)

    return Bundle(
        model=model,
        tokenizer=tokenizer,
        preprocessing=preprocessing,
        name=Path(source).name,
        context_length=text["context_length"],
        config=config,
    )


def clip_cfg(config: Any, source: str) -> dict[str, Any]:
    """Return open_clip's `model_cfg` of a `transformers.CLIPConfig`.

    Raises:
        ValueError: open_clip's transformers lack an option; the message names all of them.
    """
    image, text = config.vision_config, config.text_config

    # transformers before 4.31 wrote 2, which means the highest id too
    is_read_at_end = text.eos_token_id in (2, text.vocab_size - 1)
    _refuse(
        source,
        (not is_read_at_end, f"eos_token_id {text.eos_token_id} is not the last of {text.vocab_size} ids"),
        (image.hidden_act != text.hidden_act, f"its towers' hidden_act differ: {image.hidden_act}, {text.hidden_act}"),
        (text.hidden_act not in ("quick_gelu", "gelu"), f"hidden_act {text.hidden_act} is neither quick_gelu nor gelu"),
        *_unusual_images(image),
    )

    return {
        "embed_dim": config.projection_dim,
        "quick_gelu": text.hidden_act == "quick_gelu",
        "custom_text": True,
        "vision_cfg": {
            "image_size": image.image_size,
            "patch_size": image.patch_size,
            "width": image.hidden_size,
            "head_width": image.hidden_size // image.num_attention_heads,
            "layers": image.num_hidden_layers,
            "mlp_ratio": _mlp_ratio(image),
            **_norm(image),
        },
        "text_cfg": _text_cfg(text),
    }


def siglip_cfg(config: Any, source: str) -> dict[str, Any]:
    """Return open_clip's `model_cfg` of a `transformers.SiglipConfig`.

    Raises:
        ValueError: timm's or open_clip's transformers lack an option; the message names all of them.
    """
    image, text = config.vision_config, config.text_config

    # options that timm's or open_clip's towers cannot have
    width = text.projection_size
    _refuse(
        source,
        (image.hidden_act not in ACTIVATIONS, f"vision hidden_act is {image.hidden_act}, not {', '.join(ACTIVATIONS)}"),
        (text.hidden_act not in ACTIVATIONS, f"text hidden_act is {text.hidden_act}, not {', '.join(ACTIVATIONS)}"),
        (not image.vision_use_head, "vision_use_head is false, so no pooled image feature exists"),
        (image.hidden_size != width, f"images have {image.hidden_size} dimensions and texts {width}"),
        (image.layer_norm_eps != TIMM_NORM_EPS, f"layer_norm_eps is {image.layer_norm_eps}, not {TIMM_NORM_EPS}"),
        *_unusual_images(image),
    )

    is_tanh = ACTIVATIONS[text.hidden_act] == "gelu_tanh"
    return {
        "embed_dim": width,
        "init_logit_bias": -10.0,
        "custom_text": True,
        "vision_cfg": {
            "image_size": image.image_size,
            "timm_model_name": TIMM_NAME,
            "timm_pool": "map",
            "timm_proj": "none",
            TIMM_OPTIONS: {
                "patch_size": image.patch_size,
                "embed_dim": image.hidden_size,
                "depth": image.num_hidden_layers,
                "num_heads": image.num_attention_heads,
                "mlp_ratio": _mlp_ratio(image),
                "act_layer": ACTIVATIONS[image.hidden_act],
            },
        },
        "text_cfg": {
            **_text_cfg(text),
            "no_causal_mask": True,
            "pool_type": "last",
            "proj_bias": True,
            **({"act_kwargs": {"approximate": "tanh"}} if is_tanh else {}),
        },
    }


def clip_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a `transformers.CLIPModel` under open_clip's names; exact."""
    image, text = (_tower(state, f"{name}_model.") for name in ("vision", "text"))
    stacked = "attn.in_proj_{kind}"
    return {
        **_named("visual.", renamed(image, CLIP_IMAGE, part=PART, stacked=stacked)),
        **_named("text.", renamed(text, TEXT, part=PART, stacked=stacked)),
        "visual.proj": state["visual_projection.weight"].T,
        "text.text_projection": state["text_projection.weight"].T,
        "logit_scale": state["logit_scale"],
    }


def siglip_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a `transformers.SiglipModel` under open_clip's and timm's names; exact."""
    image, text = (_tower(state, f"{name}_model.") for name in ("vision", "text"))
    trunk = renamed(image, SIGLIP_IMAGE, part=PART, stacked="attn.qkv.{kind}")
    trunk["pos_embed"] = trunk["pos_embed"].unsqueeze(0)  # (patches, width) -> (1, patches, width)

    # timm's attention pool has queries apart from keys and values: (3 width, ...) -> (width, ...) and (2 width, ...)
    for kind in ("weight", "bias"):
        whole = trunk.pop(f"attn_pool.qkv.{kind}")
        width = len(whole) // 3
        trunk |= {f"attn_pool.q.{kind}": whole[:width], f"attn_pool.kv.{kind}": whole[width:]}

    return {
        **_named("visual.trunk.", trunk),
        **_named("text.", renamed(text, TEXT, part=PART, stacked="attn.in_proj_{kind}")),
        "logit_scale": state["logit_scale"].squeeze(),
        "logit_bias": state["logit_bias"].squeeze(),
    }


def _text_cfg(text: Any) -> dict[str, Any]:
    return {
        "context_length": text.max_position_embeddings,
        "vocab_size": text.vocab_size,
        "width": text.hidden_size,
        "heads": text.num_attention_heads,
        "layers": text.num_hidden_layers,
        "mlp_ratio": _mlp_ratio(text),
        **_norm(text),
    }


def _norm(tower: Any) -> dict[str, Any]:
    return {} if tower.layer_norm_eps == TORCH_NORM_EPS else {"norm_kwargs": {"eps": tower.layer_norm_eps}}


def _mlp_ratio(tower: Any) -> float:
    """Return a ratio whose product with the width truncates to the exact size, as needed for SO400M (4304/1152)."""
    ratio = tower.intermediate_size / tower.hidden_size
    is_exact = int(tower.hidden_size * ratio) == tower.intermediate_size
    return float(ratio if is_exact else (tower.intermediate_size + 0.5) / tower.hidden_size)


def _unusual_images(image: Any) -> tuple[tuple[bool, str], ...]:
    sizes = (image.image_size, image.patch_size)
    return (
        (not all(isinstance(size, int) for size in sizes), f"image_size, patch_size are {sizes}, not two numbers"),
        (image.num_channels != 3, f"num_channels is {image.num_channels}, not 3"),
    )


def _refuse(source: str, *checks: tuple[bool, str]) -> None:
    reasons = [reason for is_unusual, reason in checks if is_unusual]
    if reasons:
        raise ValueError(f"{source}/config.json has options that our towers lack: {'; '.join(reasons)}")


def _tower(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _named(prefix: str, tower: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tower.items()}
