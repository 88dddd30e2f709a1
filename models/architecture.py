"""Build a model: any open_clip architecture by name, with other towers if wanted, published or random weights."""

from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transformer import TextTransformer

from common.notes import note
from models.bundle import Bundle
from models.files.hub import reading
from models.files.open_clip_weights import published_network
from models.grey_stem import fold_stem
from models.network_input import Preprocessing
from models.positions import with_context_length
from models.towers.image_towers import ImageTower, find_image_tower, load_image_weights
from models.towers.network import network
from models.towers.text_towers import find_text_tower, load_text_weights, read_tokenizer

CONFIGS = Path(__file__).parent / "configs"
N_MARKS = 2
"""Start and end mark, the last ids of CLIP's vocabulary"""

open_clip.add_model_config(CONFIGS)


def published_names(prefix: str = "") -> list[str]:
    """Return the architectures that `build` knows, ours included, whose names start with `prefix`."""
    return [name for name in open_clip.list_models() if name.startswith(prefix)]


def build(
    name: str,
    *,
    pretrained: str | None = None,
    image_tower: str | None = None,
    text_tower: str | None = None,
    embed_dim: int | None = None,
    image_size: int | None = None,
    context_length: int | None = None,
    antialias: bool = True,
    grey_stem: bool = False,
    seed: int,
) -> Bundle:
    """Return an architecture with weights, to be trained; float32, on the CPU.

    Images have the statistics of chest X-rays (CheXzero's), or those of a replaced image tower. To use published
    weights as they are, `models.load("NAME:TAG")` gives them the preprocessing of their own training.

    Args:
        name: An open_clip architecture ("ViT-B-32", "RN50", ...) or ours ("phantom-tiny").
        pretrained: A published tag ("openai"), the path of a weights file, or None for random weights in all towers. A
            tag is looked for as `models/weights/{name}-{tag}.safetensors` (or .pt, .bin), then downloaded. A replaced
            tower starts from its own published weights behind a new projection.
        image_tower: Replaces the architecture's image tower, see `find_image_tower`.
        text_tower: Replaces the architecture's text tower, see `find_text_tower`.
        embed_dim: Width of the joint space; None keeps the architecture's.
        image_size: Side of the network's input, pixels; None keeps the tower's.
        context_length: Tokens of a text; None keeps the tower's. Trained positions are cut or stretched (`stretch`).
        antialias: Whether stored images are downscaled to `image_size` with antialiasing; CheXzero does without.
        grey_stem: Let the image tower read one channel (`fold_stem`).
        seed: Seed of the random weights; the global generator is not changed.

    Raises:
        ValueError: The architecture, tag or tower is unknown, a file holds another architecture, or an option does not
            fit.
        FileNotFoundError: Weights are not here and cannot be downloaded.
    """
    # configuration: the architecture's own, then with the towers that replace its own
    image = None if image_tower is None else find_image_tower(image_tower, image_size=image_size)
    own = _config(name, pretrained, image_size=image_size)
    text = None
    if text_tower is not None:
        width = embed_dim or own["embed_dim"]
        text = find_text_tower(text_tower, context_length=context_length, embed_dim=width)
    config = _with_towers(own, image, text, embed_dim=embed_dim, keeps_weights=pretrained is not None)
    if pretrained is None and context_length is not None:
        config["text_cfg"]["context_length"] = context_length

    # network and weights
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if pretrained is not None and image is None and text is None:
            model: Any = published_network(name, pretrained, own)
        else:
            model = network(config)
            if pretrained is not None:
                _load_towers(model, name, pretrained, own, image=image, text=text)

    if pretrained is not None:
        _note_activation(name, pretrained, own)

    # tokenizer and preprocessing that belong to it
    length = config["text_cfg"].get("context_length", model.context_length)
    with reading(str(own["text_cfg"].get("hf_tokenizer_name", name))):
        tokenizer = (
            open_clip.get_tokenizer(name, context_length=length)
            if text is None
            else read_tokenizer(text["hf_tokenizer_name"], context_length=length)
        )
    named = [name if pretrained is None else f"{name}:{pretrained}", image_tower, text_tower]
    bundle = Bundle(
        model=model,
        tokenizer=tokenizer,
        preprocessing=_preprocessing(config, image, antialias=antialias),
        name=" + ".join(part for part in named if part),
        context_length=length,
        config=config,
    )

    bundle = with_context_length(bundle, context_length or length)
    return fold_stem(bundle) if grey_stem else bundle


def architecture_config(name: str) -> dict[str, Any]:
    """Return open_clip's `model_cfg` of an architecture, for one class with towers `.visual` and `.text`.

    Raises:
        ValueError: open_clip does not know the architecture.
    """
    known: dict[str, Any] | None = open_clip.get_model_config(name)
    if known is None:
        near = get_close_matches(name.replace("/", "-"), published_names(), n=8, cutoff=0.5)
        advice = f"near: {', '.join(near)}" if near else "`open_clip.list_models()` lists all"
        raise ValueError(f"model {name!r} is unknown to open_clip {open_clip.__version__}; {advice}")
    # open_clip converts weights of its other layout
    return {**deepcopy(known), "custom_text": True}


def _config(name: str, pretrained: str | None, *, image_size: int | None) -> dict[str, Any]:
    """Return `architecture_config` with the image size and the activation of the published weights."""
    config = architecture_config(name)
    if image_size is not None:
        config["vision_cfg"]["image_size"] = image_size
    if pretrained is not None and (get_pretrained_cfg(name, pretrained) or {}).get("quick_gelu"):
        config["quick_gelu"] = True
    return config


def _note_activation(name: str, pretrained: str, config: dict[str, Any]) -> None:
    """Note which activation and heads a file was read with, because its tensors look the same with others."""
    towers = (config["vision_cfg"].get("timm_model_name"), config["text_cfg"].get("hf_model_name"))
    if all(towers) or get_pretrained_cfg(name, pretrained):
        return
    kind = "QuickGELU" if config.get("quick_gelu") else "GELU"
    other = f"{name}-quickgelu"
    advice = f"; if it was trained with QuickGELU: {other}" if other in published_names() else ""
    note(f"{pretrained}: the file tells neither activation nor heads; taken are those of {name}, {kind}{advice}")


def _with_towers(
    own: dict[str, Any],
    image: ImageTower | None,
    text: dict[str, Any] | None,
    *,
    embed_dim: int | None,
    keeps_weights: bool,
) -> dict[str, Any]:
    """Return the architecture's configuration with other towers and another joint space."""
    config = deepcopy(own)
    if embed_dim not in (None, own["embed_dim"]):
        if keeps_weights and (image is None or text is None):
            raise ValueError(
                f"the published weights project to {own['embed_dim']} dimensions, so embed_dim cannot be {embed_dim}:"
                f" replace both towers, or start from random weights with --random_init"
            )
        config["embed_dim"] = embed_dim
    if image is not None:
        config["vision_cfg"] = dict(image.vision_cfg)
    if text is not None:
        config["text_cfg"] = dict(text)
    return config


def _load_towers(
    model: Any,
    name: str,
    pretrained: str,
    own: dict[str, Any],
    *,
    image: ImageTower | None,
    text: dict[str, Any] | None,
) -> None:
    """Load each tower's own published weights, in place; the logit scale stays, as they were not trained together."""
    if image is None:
        model.visual = published_network(name, pretrained, own).visual
    else:
        load_image_weights(model.visual, image)
    if text is None:
        model.text = published_network(name, pretrained, own).text
    else:
        load_text_weights(model.text, text["hf_model_name"])


def _preprocessing(config: dict[str, Any], image: ImageTower | None, *, antialias: bool) -> Preprocessing:
    side = config["vision_cfg"].get("image_size", 224)
    if image is None:
        return Preprocessing(image_size=side, antialias=antialias)
    return Preprocessing(image_size=side, antialias=antialias, mean=image.mean, std=image.std)


def start_as_bag_of_words(text: TextTransformer, *, seed: int) -> None:
    """Let a random text transformer start as a bag of words, in place: the mean of its words, without their order.

    This is exact for one layer; in a deeper tower, later layers average over the means of all prefixes of the text.

    Keys are 0, so attention weights all words equally. Queries have a random bias, because with both at zero neither
    would get a gradient. Word embeddings have unit variance, so that their relative change per step is as slow as that
    of the other weights. Marks and positions are 0, so that texts start far apart and do not share an end mark. All of
    these weights are trained. Reports that share words then share features from the first step; a few thousand reports
    do not teach this otherwise.

    Args:
        text: open_clip's transformer with CLIP's tokenizer.
        seed: Seed of the word embeddings; the global generator is not changed.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        text.token_embedding.weight.normal_(generator=generator)
        text.token_embedding.weight[-N_MARKS:] = 0
        text.positional_embedding.zero_()

        for block in text.transformer.resblocks:
            block.attn.in_proj_weight.chunk(3)[1].zero_()
            block.attn.in_proj_bias.chunk(3)[0].normal_(generator=generator)
