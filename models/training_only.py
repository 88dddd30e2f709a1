"""Settings of a network that apply to training only: frozen towers, patch dropout, activation checkpointing.

None of them is part of the saved model.
"""

from types import MethodType
from typing import Any, Literal

from open_clip.hf_model import HFTextEncoder
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import PatchDropout, VisionTransformer
from timm.layers.patch_dropout import PatchDropout as TimmPatchDropout
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn

from models.bundle import Bundle
from models.towers.heads import ProjectionHead


def freeze(bundle: Bundle, tower: Literal["image", "text"]) -> None:
    """Freeze the weights of a tower, in place, and keep it in evaluation mode: no dropout, fixed norms.

    A timm or Hugging Face tower is frozen up to its projection into the joint space, which has no published weights and
    keeps learning. open_clip's towers, and CXR-BERT with its own head, are frozen with their projection, which was
    trained with them. Logit scale and bias always keep learning.

    Source: Zhai et al., LiT, CVPR 2022, for the image tower.
    """
    model: Any = bundle.model
    whole = model.visual if tower == "image" else model.text
    fixed: nn.Module = whole
    if isinstance(whole, TimmModel):
        fixed = whole.trunk
    elif isinstance(whole, HFTextEncoder) and not isinstance(whole.proj, ProjectionHead):
        fixed = whole.transformer

    fixed.requires_grad_(requires_grad=False)
    # unlike a call of eval(), this survives every later `model.train()` and a deep copy
    fixed.train = MethodType(_stay_in_evaluation, fixed)  # type: ignore[method-assign]
    fixed.eval()


def _stay_in_evaluation(module: nn.Module, mode: bool = True) -> nn.Module:  # noqa: ARG001  (as nn.Module.train has it)
    return nn.Module.train(module, mode=False)


def drop_patches(bundle: Bundle, share: float) -> None:
    """Let the image tower drop this share of its patches, drawn for each image at each step, in place.

    Raises:
        ValueError: The image tower has no patches.

    Source: Li et al., FLIP, CVPR 2023.
    """
    visual: Any = bundle.model.visual
    trunk = getattr(visual, "trunk", visual)
    if isinstance(trunk, VisionTransformer):
        trunk.patch_dropout = PatchDropout(share)
    elif isinstance(trunk, TimmVisionTransformer):
        trunk.patch_drop = TimmPatchDropout(share, num_prefix_tokens=trunk.num_prefix_tokens)
    else:
        found = type(trunk).__name__
        raise ValueError(f"patch_dropout is for vision transformers, found {found}")  # noqa: TRY004  (a wrong option)


def checkpoint_activations(bundle: Bundle) -> None:
    """Let both towers recompute their activations in the backward pass instead of storing them, in place.

    Raises:
        ValueError: The image tower cannot do it.
    """
    visual: Any = bundle.model.visual
    text: Any = bundle.model.text
    if isinstance(visual, ModifiedResNet):
        raise ValueError("gradient_checkpointing: open_clip's ResNets cannot do it; timm's can")  # noqa: TRY004
    if isinstance(visual, TimmModel):
        try:
            visual.trunk.set_grad_checkpointing(enable=True)
        except (AssertionError, AttributeError) as error:
            raise ValueError(f"gradient_checkpointing: timm's {type(visual.trunk).__name__} cannot") from error
    else:
        visual.set_grad_checkpointing(enable=True)

    if isinstance(text, HFTextEncoder):
        # transformers 5 renamed it
        old, new = "gradient_checkpointing_enable", "activation_checkpointing_enable"
        getattr(text.transformer, new if hasattr(text.transformer, new) else old)({"use_reentrant": False})
    else:
        text.set_grad_checkpointing(enable=True)
