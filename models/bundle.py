"""A model with its tokenizer, preprocessing and configuration, and its features of a batch of images or texts."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from open_clip.hf_model import HFTextEncoder
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.end_mark import encode_at_end_mark, is_read_at_end_mark
from models.network_input import Preprocessing, to_network_input
from models.tokens import pad_id, trim_padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """An image-text model with everything that is needed to use it."""

    model: nn.Module
    """open_clip `CustomTextCLIP`: towers `.visual` and `.text`, parameter `.logit_scale` (log of the scale)"""
    tokenizer: Any
    """open_clip tokenizer, from texts to ids"""
    preprocessing: Preprocessing
    """Preprocessing of the image tower"""
    name: str
    """Origin: architecture, tag or path"""
    context_length: int
    """Maximum number of tokens of a text, with start and end mark"""
    config: dict[str, Any]
    """open_clip `model_cfg`, which builds the same architecture"""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.model.parameters()).device

    @property
    def trims_text(self) -> bool:
        """Whether text features do not depend on padding, so that cutting it is exact.

        True for causal transformers read at their end mark and for Hugging Face towers with a padding mask. False for
        bidirectional towers without a mask (SigLIP) and if a class token follows the padding (CoCa).
        """
        text: Any = self.model.text
        return is_read_at_end_mark(text) or isinstance(text, HFTextEncoder)


def image_features(bundle: Bundle, network_input: Float[Tensor, "n c r r"]) -> Float[Tensor, "n d"]:
    """Return image features, float32 and L2-normalised, with gradients and in the model's current mode."""
    features: Tensor = bundle.model.encode_image(network_input)  # type: ignore[operator]
    return normalize(features.float(), dim=-1)


def text_features(bundle: Bundle, tokens: Int[Tensor, "k t"]) -> Float[Tensor, "k d"]:
    """Return text features, float32 and L2-normalised, with gradients and in the model's current mode.

    Rows may be shorter than the context length if `bundle.trims_text`.
    """
    text: Any = bundle.model.text
    features = encode_at_end_mark(text, tokens) if is_read_at_end_mark(text) else text(tokens)
    return normalize(features.float(), dim=-1)


@contextmanager
def evaluation_mode(model: nn.Module, *, bf16: bool) -> Iterator[None]:
    """Put the model into evaluation mode without gradients; the mode it had is restored at the end."""
    was_training = model.training
    device = next(model.parameters()).device.type

    model.eval()
    try:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=bf16):
            yield
    finally:
        model.train(was_training)


def encode_images(bundle: Bundle, images: UInt8[Tensor, "n h w"], *, bf16: bool = False) -> Float[Tensor, "n d"]:
    """Return float32 L2-normalised image features, computed in evaluation mode on the model's device.

    Args:
        bundle: The model.
        images: Grey levels 0..255 as stored; one batch, of a size that the caller chooses.
        bf16: Compute in bfloat16 autocast (features differ by about 1e-2).
    """
    with evaluation_mode(bundle.model, bf16=bf16):
        return image_features(bundle, to_network_input(images.to(bundle.device), bundle.preprocessing))


def encode_texts(bundle: Bundle, tokens: Int[Tensor, "k t"], *, bf16: bool = False) -> Float[Tensor, "k d"]:
    """Return float32 L2-normalised text features, computed in evaluation mode on the model's device.

    Padding is cut to the longest row if that is exact.
    """
    if bundle.trims_text:
        tokens = trim_padding(tokens, padding=pad_id(bundle.tokenizer))  # (k, t) -> (k, u)
    with evaluation_mode(bundle.model, bf16=bf16):
        return text_features(bundle, tokens.to(bundle.device))


def fingerprint(bundle: Bundle) -> str:
    """Return the SHA-256 over all names, types, shapes and values of the weights (64 hexadecimal digits)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(bundle.model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
