"""Change the context length of a text tower: position embeddings cut, or stretched for longer texts."""

from copy import copy
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from open_clip.hf_model import HFTextEncoder
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.bundle import Bundle
from models.end_mark import is_read_at_end_mark
from models.towers.text_towers import positions_of

KEPT = 20
"""First positions that keep their values: most captions of CLIP are short, so only these are well trained"""


def stretch(positions: Float[Tensor, "t w"], length: int) -> Float[Tensor, "u w"]:
    """Return `length` positions; fewer are the first ones, more keep the first 20 and stretch the others linearly.

    The last trained position becomes the last one. Features of texts of at most 20 tokens, which most sentences of
    reports are, do not change; plain interpolation over all positions would change them. (Of fewer than 40 trained
    positions, the first half is kept.)

    Source: Zhang et al., Long-CLIP, ECCV 2024, section 3.2 (knowledge-preserved stretching).
    """
    if length <= len(positions):
        return positions[:length].clone()

    kept = min(KEPT, len(positions) // 2)
    tail = positions[kept:].double().T.unsqueeze(0)  # (1, w, t - kept)
    stretched = interpolate(tail, size=length - kept, mode="linear", align_corners=True)  # (1, w, u - kept)
    return torch.cat([positions[:kept], stretched.squeeze(0).T.to(positions.dtype)])  # (u, w)


def with_context_length(bundle: Bundle, length: int) -> Bundle:
    """Return the bundle for texts of `length` tokens; its model is changed in place.

    Raises:
        ValueError: The tower reads its padding, so that its length is part of its training; or it is an encoder of the
            Hugging Face hub with fewer positions.
    """
    if length == bundle.context_length:
        return bundle

    # the text tower: Hugging Face's have spare positions, CLIP's are stretched, others cannot change
    model: Any = bundle.model
    text = model.text
    if isinstance(text, HFTextEncoder):
        most = positions_of(text.config)
        if length > most:
            raise ValueError(f"{bundle.name}: its text tower has positions for {most} tokens, not for {length}")
    elif is_read_at_end_mark(text):
        text.positional_embedding = nn.Parameter(stretch(text.positional_embedding.detach(), length))
        text.num_pos = text.context_length = length
        text.attn_mask = text.build_causal_mask().to(text.positional_embedding.device)
    else:
        raise ValueError(
            f"{bundle.name}: its text tower reads the padding, so it knows {bundle.context_length} tokens only;"
            f" it cannot have context_length {length}"
        )

    # model, tokenizer and configuration agree on the length
    model.context_length = length
    tokenizer = copy(bundle.tokenizer)
    tokenizer.context_length = length
    config = {**bundle.config, "text_cfg": {**bundle.config["text_cfg"], "context_length": length}}
    return replace(bundle, tokenizer=tokenizer, context_length=length, config=config)
