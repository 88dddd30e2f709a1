"""Contrastive training: `fit` puts pairs, model, step and loop together and records what happens."""

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
from train.input.batches import PairBatches, batches_from
from train.input.pairs import Pairs
from train.optimise import Step, make_optimizer, make_scaler, optimise
from train.saving.recorder import Evaluate, Recorder, RunSummary
from train.saving.run_folder import RunFolder, checkpoint_path, checkpoint_to_resume
from train.saving.state import Identity, Learner, Progress, load_state
from train.saving.trained_on import write_seen
from train.signals import EndRequest, end_requests
from train.step import ContrastiveStep, notes_of, prepare
from train.train_config import TrainConfig

LARGEST_LOG_SCALE = math.log(100)


def fit(
    bundle: Bundle,
    pairs: Pairs,
    config: TrainConfig,
    *,
    evaluate: Evaluate | None = None,
    selected: pd.DataFrame | None = None,
) -> RunSummary:
    """Train `bundle.model` in place on image-text pairs and write the run's folder.

    Under `torchrun` all processes train together, and the first one validates and writes. SIGTERM and SIGUSR1 end the
    run after the step at hand, with a checkpoint that `resume` goes on from.

    Args:
        bundle: model to start from. With the sigmoid form it gains the parameter `logit_bias`.
        pairs: images and texts.
        config: everything else.
        evaluate: validation, called each `eval_interval` steps and at the end with the model in evaluation mode;
            returns name -> value. Handed in because training knows nothing of zero-shot scoring.
        selected: cohort rows of the images that `evaluate` looks at, for the record of what the run has seen.

    Raises:
        ValueError: the batch is larger than the data, a run is in the folder already, or it is another one than the
            one to resume.
        RuntimeError: too many steps in a row had no finite gradient.
        OSError: a checkpoint could not be written.
    """
    if config.shuffle_reports:
        pairs = pairs.shuffled(np.random.default_rng(config.seed))
    with join_world(pick_device(config.device)) as world, end_requests() as request:
        batches = PairBatches(pairs, bundle, config, world)
        learner = start_learner(bundle, config)
        identity = Identity.of(config, pairs, world_size=world.size)
        checkpoint = checkpoint_to_resume(config)
        progress, notes = (Progress(), []) if checkpoint is None else load_state(checkpoint, learner, identity)
        clock = Clock(
            config, steps_per_epoch=batches.order.steps_per_epoch, step=progress.step, seconds=progress.seconds
        )
        run = Run(learner=learner, batches=batches, clock=clock, config=config, world=world)
        if not world.is_main:
            return _follow(run, request)
        notes = [*notes_of(bundle, config, world), *notes]
        for note in notes:
            tqdm.write(f"note: {note}")
        facts = {"model": bundle.name, "n_pairs": len(pairs), "left_out": pairs.left_out}
        facts["notes"] = [*pairs.notes, *notes]
        with RunFolder(config, facts=facts, step=progress.step, best=progress.best_step) as folder:
            write_seen(folder.path, pairs, config, selected=selected)
            recorder = Recorder(learner, identity, config, folder, clock, progress=progress, evaluate=evaluate)
            return _record(run, request, recorder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What takes the steps of a run."""

    learner: Learner
    batches: PairBatches
    clock: Clock
    config: TrainConfig
    world: World

    def steps(self, *, should_end: Callable[[], bool]) -> Iterator[Step]:
        """Yield each step as it is made, from the clock's step to the end of the run."""
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
    """Return the model on its device, ready to train, with a fresh optimiser that keeps the logit scale in bounds."""
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
    """Take the steps of the process that validates and writes."""
    with recorder:
        for step in run.steps(should_end=lambda: request.is_made or recorder.is_out_of_patience):
            recorder.after(step)
        patience = "patience" if recorder.is_out_of_patience else None
        return recorder.finish(stopped_by=_end(run.clock, request.signal_name or patience))


def _follow(run: Run, request: EndRequest) -> RunSummary:
    """Take the steps of a process that is not the first one: it writes nothing and has no figures of its own."""
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
    """Return why a run ended early; None where its time was over anyway."""
    return None if clock.is_over else wish or "another process"


@torch.no_grad()
def _clamp_scale(model: nn.Module) -> None:
    model.logit_scale.clamp_(max=LARGEST_LOG_SCALE)  # type: ignore[operator]


START = 10
"""steps over which the average lets go of the weights that the run began with, see `moving_average`"""


def moving_average(model: nn.Module, *, decay: float) -> ModelEmaV3:
    """Return a copy of the model; `.update(model, step)` after step t moves it to `d * average + (1 - d) * weights`.

    d is `min(decay, (t - 1) / (t - 1 + 10))`: a short run would otherwise end as a mixture with where it started.
    Batch norm's statistics are averaged alike; masks, which are not weights and hold -inf, are left alone
    (torch's `AveragedModel` makes them NaN).

    Source: `timm.utils.ModelEmaV3`; the warm-up is `tf.train.ExponentialMovingAverage`'s.
    """
    return ModelEmaV3(model, decay=decay, use_warmup=True, warmup_gamma=START, warmup_power=1.0)
