"""File names from ids and paths: readable, and never one name for two of them."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import PurePath

NO_FILE_NAME = re.compile(r"[^\w.-]+")
"""What ids of some archives contain, such as slashes"""
WEIGHTS = (".pt", ".pth", ".bin", ".safetensors")
CHECKPOINT_FOLDERS = re.compile(r"step_\d+|latest|best")
"""Names that every run gives to its checkpoints"""
DIGITS = 8


def file_name(*parts: str) -> str:
    """Return ids as a file name without suffix, joined by "_".

    8 digits of a hash follow if a part had to be changed or has a "_" of its own, so that `p1/s1` and `p1_s1` get
    different names, whichever was written first. Blanks of later parts ("Pleural Effusion") become "_" without one.
    """
    name = NO_FILE_NAME.sub("_", "_".join(parts))
    plain = "_".join([parts[0], *(part.replace(" ", "_") for part in parts[1:])])
    if name == plain and not any("_" in part for part in parts):
        return name
    return f"{name}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:DIGITS]}"


def checkpoint_name(checkpoint: str) -> str:
    """Return what a checkpoint is called: `best` for best.pt, `NAME_step_000100` for a checkpoint of the run NAME."""
    path = PurePath(checkpoint)
    name = path.stem if path.suffix in WEIGHTS else path.name
    parents = [part for part in path.parts[:-1] if part != "checkpoints" and NO_FILE_NAME.sub("", part).strip(".")]
    if parents and CHECKPOINT_FOLDERS.fullmatch(name) and path.suffix not in WEIGHTS:
        name = f"{parents[-1]}_{name}"
    return NO_FILE_NAME.sub("_", name).strip(".") or "model"


def result_name(checkpoints: Sequence[str]) -> str:
    """Return the name of the results of one or several checkpoints, in any order."""
    names = sorted(map(checkpoint_name, checkpoints))
    return names[0] if len(names) == 1 else f"{names[0]}_and_{len(names) - 1}_more"


def checkpoint_files(checkpoints: Sequence[str]) -> list[str]:
    """Return a file name without suffix for each checkpoint: its stem, and more of it where two are called the same."""
    stems = [PurePath(checkpoint).stem for checkpoint in checkpoints]
    return [
        stem if stems.count(stem) == 1 else file_name(checkpoint_name(checkpoint), checkpoint)
        for stem, checkpoint in zip(stems, checkpoints, strict=True)
    ]
