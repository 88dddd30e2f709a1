"""From texts to token ids: tokenise, cut or refuse long texts, trim padding."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def pad_id(tokenizer: Any) -> int:
    """Return the id that pads rows: the Hugging Face tokenizer's own, or 0 for CLIP's."""
    inner = getattr(tokenizer, "tokenizer", None)
    return 0 if inner is None or inner.pad_token_id is None else int(inner.pad_token_id)


def end_id(tokenizer: Any) -> int | None:
    """Return the id that ends a text, if it is a Hugging Face tokenizer that has one."""
    inner = getattr(tokenizer, "tokenizer", None)
    return None if inner is None or inner.eos_token_id is None else int(inner.eos_token_id)


def tokenize(
    texts: Sequence[str],
    tokenizer: Any,
    *,
    context_length: int,
    on_overflow: Literal["truncate", "error"] = "truncate",
) -> Int[Tensor, "k t"]:
    """Return one row of `context_length` ids per text: start, word pieces, end, padding.

    `"truncate"` cuts a long text and keeps the end mark last, as CheXzero's training does; `"error"` refuses it, as
    its zero-shot path does, because a prompt cut in the middle means something else.

    Args:
        texts: The k texts.
        tokenizer: An open_clip tokenizer, `bundle.tokenizer`.
        context_length: Row length t.
        on_overflow: How to treat a text of more than t tokens.

    Raises:
        ValueError: With `on_overflow="error"`, naming the first texts that are too long.
    """
    if not texts:
        return torch.zeros((0, context_length), dtype=torch.int64)
    if on_overflow == "error":
        rows = too_long(texts, tokenizer, context_length=context_length).nonzero().flatten().tolist()
        if rows:
            others = ", ".join(repr(texts[row]) for row in rows[1:4])
            raise ValueError(
                f"prompt {texts[rows[0]]!r} does not fit into {context_length} tokens"
                f"{f', nor does {others}' if others else ''}"
                f" ({len(rows)} of {len(texts)} prompts are too long): shorten it"
            )
    tokens: Tensor = tokenizer(list(texts), context_length=context_length)
    return tokens


def too_long(texts: Sequence[str], tokenizer: Any, *, context_length: int) -> Bool[Tensor, "k"]:
    """Return which texts have more tokens than the context length."""
    # one token more than is read: if it is used, the text is too long
    wider: Tensor = tokenizer(list(texts), context_length=context_length + 1)  # (k, t + 1)
    return fills_row(wider, tokenizer)


def fills_row(tokens: Int[Tensor, "k t"], tokenizer: Any) -> Bool[Tensor, "k"]:
    """Return which rows have no padding: their texts have t tokens, or more and were cut."""
    # SigLIP fills rows with its end mark, which is also the last id of a row that was cut
    last_that_fits = -2 if pad_id(tokenizer) == end_id(tokenizer) else -1
    return tokens[:, last_that_fits] != pad_id(tokenizer)


def trim_padding(tokens: Int[Tensor, "k t"], *, padding: int = 0) -> Int[Tensor, "k u"]:
    """Cut the columns after the longest row's last token; at least one column stays.

    Exact for towers that never look at what follows the end mark: see `Bundle.trims_text`.
    """
    used = (tokens != padding).any(dim=0).nonzero()
    return tokens[:, : int(used[-1]) + 1] if len(used) else tokens[:, :1]
