"""A network with random weights from open_clip's `model_cfg`, in one class for all architectures."""

from copy import deepcopy
from typing import Any

import timm
from open_clip.coca_model import CoCa
from open_clip.hf_configs import arch_dict
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from open_clip.timm_model import TimmModel
from torch import nn

from models.files.hub import read_config
from models.towers.heads import PlaceHead, ProjectionHead

NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}
"""Placeholder for a text tower that is set later"""
NO_IMAGE = {"image_size": 1, "patch_size": 1, "width": 1, "head_width": 1, "layers": 1}
"""Placeholder for an image tower that is set later"""
TIMM_OPTIONS = "timm_options"
"""Key of `vision_cfg` that open_clip lacks: options for timm that change the architecture of that name"""
PLACE_HEAD = "place_head"
"""Key of `vision_cfg` that open_clip lacks: options of `PlaceHead`, which replaces pooling and projection"""
OWN_PROJECTION = "projection_head"
"""`hf_proj_type` that open_clip lacks: `ProjectionHead`"""
READS_POOLER = "cls_pooler"
"""`hf_pooler_type` that reads BERT's pooler"""
TRAINING_ONLY = ("patch_dropout", "timm_drop", "timm_drop_path", "timm_model_pretrained", "hf_model_pretrained")
"""Options of a tower that change its training or the source of its weights, but no feature"""
PLACES = ("hf_model_name", "hf_tokenizer_name")
"""Options of a tower that name files or repositories"""


def network(config: dict[str, Any]) -> nn.Module:
    """Return open_clip's network with towers `.visual` and `.text`, in float32 on the CPU.

    Unlike open_clip's factory it sets the image size of a timm tower before weights are loaded, so that a tower trained
    at another size than its architecture's can be loaded. It also accepts any text encoder of transformers, and towers
    that open_clip cannot describe (`TIMM_OPTIONS`, `PLACE_HEAD`, `OWN_PROJECTION`).

    Raises:
        FileNotFoundError: The configuration of a Hugging Face text tower is not there.
        ValueError: The text tower is not an encoder.
    """
    # options that open_clip does not know are taken out first
    config = deepcopy(config)
    config.pop("custom_text", None)
    config["vision_cfg"]["timm_model_pretrained"] = False
    timm_options = config["vision_cfg"].pop(TIMM_OPTIONS, None)
    place_head = config["vision_cfg"].pop(PLACE_HEAD, None)
    image, text = CLIPVisionCfg(**config["vision_cfg"]), CLIPTextCfg(**config["text_cfg"])

    # open_clip's network, with placeholders for towers that it cannot build
    if timm_options is not None:
        config["vision_cfg"] = NO_IMAGE
    if text.hf_model_name:
        config["text_cfg"] = NO_TEXT
    model: Any = (CoCa if "multimodal_cfg" in config else CustomTextCLIP)(**config)

    # the towers themselves
    if text.hf_model_name:
        model.text = _hugging_face_text(text, output_dim=config["embed_dim"])
        model.context_length, model.vocab_size = text.context_length, model.text.vocab_size
    if timm_options is not None:
        model.visual = _changed_timm_image(image, timm_options, output_dim=config["embed_dim"])
    if place_head is not None:
        model.visual.trunk.reset_classifier(0, global_pool="")
        model.visual.head = PlaceHead(model.visual.trunk.num_features, config["embed_dim"], **place_head)
    if isinstance(model.visual, TimmModel):
        model.visual.set_input_size(image.image_size)

    return model  # type: ignore[no-any-return]


def described(config: dict[str, Any]) -> dict[str, Any]:
    """Return every option of a configuration that features depend on, with its default where it is not given."""
    own = {key: config["vision_cfg"][key] for key in (TIMM_OPTIONS, PLACE_HEAD) if key in config["vision_cfg"]}
    vision = {key: value for key, value in config["vision_cfg"].items() if key not in own}
    towers = {"vision": vars(CLIPVisionCfg(**vision)) | own, "text": vars(CLIPTextCfg(**config["text_cfg"]))}

    options = {
        f"{tower} {key}": value
        for tower, values in towers.items()
        for key, value in values.items()
        if key not in (*TRAINING_ONLY, *PLACES)
    }
    return options | {"embed_dim": config["embed_dim"], "quick_gelu": config.get("quick_gelu", False)}


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the options in which two configurations differ, in words: "quick_gelu is False, not True"."""
    ours, theirs = described(found), described(wanted)
    return [
        f"{key} is {ours.get(key)}, not {theirs.get(key)}" for key in ours | theirs if ours.get(key) != theirs.get(key)
    ]


def _changed_timm_image(image: CLIPVisionCfg, options: dict[str, Any], *, output_dim: int) -> TimmModel:
    """Return a timm tower whose sizes differ from those of its name; its output is in the joint space."""
    # open_clip cannot pass sizes on to timm, so its smallest network is built and then replaced
    tower = TimmModel("test_vit", output_dim, image_size=image.image_size, pool="token", proj="none")
    tower.trunk = timm.create_model(
        image.timm_model_name, num_classes=0, global_pool=image.timm_pool, img_size=image.image_size, **options
    )
    return tower


def _hugging_face_text(text: CLIPTextCfg, *, output_dim: int) -> HFTextEncoder:
    """Return the text tower; BERT's pooler is removed unless it is read, because nothing would train it."""
    own = read_config(str(text.hf_model_name))
    if own.is_encoder_decoder:
        raise ValueError(
            f"text tower {text.hf_model_name} is an encoder with a decoder; wanted an encoder such as BERT"
        )

    # for a type that open_clip does not list, it needs only the name of the field with the width
    arch_dict.setdefault(own.model_type, {"config_names": {"width": "hidden_size"}, "pooler": text.hf_pooler_type})
    has_own = text.hf_proj_type == OWN_PROJECTION
    tower = HFTextEncoder(
        str(text.hf_model_name),
        output_dim=output_dim,
        config=own,
        pooler_type=text.hf_pooler_type,
        proj_type=None if has_own else text.hf_proj_type,
        output_tokens=text.output_tokens,
    )

    if has_own:
        tower.proj = ProjectionHead(own.hidden_size, output_dim)
    if text.hf_pooler_type != READS_POOLER and getattr(tower.transformer, "pooler", None) is not None:
        tower.transformer.pooler = None
    return tower
