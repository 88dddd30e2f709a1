"""A network from open_clip's `model_cfg`: random weights, in one class for all architectures."""

from copy import deepcopy
from typing import Any

from open_clip.coca_model import CoCa
from open_clip.hf_configs import arch_dict
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIPTextCfg, CustomTextCLIP
from open_clip.timm_model import TimmModel
from torch import nn

from models.hub import read_config

NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}
"""stands in for a text tower that is put in later"""


def network(config: dict[str, Any]) -> nn.Module:
    """Return open_clip's network with towers `.visual` and `.text`, in float32 on the CPU.

    Unlike open_clip's own factory it sets a timm tower's image size before weights are loaded, so that a tower
    trained at another size than its architecture's loads; and it takes any text encoder of transformers.

    Raises:
        FileNotFoundError: the configuration of a Hugging Face text tower is not there.
        ValueError: a text tower that is no encoder.
    """
    config = deepcopy(config)
    config.pop("custom_text", None)
    config["vision_cfg"]["timm_model_pretrained"] = False
    text = CLIPTextCfg(**config["text_cfg"])
    if text.hf_model_name:
        config["text_cfg"] = NO_TEXT
    model: Any = (CoCa if "multimodal_cfg" in config else CustomTextCLIP)(**config)
    if text.hf_model_name:
        model.text = _hugging_face_text(text, output_dim=config["embed_dim"])
        model.context_length, model.vocab_size = text.context_length, model.text.vocab_size
    if isinstance(model.visual, TimmModel):
        model.visual.set_input_size(config["vision_cfg"].get("image_size", 224))
    return model  # type: ignore[no-any-return]


def _hugging_face_text(text: CLIPTextCfg, *, output_dim: int) -> HFTextEncoder:
    """Return the tower without the pooler that BERT brings along: nobody reads it, so nothing would train it."""
    own = read_config(str(text.hf_model_name))
    if own.is_encoder_decoder:
        raise ValueError(
            f"text tower {text.hf_model_name} is an encoder with a decoder; wanted an encoder such as BERT"
        )
    # all that open_clip asks of a type it does not list is which field holds the width
    arch_dict.setdefault(own.model_type, {"config_names": {"width": "hidden_size"}, "pooler": text.hf_pooler_type})
    tower = HFTextEncoder(
        str(text.hf_model_name),
        output_dim=output_dim,
        config=own,
        pooler_type=text.hf_pooler_type,
        proj_type=text.hf_proj_type,
        output_tokens=text.output_tokens,
    )
    if getattr(tower.transformer, "pooler", None) is not None:
        tower.transformer.pooler = None
    return tower
