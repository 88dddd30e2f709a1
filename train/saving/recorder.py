"""Between the steps of a run: log, progress bar, validation, checkpoints. None of it counts as training time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import torch
from tqdm import tqdm

from common.progress import progress
from models import Bundle, save, save_chexzero
from train.clock import Clock
from train.optimise import Step
from train.saving.run_folder import RunFolder, checkpoint_path
from train.saving.state import Learner, Progress, RunIdentity, save_state
from train.train_config import TrainConfig

Evaluate = Callable[[Bundle], dict[str, float]]
LOW_IS_GOOD = ("loss", "rank")
"""Words in the name of a figure that is better when lower"""

FEW_STEPS = 500
"""Steps below which a run is called under-trained; 300 on 142 real pairs scored at chance, 900 in the demo 0.82"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The result of a run."""

    folder: Path
    """Folder of the run"""
    checkpoint: Path
    """Last checkpoint"""
    best: Path | None
    """Best checkpoint by `TrainConfig.best_by`; None without validation"""
    steps: int
    """Steps taken, skipped ones included"""
    skipped: int
    """Steps whose gradient was not finite"""
    epochs: float
    """Passes over the data"""
    seconds: float
    """Seconds of training steps, without validation and saving"""
    loss: float
    """Mean over the steps since the last line of metrics.jsonl; NaN if there was none"""
    metrics: dict[str, float]
    """Result of the last `evaluate`; empty without one"""
    stopped_by: str | None
    """Why the run ended early: "patience", or the name of the signal; None if it came to its end"""
    notes: tuple[str, ...] = ()
    """Notes for the user, such as failed validations or too few steps"""

    @property
    def was_interrupted(self) -> bool:
        """Whether a signal or another process ended the run early."""
        return self.stopped_by not in (None, "patience")

    def __str__(self) -> str:
        made = f"{self.steps} steps, {self.epochs:.1f} epochs, {self.seconds:.0f} s; model in {self.checkpoint}"
        if self.best not in (None, self.checkpoint):
            made += f"\nbest by validation: {self.best}; score it with --checkpoints {self.folder}"
        made += "".join(f"\nnote: {note}" for note in self.notes)
        if not self.was_interrupted:
            reason = "early stopping: no improvement in the last validations"
            return made if self.stopped_by is None else f"{made}\n{reason}"
        return f"{made}\n{self.stopped_by}: stopped after this step; run the same command with --resume to continue"


class Recorder:
    """The record of one run, which follows its steps; a context that closes the progress bar."""

    def __init__(
        self,
        learner: Learner,
        identity: RunIdentity,
        config: TrainConfig,
        folder: RunFolder,
        clock: Clock,
        *,
        progress: Progress,
        evaluate: Evaluate | None,
    ) -> None:
        self._learner = learner
        self._identity = identity
        self._config = config
        self._folder = folder
        self._clock = clock
        self._evaluate = evaluate
        self._progress = progress
        self._bar = progress_line(clock)
        self._pending: list[Step] = []
        self._loss = math.nan
        self._logged_seconds = clock.seconds
        self._validated_at = self._saved_at = progress.step or -1
        self._is_save_due = False
        self._failed_validations = 0
        self._is_unknown_told = False

    @property
    def is_out_of_patience(self) -> bool:
        """Whether the last `patience` validations brought no improvement."""
        return self._config.patience is not None and self._progress.without_better >= self._config.patience

    def after(self, step: Step) -> None:
        """Count a step, and log, validate and save if it is time."""
        self._progress.step = step.number
        self._progress.skipped += step.is_skipped
        self._pending.append(step)
        if step.number % self._config.log_interval == 0:
            self._log()

        is_best = step.number % self._config.eval_interval == 0 and self._validate()
        self._is_save_due |= is_best or step.number % self._config.save_interval == 0
        # not after a skipped step: weights with infinite gradients may be broken, and must not replace good ones
        if self._is_save_due and (is_best or not step.is_skipped):
            self._save(is_best=is_best)

    def finish(self, *, stopped_by: str | None) -> RunSummary:
        """Log, validate (unless a signal ended the run), save, and return the summary."""
        self._log()
        is_best = stopped_by in (None, "patience") and self._validate()
        if self._saved_at != self._progress.step:
            self._save(is_best=is_best)

        best = self._progress.best_step
        return RunSummary(
            folder=self._folder.path,
            checkpoint=checkpoint_path(self._folder.path, self._progress.step),
            best=None if best is None else checkpoint_path(self._folder.path, best),
            steps=self._progress.step,
            skipped=self._progress.skipped,
            epochs=self._clock.epoch,
            seconds=self._clock.seconds,
            loss=self._loss,
            metrics=self._progress.metrics,
            stopped_by=stopped_by,
            notes=self._notes(stopped_by),
        )

    def _notes(self, stopped_by: str | None) -> tuple[str, ...]:
        """Return what the user should know of a run that ended."""
        notes = []
        if self._failed_validations:
            notes.append(f"{self._failed_validations} validations failed; their reasons are printed above")
        if stopped_by is None and (self._clock.step < FEW_STEPS or self._clock.epoch < 1):
            notes.append(
                f"under-trained: wanted {FEW_STEPS:,} steps or more and a whole pass over the pairs, found "
                f"{self._clock.step:,} steps and {self._clock.epoch:.1f} passes: raise --epochs or --max_minutes, or "
                f"lower --batch_size {self._config.batch_size}"
            )
        return tuple(notes)

    def _log(self) -> None:
        if not self._pending:
            return

        # means over the steps since the last line
        step, steps = self._pending[-1], self._pending
        seconds = self._clock.seconds
        passed = max(seconds - self._logged_seconds, 1e-9)
        values = {
            "epoch": step.epoch,
            "seconds": seconds,
            **_means([one for one in steps if not one.is_skipped]),
            "lr": step.lr,
            **_temperature(self._learner.bundle.model),
            "pairs_per_second": sum(one.n_items for one in steps) / passed,
            "reading_share": min(1.0, sum(one.reading_seconds for one in steps) / passed),
            "memory_gib": memory_gib(self._learner.bundle.device),
            "skipped_steps": float(self._progress.skipped),
        }

        self._loss = values.get("loss", math.nan)
        self._folder.record(step.number, values)
        self._show(values)
        self._logged_seconds = seconds
        self._pending = []

    def _show(self, values: dict[str, float]) -> None:
        in_time = self._clock.budget_seconds is not None
        shown = {
            **({"step": str(self._progress.step)} if in_time else {}),
            "loss": f"{self._loss:.3f}",
            "lr": f"{values['lr']:.1e}",
            "pairs/s": f"{values['pairs_per_second']:.0f}",
            "data": f"{values['reading_share']:.0%}",
            "mem": f"{values['memory_gib']:.1f}G",
        }
        name = self._config.best_by
        if name in self._progress.metrics:
            shown[name] = f"{self._progress.metrics[name]:.3f}"
        if self._progress.skipped:
            shown["skipped"] = str(self._progress.skipped)
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(int(self._clock.done) - self._bar.n)

    def _validate(self) -> bool:
        """Validate, at most once per step, and record the figures; return whether they are the best so far."""
        step = self._progress.step
        if self._evaluate is None or self._validated_at == step:
            return False
        self._validated_at = step

        metrics = self._figures(self._evaluate)
        if metrics is None:
            return False

        self._progress.metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        times = {"epoch": self._clock.epoch, "seconds": self._clock.seconds}
        self._folder.record(step, {**times, **self._progress.metrics})
        return self._is_better(metrics)

    def _figures(self, evaluate: Evaluate) -> dict[str, float] | None:
        """Return the figures of a validation; None if it failed, because hours of training are worth more."""
        bundle = self._learner.bundle_to_save
        modes = [(module, module.training) for module in bundle.model.modules()]
        try:
            with self._clock.pause():
                bundle.model.eval()
                return evaluate(bundle)
        except (ValueError, ArithmeticError, LookupError, RuntimeError, OSError) as error:
            self._failed_validations += 1
            tqdm.write(f"note: the validation after step {self._progress.step} failed, training continues: {error}")
            return None
        finally:
            # restored one by one, because a frozen tower stays in evaluation mode
            for module, is_training in modes:
                module.training = is_training

    def _is_better(self, metrics: dict[str, float]) -> bool:
        name, progress = self._config.best_by, self._progress
        if name not in metrics:
            self._refuse_unknown(metrics)

        sign = -1 if any(word in name for word in LOW_IS_GOOD) else 1
        value = metrics.get(name, math.nan)
        # an undefined figure is never better
        if math.isfinite(value) and (progress.best is None or sign * value > sign * progress.best):
            progress.best, progress.best_step, progress.without_better = value, progress.step, 0
            return True
        progress.without_better += 1
        return False

    def _refuse_unknown(self, metrics: dict[str, float]) -> None:
        """Note that `best_by` names no figure; an error if the end of the run depends on it."""
        found = f"--best_by: wanted a figure of the validation, found {self._config.best_by}, not among "
        found += ", ".join(metrics) or "none"
        if self._config.patience is not None:
            # the steps so far are not lost
            self._save(is_best=False)
            raise ValueError(f"{found}: --patience waits for it to improve")
        if not self._is_unknown_told:
            tqdm.write(f"note: {found}: no checkpoint is marked as the best")
        self._is_unknown_told = True

    def _save(self, *, is_best: bool) -> None:
        self._log()
        with self._clock.pause():
            self._progress.seconds = self._clock.seconds
            self._folder.save_checkpoint(self._write, self._progress.step, is_best=is_best)
        self._saved_at, self._is_save_due = self._progress.step, False

    def _write(self, folder: Path) -> None:
        bundle = self._learner.bundle_to_save
        save(bundle, folder)
        if self._config.save_format == "chexzero":
            save_chexzero(bundle, folder / "model.pt")
        save_state(folder, self._learner, self._progress, self._identity)

    def __enter__(self) -> "Recorder":  # noqa: PYI034  (beartype knows no Self in a method)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def _means(steps: list[Step]) -> dict[str, float]:
    """Return mean loss, loss floor and gradient norm of steps, without those that are NaN."""
    if not steps:
        return {}
    loss = float(torch.stack([one.loss for one in steps]).mean())
    floor = sum(one.loss_floor for one in steps) / len(steps)
    norm = sum(one.gradient_norm for one in steps) / len(steps)
    means = {"loss": loss, "loss_floor": floor, "gradient_norm": norm}
    return {name: value for name, value in means.items() if math.isfinite(value)}


def _temperature(model: Any) -> dict[str, float]:
    values = {"logit_scale": float(model.logit_scale.detach().exp())}
    bias = getattr(model, "logit_bias", None)
    return values if bias is None else {**values, "logit_bias": float(bias.detach())}


def memory_gib(device: torch.device) -> float:
    """Return the memory in use, GiB: torch's peak on a CUDA device, else the current memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    held: int = psutil.Process().memory_info().rss
    return held / 2**30


def progress_line(clock: Clock, *, desc: str = "train") -> Any:
    """Return the progress of a run in steps, or in seconds if it has a time limit; in a log file, a line a minute."""
    unit, total = ("step", clock.total_steps)
    if clock.budget_seconds is not None:
        unit, total = "second", round(clock.budget_seconds)
    return progress(total=total, initial=int(clock.done), unit=unit, desc=desc, dynamic_ncols=True)
