"""Tensors from weights files of any origin, read without running code, checked by name, and renamed."""

import pickle
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.")
"""In front of all names: by DistributedDataParallel, by `torch.compile`, and by Lightning"""
OPENAI_SIZES = ("input_resolution", "context_length", "vocab_size")
"""Numbers beside the weights in the archives that OpenAI publishes, which are not weights"""
NUMBERS: tuple[Any, ...] = (
    np.dtype,
    *(type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"),
    np.ndarray,
    *((np.float64(0).__reduce__()[0], f"numpy.{place}.multiarray.scalar") for place in ("core", "_core")),
    *((np.zeros(0).__reduce__()[0], f"numpy.{place}.multiarray._reconstruct") for place in ("core", "_core")),
)
"""Numbers and arrays of numpy, such as a score beside the weights; reading them runs no code of the file"""
SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeights:
    """The tensors of a weights file, and what the file says of their origin."""

    tensors: dict[str, Tensor]
    """Tensors by name, as stored, on the CPU"""
    is_changed: bool
    """Whether the names or the layout of the file were changed to get them, so that other readers would not"""
    is_openai: bool
    """Whether they lie beside the sizes that OpenAI's archives hold, so that they were trained with QuickGELU"""

    @property
    def is_half_as_openai(self) -> bool:
        """Whether OpenAI's code has converted them to mixed float16; it knows only QuickGELU and heads 64 wide."""
        kinds = {name: self.tensors[name].dtype for name in ("visual.proj", "ln_final.weight") if name in self.tensors}
        return kinds == {"visual.proj": torch.float16, "ln_final.weight": torch.float32}


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name; see `read_weights`."""
    return read_weights(path).tensors


def read_weights(path: Path | str) -> StoredWeights:
    """Return the tensors of a `.safetensors` or `.pt` file.

    A dictionary that holds the tensors under "state_dict", "model_state_dict" or "model" is unwrapped, and the prefixes
    that training programs put in front of all names are removed.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is a git-lfs pointer, would run code on loading, is damaged, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path} does not exist")
    refuse_pointer(path)

    try:
        stored = load_file(path) if path.suffix == ".safetensors" else _load_tensors(path)
    except (SafetensorError, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged or not a weights file: {error}") from error

    # unwrap, then take off the prefixes
    loaded = stored
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    tensors = _named_tensors(path, loaded)
    sizes = tensors.keys() & set(OPENAI_SIZES)
    kept = _without_prefixes({name: tensor for name, tensor in tensors.items() if name not in sizes})
    return StoredWeights(
        tensors=kept, is_changed=loaded is not stored or kept.keys() != tensors.keys(), is_openai=bool(sizes)
    )


def _named_tensors(path: Path, loaded: object) -> dict[str, Tensor]:
    if not isinstance(loaded, dict) or not loaded:
        raise ValueError(f"{path} is not a state dict: wanted tensors by name, found {type(loaded).__name__}")
    others = [str(name) for name, value in loaded.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(
            f"{path} is not a state dict: wanted tensors by name, alone or under {', '.join(WRAPPERS)}; found other"
            f" values under {', '.join(others[:SHOWN])}"
        )
    return {str(name): tensor for name, tensor in loaded.items()}


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the prefixes that all names share, which may be several."""
    while found := [prefix for prefix in PREFIXES if tensors and all(name.startswith(prefix) for name in tensors)]:
        tensors = {name.removeprefix(found[0]): tensor for name, tensor in tensors.items()}
    return tensors


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
    if is_torchscript(path):
        raise ValueError(
            f"{path} is a TorchScript archive, as OpenAI publishes its weights, and holds code: refused; if you trust"
            f' it, convert it once with `python -c "import torch; torch.save(torch.jit.load({str(path)!r},'
            f" map_location='cpu').state_dict(), {str(path.with_suffix('.weights.pt'))!r})\"`, and give the new file"
        )
    try:
        with torch.serialization.safe_globals(list(NUMBERS)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        found = f", {named[1]}," if named else ""
        raise ValueError(
            f"{path} holds more than tensors{found} and loading it could run code: refused; ask its author for a state"
            f" dict or safetensors file, or, if you trust it, save its tensors alone: `torch.save(torch.load(FILE,"
            f" weights_only=False)['state_dict'], NEW)`"
        ) from error


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive: a zip with constants, which plain tensors do not have."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


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
