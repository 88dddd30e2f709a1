"""Weights & Biases, for those who want it: an optional package that nothing else here needs."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from atomic import write_text
from train.config import TrainConfig

RUN_ID = "wandb_id"


def import_wandb(config: TrainConfig) -> Any | None:
    """Return the package where the configuration names a project, else None.

    Raises:
        ValueError: it is not installed.
    """
    if config.wandb is None:
        return None
    if find_spec("wandb") is None:
        raise ValueError("--wandb needs the package: `pip install wandb`, then `wandb login` or WANDB_MODE=offline")
    return import_module("wandb")


def start_wandb(wandb: Any, config: TrainConfig) -> Any:
    """Return a run of the configuration's project; a resumed one goes on with the curves that it began."""
    path = config.folder / RUN_ID
    known = path.read_text(encoding="utf-8").strip() if config.resume and path.is_file() else None
    run = wandb.init(project=config.wandb, name=config.folder.name, dir=str(config.folder), id=known, resume="allow")
    write_text(path, f"{run.id}\n")
    return run
