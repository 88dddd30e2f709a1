"""Contrastive training: `fit` puts pairs, model, step, loop and recorder together."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from tqdm import tqdm

from models import Bundle, pick_device
from models.depths import layer_depths
from train.clock import Clock
from train.distributed import World, join_world
from train.hardware import cpu_threads
from train.input.batches import PairBatches, batches_from
from train.input.pairs import Pairs
from train.optimise import Step, make_optimizer, make_scaler, optimise
from train.saving.recorder import Evaluate, Recorder, RunSummary
from train.saving.run_folder import RunFolder, checkpoint_path, checkpoint_to_resume
from train.saving.state import Learner, Progress, RunIdentity, load_state
from train.saving.trained_on import record_trained_on
from train.signals import EndRequest, end_requests
from train.step import ContrastiveStep, notes_of, prepare
from train.train_config import TrainConfig

LARGEST_LOG_SCALE = math.log(100)
AVERAGE_WARMUP = 10
"""Steps over which the moving average forgets the weights that the run began with (see `moving_average`)"""


def fit(
    bundle: Bundle,
    pairs: Pairs,
    config: TrainConfig,
    *,
    evaluate: Evaluate | None = None,
    selected: pd.DataFrame | None = None,
) -> RunSummary:
    """Train `bundle.model` in place on image-text pairs and write the run's folder.

    Under `torchrun` all processes train together; the first one validates and writes. SIGTERM and SIGUSR1 stop the run
    after the current step, with a checkpoint that `resume` continues from.

    Args:
        bundle: Model to start from. With the sigmoid form it gains the parameter `logit_bias`.
        pairs: Images and texts.
        config: All other options.
        evaluate: Validation: returns name -> value for a model in evaluation mode. Called every `eval_interval` steps
            and at the end. An argument, because training does not know zero-shot scoring.
        selected: Cohort rows of the images that `evaluate` uses, for the record of training.

    Raises:
        ValueError: The batch is larger than the data, the folder already holds a run, or `resume` finds another run.
        RuntimeError: Too many steps in a row had no finite gradient.
        OSError: A checkpoint could not be written.
    """
    if config.shuffle_reports:
        pairs = pairs.shuffled(np.random.default_rng(config.seed))
    device = pick_device(config.device)
    with join_world(device) as world, end_requests() as request, cpu_threads(config, device) as threads:
        # data, model and optimiser, at the start or as the last checkpoint left them
        batches = PairBatches(pairs, bundle, config, world)
        learner = start_learner(bundle, config)
        identity = RunIdentity.of(config, pairs, world_size=world.size)
        checkpoint = checkpoint_to_resume(config)
        progress, notes = (Progress(), []) if checkpoint is None else load_state(checkpoint, learner, identity)
        clock = Clock(
            config, steps_per_epoch=batches.order.steps_per_epoch, step=progress.step, seconds=progress.seconds
        )
        run = Run(learner=learner, batches=batches, clock=clock, config=config, world=world)

        # the first process writes, the others follow its steps
        if not world.is_main:
            return _follow(run, request)
        notes = [*filter(None, [threads]), *batches.notes, *notes_of(bundle, config, world), *notes]
        for note in notes:
            tqdm.write(f"note: {note}")

        facts = {"model": bundle.name, "n_pairs": len(pairs), "left_out": pairs.left_out}
        facts["notes"] = [*pairs.notes, *notes]
        with RunFolder(config, facts=facts, step=progress.step, best=progress.best_step) as folder:
            record_trained_on(folder.path, pairs, config, selected=selected)
            recorder = Recorder(learner, identity, config, folder, clock, progress=progress, evaluate=evaluate)
            return _record(run, request, recorder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of training steps and its parts."""

    learner: Learner
    """Model, optimiser and average"""
    batches: PairBatches
    """Data"""
    clock: Clock
    """Progress and schedule"""
    config: TrainConfig
    """Options"""
    world: World
    """Processes"""

    def steps(self, *, should_end: Callable[[], bool]) -> Iterator[Step]:
        """Take the steps from the clock's step to the end of the run, and yield each one when it is done."""
        learner, config, model = self.learner, self.config, self.learner.bundle.model
        for step in optimise(
            learner.optimizer,
            batches_from(self.clock.step, self.batches, config),
            ContrastiveStep(learner.bundle, config, self.world, learner.scaler),
            config,
            module=model,
            clock=self.clock,
            scaler=learner.scaler,
            world=self.world,
            should_end=should_end,
        ):
            if learner.average is not None and not step.is_skipped:
                learner.average.update(model, step.number)
            yield step


def start_learner(bundle: Bundle, config: TrainConfig) -> Learner:
    """Return the model on its device, in training mode, with a new optimiser that keeps the logit scale in bounds."""
    prepare(bundle, config)
    model = bundle.model.train()

    depths = layer_depths(bundle) if config.layer_decay != 1 else {}
    optimizer = make_optimizer(model, config, depths=depths)
    if config.clamp_scale:
        optimizer.register_step_post_hook(lambda *_: _clamp_scale(model))

    return Learner(
        bundle=bundle,
        optimizer=optimizer,
        scaler=make_scaler(config, bundle.device),
        average=None if config.ema is None else moving_average(model, decay=config.ema),
    )


def _record(run: Run, request: EndRequest, recorder: Recorder) -> RunSummary:
    """Take the steps of the first process, which validates and writes."""
    with recorder:
        for step in run.steps(should_end=lambda: request.is_made or recorder.is_out_of_patience):
            recorder.after(step)
        patience = "patience" if recorder.is_out_of_patience else None
        return recorder.finish(stopped_by=_end(run.clock, request.signal_name or patience))


def _follow(run: Run, request: EndRequest) -> RunSummary:
    """Take the steps of another process, which writes nothing and has no figures of its own."""
    last = deque(run.steps(should_end=lambda: request.is_made), maxlen=1)
    folder, clock = run.config.folder, run.clock
    return RunSummary(
        folder=folder,
        checkpoint=checkpoint_path(folder, clock.step),
        best=None,
        steps=clock.step,
        skipped=0,
        epochs=clock.epoch,
        seconds=clock.seconds,
        loss=float(last[0].loss) if last else math.nan,
        metrics={},
        stopped_by=_end(clock, request.signal_name),
    )


def _end(clock: Clock, wish: str | None) -> str | None:
    """Return why a run ended early; None if it came to its end."""
    return None if clock.is_over else wish or "another process"


@torch.no_grad()
def _clamp_scale(model: nn.Module) -> None:
    model.logit_scale.clamp_(max=LARGEST_LOG_SCALE)  # type: ignore[operator]


def moving_average(model: nn.Module, *, decay: float) -> ModelEmaV3:
    """Return a copy of the model; `.update(model, step)` after step t sets it to `d * average + (1 - d) * weights`.

    d is `min(decay, (t - 1) / (t - 1 + 10))`; with a constant d, the average of a short run would still contain much of
    the initial weights. Batch norm's statistics are averaged too. Masks are not weights and hold -inf; they are left
    alone (torch's `AveragedModel` makes them NaN).

    Source: `timm.utils.ModelEmaV3`; the warm-up is `tf.train.ExponentialMovingAverage`'s.
    """
    return ModelEmaV3(model, decay=decay, use_warmup=True, warmup_gamma=AVERAGE_WARMUP, warmup_power=1.0)
