"""What happens between steps: averages, the progress line, validation, checkpoints. None of it counts as training."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from tqdm import tqdm

from models import Bundle
from train.clock import Clock
from train.config import TrainConfig
from train.optimise import Step
from train.run_folder import RunFolder

Evaluate = Callable[[Bundle], dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a run came to."""

    folder: Path
    """the run's folder"""
    checkpoint: Path
    """its last checkpoint"""
    steps: int
    """updates made"""
    epochs: float
    """passes over the data"""
    seconds: float
    """of training steps, without validation and saving"""
    loss: float
    """mean over the steps since the last line of metrics.jsonl"""
    metrics: dict[str, float]
    """what `evaluate` returned at the end; empty without it"""


class Recorder:
    """Watches the steps of one run; a context that closes the progress line."""

    def __init__(
        self, bundle: Bundle, config: TrainConfig, folder: RunFolder, clock: Clock, evaluate: Evaluate | None
    ) -> None:
        self._bundle = bundle
        self._config = config
        self._folder = folder
        self._clock = clock
        self._evaluate = evaluate
        self._bar = progress_line(clock)
        self._pending: list[Step] = []
        self._last: Step | None = None
        self._loss = math.nan
        self._metrics: dict[str, float] = {}
        self._logged_seconds = 0.0
        self._validated_at = 0

    def after(self, step: Step) -> None:
        """Take note of a step, and log, validate and save where it is time."""
        self._last = step
        self._pending.append(step)
        if step.number % self._config.log_interval == 0:
            self._log()
        if step.number % self._config.eval_interval == 0:
            self._validate()
        if step.number % self._config.save_interval == 0:
            # a loss that is no number stops the run here, before it is saved
            self._log()
            with self._clock.pause():
                self._folder.save_checkpoint(self._bundle, step.number)

    def finish(self) -> RunSummary:
        """Log, validate and save the end, and return the summary."""
        if self._last is None:
            raise RuntimeError("a run has at least one step; none was reported")
        self._log()
        self._validate()
        return RunSummary(
            folder=self._folder.path,
            checkpoint=self._folder.save_checkpoint(self._bundle, self._last.number),
            steps=self._last.number,
            epochs=self._last.epoch,
            seconds=self._clock.seconds,
            loss=self._loss,
            metrics=self._metrics,
        )

    def _log(self) -> None:
        if not self._pending:
            return
        step, steps = self._pending[-1], self._pending
        model: Any = self._bundle.model
        self._loss = float(torch.stack([one.loss for one in steps]).mean())
        if not math.isfinite(self._loss):
            raise ValueError(
                f"the loss is {self._loss} by step {step.number}: lower --lr, or raise --warmup, and start again from"
                f" the last checkpoint in {self._folder.path}"
            )
        seconds = self._clock.seconds
        speed = sum(one.n_items for one in steps) / max(seconds - self._logged_seconds, 1e-9)
        values = {
            "epoch": step.epoch,
            "seconds": seconds,
            "loss": self._loss,
            "lr": step.lr,
            "logit_scale": float(model.logit_scale.detach().exp()),
            "pairs_per_second": speed,
        }
        bias = getattr(model, "logit_bias", None)
        if bias is not None:
            values["logit_bias"] = float(bias.detach())
        if step.gradient_norm is not None:
            values["gradient_norm"] = float(step.gradient_norm)
        self._folder.record(step.number, values)
        self._show(step, speed)
        self._logged_seconds = seconds
        self._pending = []

    def _show(self, step: Step, speed: float) -> None:
        shown = {"loss": f"{self._loss:.3f}", "lr": f"{step.lr:.1e}", "pairs/s": f"{speed:.0f}"}
        self._bar.set_postfix(
            {**shown, **{name: f"{value:.3f}" for name, value in self._metrics.items()}}, refresh=False
        )
        self._bar.update(self._clock.done - self._bar.n)

    def _validate(self) -> None:
        """Run the caller's validation, once per step at most, and record it; the model trains on afterwards."""
        if self._evaluate is None or self._last is None or self._validated_at == self._last.number:
            return
        self._validated_at = self._last.number
        model = self._bundle.model
        with self._clock.pause():
            model.eval()
            self._metrics = self._evaluate(self._bundle)
            model.train()
        finite = {name: value for name, value in self._metrics.items() if math.isfinite(value)}
        self._folder.record(self._last.number, {"epoch": self._last.epoch, "seconds": self._clock.seconds, **finite})

    def __enter__(self) -> "Recorder":  # noqa: PYI034  (beartype knows no Self in a method)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def progress_line(clock: Clock) -> Any:
    """Return the progress line: in steps, or in seconds where the run is bounded by a clock."""
    if clock.budget_seconds is None:
        return tqdm(total=clock.total_steps, unit="step", desc="train", dynamic_ncols=True)
    shape = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s{postfix}"
    return tqdm(total=clock.budget_seconds, desc="train", dynamic_ncols=True, bar_format=shape)
