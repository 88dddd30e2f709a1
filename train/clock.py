"""Progress of a run, in steps or in minutes, and the learning-rate schedule that follows it."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from train.train_config import TrainConfig


class Clock:
    """Progress of a run, counted in steps, or in minutes of training if `max_minutes` is set.

    A resumed run starts from the steps and seconds that it had.
    """

    def __init__(self, config: TrainConfig, *, steps_per_epoch: int, step: int = 0, seconds: float = 0.0) -> None:
        self.budget_seconds = None if config.max_minutes is None else 60 * config.max_minutes
        self.steps_per_epoch = steps_per_epoch
        self.total_steps = config.epochs * steps_per_epoch
        self.step = step
        self._started = time.perf_counter() - seconds
        self._paused = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training so far, without pauses."""
        return time.perf_counter() - self._started - self._paused

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self.step / self.steps_per_epoch

    @property
    def fraction(self) -> float:
        """Share of the run at the next step, 0 to 1; for counted steps, at the middle of the step."""
        if self.budget_seconds is not None:
            return min(1.0, self.seconds / self.budget_seconds)
        return (self.step + 0.5) / self.total_steps

    @property
    def is_over(self) -> bool:
        """Whether no step is left; every run has at least one."""
        if self.budget_seconds is not None:
            return self.step > 0 and self.seconds >= self.budget_seconds
        return self.step >= self.total_steps

    @property
    def done(self) -> float:
        """Value of the progress bar: steps, or seconds of the time budget."""
        return float(self.step) if self.budget_seconds is None else min(self.seconds, self.budget_seconds)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Exclude what happens inside, validation and saving, from the time of the run."""
        if torch.cuda.is_available():
            # queued work on the device belongs to the training before the pause
            torch.cuda.synchronize()
        began = time.perf_counter()
        try:
            yield
        finally:
            self._paused += time.perf_counter() - began


def rate_factor(fraction: float, config: TrainConfig) -> float:
    """Return the learning rate as a share of `lr`: linear warm-up, then half a cosine to 0, or constant.

    With f the share of the run, w of the warm-up: `f / w` below w, then `(1 + cos(pi (f - w) / (1 - w))) / 2`.
    """
    if fraction < config.warmup:
        return fraction / config.warmup
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (fraction - config.warmup) / (1 - config.warmup)))
