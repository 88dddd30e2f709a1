"""A faster forward pass of causal text towers that are read at the end mark only, such as CLIP's."""

import torch
from jaxtyping import Float, Int
from open_clip.transformer import ResidualAttentionBlock, TextTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def is_read_at_end_mark(text: nn.Module) -> bool:
    """Whether a tower is open_clip's causal transformer and its output is that of the end mark, as in CLIP.

    Tokens after the end mark then have no influence, and of the last block only the end mark's row is needed.
    """
    if not isinstance(text, TextTransformer) or not text.transformer.layers:
        return False
    is_causal = text.attn_mask is not None and text.cls_emb is None and text.pool_type in ("argmax", "eos")
    return is_causal and type(text.transformer.resblocks[-1]) is ResidualAttentionBlock


def encode_at_end_mark(text: TextTransformer, tokens: Int[Tensor, "k t"]) -> Float[Tensor, "k d"]:
    """Return the same as `text(tokens)`, also for rows that are cut after the end mark of the longest text.

    The last block's queries, output projection and MLP, and the final norm, run on one row per text instead of t.
    With one layer that is most of the tower.

    Args:
        text: A tower that `is_read_at_end_mark`.
        tokens: Ids; columns after the longest text may be cut.
    """
    # all blocks but the last, on all tokens
    length = tokens.shape[1]
    hidden = text.token_embedding(tokens) + text.positional_embedding[:length]  # (k, t, w)
    *blocks, last = text.transformer.resblocks
    mask = text.attn_mask[:length, :length]
    for block in blocks:
        if text.transformer.grad_checkpointing:
            hidden = checkpoint(block, hidden, attn_mask=mask, use_reentrant=False)
        else:
            hidden = block(hidden, attn_mask=mask)

    # attention of the last block, for the query of the end mark alone
    ends = tokens.argmax(dim=1) if text.pool_type == "argmax" else (tokens == text.eos_id).int().argmax(dim=1)
    texts = torch.arange(len(tokens), device=tokens.device)
    keys = last.ln_1(hidden)
    is_after = torch.arange(length, device=tokens.device) > ends.unsqueeze(1)  # (k, t)
    queries = keys[texts, ends].unsqueeze(1)  # (k, 1, w)
    attended, _ = last.attn(queries, keys, keys, key_padding_mask=is_after, need_weights=False)

    # the rest of the tower on one row per text
    ending = hidden[texts, ends] + last.ls_1(attended.squeeze(1))  # (k, w)
    ending = text.ln_final(ending + last.ls_2(last.mlp(last.ln_2(ending))))
    projection = text.text_projection
    if projection is not None:
        ending = projection(ending) if isinstance(projection, nn.Linear) else ending @ projection  # (k, d)
    return ending  # type: ignore[no-any-return]
