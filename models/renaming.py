"""Weights under the names of another implementation of the same network."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def renamed(
    state: Mapping[str, Tensor],
    table: Iterable[tuple[str, str]],
    *,
    part: re.Pattern[str] | None = None,
    stacked: str = "",
) -> dict[str, Tensor]:
    """Return the tensors under new names; queries, keys and values become one tensor, in this order.

    Args:
        state: a tower's tensors by name.
        table: pairs of a pattern and its replacement, all of them applied to each name.
        part: what the renamed queries, keys and values end with; its group `letter` begins with q, k or v, and its
            group `kind` is weight or bias. None: there are none to join.
        stacked: what the name of the one tensor ends with, such as "attn.qkv.{kind}".
    """
    converted: dict[str, Tensor] = {}
    stacks: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        new = name
        for old, replacement in table:
            new = re.sub(old, replacement, new)
        found = part.search(new) if part else None
        if found:
            whole = new[: found.start()] + stacked.format(kind=found["kind"])
            stacks.setdefault(whole, {})[found["letter"][0]] = tensor
        else:
            converted[new] = tensor
    return converted | {name: torch.cat([parts[letter] for letter in "qkv"]) for name, parts in stacks.items()}
