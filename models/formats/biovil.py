"""Load BioViL and BioViL-T: CXR-BERT and a ResNet-50, each pair as Microsoft publishes it in one hub repository."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from common.notes import note
from models.bundle import Bundle
from models.files.hub import find_file
from models.files.state_dicts import read_state_dict, refuse_other_names, renamed
from models.network_input import Preprocessing
from models.towers.network import PLACE_HEAD, network
from models.towers.text_towers import find_text_tower, load_text_weights, read_tokenizer

IMAGE_SIZES = {"biovil_image_resnet50_proj_size_128.pt": 480, "biovil_t_image_model_proj_size_128.pt": 448}
"""File of the image half -> side of the centre crop of the resized image, pixels"""
RESIZED = 512
JOINT_WIDTH = 128
PRIOR_WIDTH = 256
"""Width in BioViL-T of the features of an image, and of those of its comparison with an earlier one"""
NAMES = (
    (r"^encoder\.encoder\.", "trunk."),
    (r"^encoder\.backbone_to_vit\.", "head.narrow."),
    (r"^encoder\.missing_previous_emb$", "head.no_prior"),
    (r"^projector\.model\.", "head.project."),
)
UNUSED = re.compile(r"encoder\.encoder\.fc\.|encoder\.vit_pooler\.|classifier\.")
"""ImageNet's classes, and the comparison with an earlier image"""


def load_biovil(source: str) -> Bundle:
    """Return BioViL, or BioViL-T for single images, from a hub id or folder; float32, on the CPU.

    The folder is as published: CXR-BERT's config.json, weights and tokenizer, and one of `IMAGE_SIZES`. Images are
    resized to 512 pixels and cropped at the centre, grey levels 0..1. Microsoft's code first stretches the grey levels
    of each image to the full range; here that depends on how images are packed. The files hold no logit scale: it is
    open_clip's initial one, 14.3.

    Raises:
        FileNotFoundError: There is no image half beside CXR-BERT, or one of its files is missing.
        ValueError: The weights do not fit the network.

    Source: Boecking et al., ECCV 2022; Bannur et al., CVPR 2023; microsoft/hi-ml, hi-ml-multimodal,
    health_multimodal/image: utils.py, data/transforms.py, model/pretrained.py for sizes and names.
    """
    # the image half, whose name tells the image size
    path = find_file(source, *IMAGE_SIZES)
    if path is None:
        raise FileNotFoundError(
            f"{source} is CXR-BERT, a text tower, for --text_tower: to load it with its image half, put one of"
            f" {', '.join(IMAGE_SIZES)} beside it"
        )
    side, state = IMAGE_SIZES[path.name], image_state(read_state_dict(path))

    # one configuration for both halves
    text_cfg = find_text_tower(
        source if Path(source).is_dir() else f"hf:{source}", context_length=None, embed_dim=JOINT_WIDTH
    )
    config = {
        "embed_dim": JOINT_WIDTH,
        "custom_text": True,
        "vision_cfg": {
            "image_size": side,
            "timm_model_name": "resnet50",
            "timm_pool": "avg",
            "timm_proj": "none",
            PLACE_HEAD: {"prior_width": PRIOR_WIDTH if "head.no_prior" in state else None},
        },
        "text_cfg": text_cfg,
    }

    # the weights of each half
    model: Any = network(config)
    own = model.visual.state_dict()
    refuse_other_names(f"{path}, BioViL's image half,", missing=own.keys() - state, unexpected=state.keys() - own)
    try:
        model.visual.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:400]
        raise ValueError(f"{path} has other shapes than BioViL's image half: {reason}") from error
    load_text_weights(model.text, source)
    scale = float(model.logit_scale.detach().exp())
    note(f"{source}: its files hold no logit scale; taken is open_clip's initial one, {scale:.1f}")

    return Bundle(
        model=model,
        tokenizer=read_tokenizer(source, context_length=text_cfg["context_length"]),
        preprocessing=Preprocessing(
            image_size=side, crop_from=RESIZED, mean=(0.0,), std=(255.0,), interpolation="bilinear"
        ),
        name=Path(source).name,
        context_length=text_cfg["context_length"],
        config=config,
    )


def image_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of BioViL's image half under our names, without those that a single image does not need."""
    return renamed({name: tensor for name, tensor in state.items() if not UNUSED.match(name)}, NAMES)
