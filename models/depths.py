"""Depth of each weight below its tower's output, for layer-wise learning-rate decay."""

from typing import Any

from open_clip.hf_model import HFTextEncoder
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from timm.models import group_parameters
from torch import nn

from models.bundle import Bundle

MATCHERS = {
    ModifiedResNet: {"stem": r"(?:conv|bn)\d", "blocks": r"layer(\d+)\.(\d+)"},
    HFTextEncoder: {
        "stem": r"transformer\.embeddings",
        "blocks": r"transformer\.(?:encoder\.|transformer\.)?(?:layer|layers|block)\.(\d+)\.",
    },
}
CLIP_TRANSFORMER = {
    "stem": r"conv1|class_embedding|positional_embedding|token_embedding|cls_emb|ln_pre",
    "blocks": r"transformer\.resblocks\.(\d+)\.",
}
"""Patterns of parameter names in timm's notation; a name that matches none of them is above all layers"""


def layer_depths(bundle: Bundle) -> dict[str, int]:
    """Return the number of layers above each parameter of the model, by its name.

    0 for projections, final norms, logit scale and bias; 1 for a transformer's last block; the number of blocks plus
    one for its embeddings. Layer-wise decay gives a parameter the rate `lr * layer_decay ** depth`. timm defines the
    layers of a convolutional network (`group_matcher`).

    Source: Clark et al., ELECTRA, ICLR 2020, for the decay.
    """
    depths = dict.fromkeys((name for name, _ in bundle.model.named_parameters()), 0)
    for tower in ("visual", "text"):
        module: Any = getattr(bundle.model, tower)
        prefix, above = f"{tower}.", 0
        if isinstance(module, TimmModel):
            # one more for the projection, which timm does not count
            module, prefix, above = module.trunk, f"{tower}.trunk.", 1
        layers: dict[str, int] = group_parameters(module, _matcher(module), reverse=True)
        top = max(layers.values()) + above
        depths |= {prefix + name: top - layer for name, layer in layers.items()}
    return depths


def _matcher(module: nn.Module) -> Any:
    if hasattr(module, "group_matcher"):
        return module.group_matcher(coarse=False)  # type: ignore[operator]
    return MATCHERS.get(type(module), CLIP_TRANSFORMER)
