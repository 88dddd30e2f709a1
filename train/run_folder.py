"""A run on disk: configuration, environment, metrics, checkpoints. Complete at every moment."""

import json
import os
import platform
import shutil
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from atomic import write_json, write_text
from models import Bundle, save
from train.config import TrainConfig

CHECKPOINTS = "checkpoints"
LATEST = "latest"
OURS = ("config.json", "environment.json", "metrics.jsonl", "tensorboard", CHECKPOINTS, LATEST)
PACKAGES = ("torch", "open_clip_torch", "timm", "numpy", "safetensors")


class RunFolder:
    """The folder of one training run; a context that closes its files."""

    def __init__(self, config: TrainConfig, *, facts: dict[str, Any]) -> None:
        """Make the folder and write what is known before the first step.

        Args:
            config: saved as config.json.
            facts: about model and data, saved in environment.json beside versions and machine.

        Raises:
            ValueError: if a run is there already and `config.overwrite` is off.
        """
        self.path = config.folder
        self._keep = config.keep
        self._clear(overwrite=config.overwrite)
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "config.json", json.loads(json.dumps(asdict(config), default=str)))
        write_json(self.path / "environment.json", {**environment(), **facts})
        self._metrics = os.open(self.path / "metrics.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._board = SummaryWriter(str(self.path / "tensorboard"))

    def _clear(self, *, overwrite: bool) -> None:
        present = [self.path / name for name in OURS if (self.path / name).exists()]
        if present and not overwrite:
            raise ValueError(
                f"{self.path} already holds a run ({', '.join(path.name for path in present)}):"
                f" choose another --model_name or --out_dir, or pass --overwrite to replace it"
            )
        for path in present:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def record(self, step: int, values: dict[str, float]) -> None:
        """Append one line to metrics.jsonl, in a single write, and the same values to TensorBoard."""
        line = json.dumps({"step": step, **values}, allow_nan=False) + "\n"
        os.write(self._metrics, line.encode())
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def save_checkpoint(self, bundle: Bundle, step: int) -> Path:
        """Save the model as checkpoints/step_NNNNNN, point `latest` at it, and let go of the oldest ones.

        The folder gets its name when everything in it is written.
        """
        final = self.path / CHECKPOINTS / f"step_{step:06d}"
        if not final.is_dir():
            unfinished = final.with_name(f".{final.name}")
            shutil.rmtree(unfinished, ignore_errors=True)
            save(bundle, unfinished)
            unfinished.rename(final)
            write_text(self.path / LATEST, f"{CHECKPOINTS}/{final.name}\n")
        for old in sorted(final.parent.glob("step_*"))[: -self._keep]:
            shutil.rmtree(old)
        return final

    def __enter__(self) -> "RunFolder":  # noqa: PYI034  (beartype knows no Self in a method)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._metrics)
        self._board.close()


def environment() -> dict[str, Any]:
    """Return versions and machine, for whoever wants to know later why a number differs."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv,
        "versions": {name: version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
