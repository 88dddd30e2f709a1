"""Tensors from weights files of any origin, read without running code, checked by name, and renamed."""

import pickle
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

WRAPPERS = ("state_dict", "model_state_dict", "model")
SHOWN = 6


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a `.safetensors` or `.pt` file by name, as stored, on the CPU.

    A dictionary that holds the tensors under "state_dict", "model_state_dict" or "model" is unwrapped.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is a git-lfs pointer, would run code on loading, is damaged, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path} does not exist")
    refuse_pointer(path)

    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else _load_tensors(path)
    except (SafetensorError, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged or not a weights file: {error}") from error

    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]

    if not isinstance(loaded, dict) or not loaded or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{path} is not a state dict: wanted tensors by name, found {type(loaded).__name__}")
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}


def refuse_pointer(path: Path) -> None:
    """Raise ValueError if a file is a git-lfs pointer instead of the real file."""
    with path.open("rb") as handle:
        head = handle.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"{path} is a git-lfs pointer of {path.stat().st_size} bytes, not the weights: run `git lfs pull`"
        )


def refuse_other_names(where: str, *, missing: Collection[str], unexpected: Collection[str]) -> None:
    """Raise ValueError if weights are missing or unexpected; the message names the first of each kind.

    Args:
        where: File or folder, and the network it was read for.
        missing: Names of the network that the weights lack.
        unexpected: Names that the network has no place for.
    """
    if missing or unexpected:
        lists = (("lacks {} weights of this network", missing), ("has {} that it has no place for", unexpected))
        found = [f"{text.format(len(names))}: {', '.join(sorted(names)[:SHOWN])}" for text, names in lists if names]
        raise ValueError(f"{where} {'; and '.join(found)}")


def _load_tensors(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors, and loading it could run code: refused; ask its author for a state dict"
            f" or safetensors file ({str(error).splitlines()[0]})"
        ) from error


def renamed(
    state: Mapping[str, Tensor],
    table: Iterable[tuple[str, str]],
    *,
    part: re.Pattern[str] | None = None,
    stacked: str = "",
) -> dict[str, Tensor]:
    """Return the tensors under new names; queries, keys and values become one tensor, in this order.

    Args:
        state: Tensors of a tower by name.
        table: Pairs of a pattern and its replacement; all are applied to each name.
        part: Pattern of the end of the renamed queries, keys and values; its group `letter` begins with q, k or v, and
            its group `kind` is weight or bias. None: nothing to join.
        stacked: End of the name of the joint tensor, such as "attn.qkv.{kind}".
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
