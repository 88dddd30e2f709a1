"""Dry run: the first two steps of a run, to see the memory and time that it would need; writes nothing."""

from dataclasses import dataclass
from itertools import islice

import torch

from models import Bundle, pick_device
from train.clock import Clock
from train.distributed import join_world
from train.fit_pairs import Run, start_learner
from train.input.batches import PairBatches, batches_from
from train.input.pairs import Pairs
from train.saving.recorder import memory_gib
from train.step import notes_of
from train.train_config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """Shapes, weights, loss, memory and time that two steps showed."""

    shapes: dict[str, tuple[int, ...]]
    """Shapes of the first batch's tensors on this process"""
    parameters: int
    """Number of weights"""
    trainable: int
    """Number of weights that the optimiser changes"""
    loss: float
    """Loss of the first batch"""
    seconds_per_step: float
    """Seconds of the second step, reading included"""
    memory_gib: float
    """Model, optimiser and activations, GiB: the peak on a CUDA device, the process's current memory on a CPU"""
    steps: int | None
    """Steps of the whole run; None where minutes limit it"""
    notes: tuple[str, ...] = ()
    """Notes for the user, as the run itself prints them"""

    def __str__(self) -> str:
        shapes = "".join(f"\n  {name}: {' x '.join(map(str, shape))}" for name, shape in self.shapes.items())
        hours = (
            "" if self.steps is None else f"; {self.steps:,} steps: {self.steps * self.seconds_per_step / 3600:.1f} h"
        )
        notes = "".join(f"note: {note}\n" for note in self.notes)
        return (
            f"{notes}first batch:{shapes}\n"
            f"weights: {self.parameters:,}, trainable {self.trainable:,}\n"
            f"loss: {self.loss:.4f}\n"
            f"memory: {self.memory_gib:.2f} GiB\n"
            f"a step takes {self.seconds_per_step:.2f} s, without validation and saving{hours}"
        )


def dry_run(bundle: Bundle, pairs: Pairs, config: TrainConfig) -> DryRun:
    """Take two whole steps as `fit` does and return what they needed; the first one is the warm-up.

    Raises:
        As `fit`; a batch that does not fit into memory raises torch's own error.
    """
    with join_world(pick_device(config.device)) as world:
        batches = PairBatches(pairs, bundle, config, world)
        first = next(batches_from(0, batches, config))
        learner = start_learner(bundle, config)
        clock = Clock(config, steps_per_epoch=batches.order.steps_per_epoch)
        run = Run(learner=learner, batches=batches, clock=clock, config=config, world=world)

        ends, losses = [], []
        for step in islice(run.steps(should_end=lambda: False), 2):
            losses.append(float(step.loss))
            ends.append(clock.seconds)

        weights = [(one.numel(), one.requires_grad) for one in bundle.model.parameters()]
        return DryRun(
            shapes={name: tuple(getattr(first, name).shape) for name in ("images", "tokens", "targets")},
            parameters=sum(n for n, _ in weights),
            trainable=sum(n for n, is_trainable in weights if is_trainable),
            loss=losses[0],
            seconds_per_step=ends[-1] - (ends[0] if len(ends) > 1 else 0),
            memory_gib=memory_gib(torch.device(bundle.device)),
            steps=clock.total_steps if clock.budget_seconds is None else None,
            notes=(*batches.notes, *notes_of(bundle, config, world)),
        )
