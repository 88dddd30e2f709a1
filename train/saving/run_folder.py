"""The folder of a run: configuration, environment, metrics, checkpoints, TensorBoard and W&B; complete at any time."""

import csv
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError
from torch.utils.tensorboard import SummaryWriter

from cohort.training_record import TRAINED_ON
from common.atomic import write_json, write_text
from common.versions import package_versions
from models.checkpoint import BEST, CHECKPOINTS, LATEST, checkpoint_named_by
from train.saving.state import STATE_NAME
from train.train_config import TrainConfig

LINES = "metrics.jsonl"
RUN_ID = "wandb_id"
RUN_FILES = (
    *("config.json", "environment.json", LINES, "metrics.csv", "tensorboard"),
    *(CHECKPOINTS, LATEST, BEST, RUN_ID, TRAINED_ON),
)
PACKAGES = ("torch", "open_clip_torch", "timm", "numpy", "safetensors")


def checkpoint_to_resume(config: TrainConfig) -> Path | None:
    """Return the checkpoint that `--resume` continues from; None without --resume or without a checkpoint."""
    latest = config.folder / LATEST
    if not config.resume or not latest.is_file():
        return None
    return checkpoint_named_by(latest)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the folder of a run's checkpoint of a step."""
    return folder / CHECKPOINTS / f"step_{step:06d}"


class RunFolder:
    """The folder of one training run; a context that closes its files."""

    def __init__(self, config: TrainConfig, *, facts: dict[str, Any], step: int = 0, best: int | None = None) -> None:
        """Make the folder and write configuration and environment, or continue in the folder of a resumed run.

        Args:
            config: Saved as config.json.
            facts: Facts about model and data, saved in environment.json beside versions and machine.
            step: Step that the run resumes from; anything written after it is removed. 0 is a new run.
            best: Step of the best checkpoint of a resumed run.

        Raises:
            ValueError: The folder already holds a run and the configuration neither resumes nor overwrites it, or
                `wandb` is set and the package is not installed.
        """
        self.path = config.folder
        self._keep = config.keep
        self._best_step = best
        wandb = import_wandb(config)

        # a clean start: no old run, or the run as it was at the step
        if step:
            self._take_back(step)
        else:
            self._clear(may_replace=config.overwrite or config.resume)

        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "config.json", json.loads(json.dumps(asdict(config), default=str)))
        self._write_environment({**environment(), **facts}, step=step)

        self._lines = os.open(self.path / LINES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1 if step else None)
        self._wandb = None if wandb is None else start_wandb(wandb, config)

    def record(self, step: int, values: dict[str, float]) -> None:
        """Append one line to metrics.jsonl, in a single write, and the same values to TensorBoard and W&B."""
        line = json.dumps({"step": step, **values}, allow_nan=False) + "\n"
        os.write(self._lines, line.encode())
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(values, step=step)

    def save_checkpoint(self, write: Callable[[Path], None], step: int, *, is_best: bool = False) -> Path:
        """Save checkpoints/step_NNNNNN, point `latest` (and `best`) at it, and delete the oldest ones.

        The folder gets its name when all its files are written. metrics.csv is rewritten.

        Raises:
            OSError: It could not be written, for example because the disk is full; earlier checkpoints are intact.
        """
        final = checkpoint_path(self.path, step)
        unfinished = final.with_name(f".{final.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            write(unfinished)
            unfinished.rename(final)
            write_text(self.path / LATEST, f"{CHECKPOINTS}/{final.name}\n")
            if is_best:
                self._best_step = step
                write_text(self.path / BEST, f"{CHECKPOINTS}/{final.name}\n")
            self._write_table()
        # torch and safetensors raise errors of their own when the disk is full
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise OSError(
                f"{final} could not be written ({error}); earlier checkpoints are intact: free space on the disk and"
                f" continue with --resume"
            ) from error

        self._delete_old()
        return final

    def _delete_old(self) -> None:
        """Keep the newest checkpoints and the best one; only the newest keeps its state, to resume from."""
        *older, _ = self._saved_steps()
        for old in older:
            (checkpoint_path(self.path, old) / STATE_NAME).unlink(missing_ok=True)
        for old in self._saved_steps()[: -self._keep]:
            if old != self._best_step:
                shutil.rmtree(checkpoint_path(self.path, old))

    def _saved_steps(self) -> list[int]:
        folders = (self.path / CHECKPOINTS).glob("step_*")
        return sorted(int(folder.name.removeprefix("step_")) for folder in folders)

    def _clear(self, *, may_replace: bool) -> None:
        present = [self.path / name for name in RUN_FILES if (self.path / name).exists()]
        if present and not may_replace:
            raise ValueError(
                f"{self.path} already holds a run ({', '.join(path.name for path in present)}):"
                f" choose another --model_name or --out_dir, continue it with --resume, or replace it with --overwrite"
            )
        for path in present:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _take_back(self, step: int) -> None:
        """Remove everything that a killed run wrote after the checkpoint that it resumes from."""
        kept = [json.dumps(line) + "\n" for line in read_lines(self.path) if line["step"] <= step]
        write_text(self.path / LINES, "".join(kept))
        for later in self._saved_steps():
            if later > step:
                shutil.rmtree(checkpoint_path(self.path, later))

        if self._best_step is None:
            (self.path / BEST).unlink(missing_ok=True)
        else:
            write_text(self.path / BEST, f"{CHECKPOINTS}/{checkpoint_path(self.path, self._best_step).name}\n")

    def _write_environment(self, now: dict[str, Any], *, step: int) -> None:
        """Write the environment of a new run, or add that of a resumed one to it."""
        path = self.path / "environment.json"
        if step:
            began = json.loads(path.read_text(encoding="utf-8"))
            now = {**began, "resumed": [*began.get("resumed", []), {"step": step, **now}]}
        write_json(path, now)

    def _write_table(self) -> None:
        """Write metrics.csv: the lines of metrics.jsonl as a table, one row per step and one column per name."""
        rows: dict[int, dict[str, float]] = {}
        for line in read_lines(self.path):
            rows.setdefault(line["step"], {}).update(line)

        names = dict.fromkeys(name for row in rows.values() for name in row)
        table = StringIO()
        writer = csv.DictWriter(table, fieldnames=["step", *(name for name in names if name != "step")])
        writer.writeheader()
        writer.writerows(rows.values())
        write_text(self.path / "metrics.csv", table.getvalue())

    def __enter__(self) -> "RunFolder":  # noqa: PYI034  (beartype knows no Self in a method)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lines)
        self._board.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=int(error is not None))


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics.jsonl, without a last line that a kill cut off."""
    path = folder / LINES
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in whole]


def environment() -> dict[str, Any]:
    """Return versions and machine, to explain later why a number differs."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv,
        "versions": package_versions(PACKAGES),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def import_wandb(config: TrainConfig) -> Any | None:
    """Return the package if the configuration names a project, else None.

    Raises:
        ValueError: It is not installed.
    """
    if config.wandb is None:
        return None
    if find_spec("wandb") is None:
        raise ValueError("--wandb needs the package: `pip install wandb`, then `wandb login` or WANDB_MODE=offline")
    return import_module("wandb")


def start_wandb(wandb: Any, config: TrainConfig) -> Any:
    """Return a run of the configured W&B project; a resumed run continues its curves."""
    path = config.folder / RUN_ID
    known = path.read_text(encoding="utf-8").strip() if config.resume and path.is_file() else None
    run = wandb.init(project=config.wandb, name=config.folder.name, dir=str(config.folder), id=known, resume="allow")
    write_text(path, f"{run.id}\n")
    return run
