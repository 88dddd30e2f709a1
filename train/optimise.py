"""The training loop: read, gradient, update, learning rate, guard against bad steps. The loss is an argument."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from train.clock import Clock, rate_factor
from train.distributed import World
from train.input.order import DROPOUT, seed_of
from train.train_config import TrainConfig

NEVER_DECAYED = frozenset(
    {
        *("logit_scale", "logit_bias", "positional_embedding", "class_embedding", "cls_emb"),
        *("pos_embed", "cls_token", "reg_token", "position_embeddings"),
    }
)
"""Parts of the names of weights that are not linear maps: open_clip's, then timm's and Hugging Face's"""


@runtime_checkable
class AnyBatch(Protocol):
    """What the loop needs to know of a batch."""

    @property
    def n_images(self) -> int:
        """Number of images, over all processes."""
        ...

    @property
    def loss_floor(self) -> float:
        """Lower bound of the loss, nats; NaN if not known."""
        ...


B = TypeVar("B", bound=AnyBatch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One update and its figures."""

    number: int
    """Number of the step, from 1"""
    epoch: float
    """Passes over the data so far"""
    n_items: int
    """Size of the batch"""
    loss: Float[Tensor, ""]
    """Loss before the update; on the device, so that the loop does not wait for it"""
    loss_floor: float
    """Lower bound of the loss on this batch, nats"""
    lr: float
    """Learning rate"""
    gradient_norm: float
    """Global norm of the gradient before clipping"""
    is_skipped: bool
    """Whether the gradient was not finite and the weights stayed as they were"""
    reading_seconds: float
    """Time until the batch had been read"""


def make_optimizer(
    module: nn.Module, config: TrainConfig, *, depths: Mapping[str, int] | None = None
) -> torch.optim.Optimizer:
    """Return AdamW or SGD over the trainable weights; only matrices decay (see `TrainConfig.weight_decay`).

    The `rate` of a group is a multiple of the configured learning rate: `text_rate` for the text tower, times
    `layer_decay` to the power of the number of layers above.

    Args:
        module: The model; `requires_grad` marks the trainable weights.
        config: Optimiser, rates and decays.
        depths: Parameter name -> layers of its tower above it (`models.layer_depths`); 0 for a name that is missing.

    Raises:
        ValueError: No weight is trainable.
    """
    above = {} if depths is None else depths

    # one group for each pair of learning rate and weight decay
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            is_free = parameter.ndim < 2 or not NEVER_DECAYED.isdisjoint(name.split("."))
            rate = (config.text_rate if name.startswith("text.") else 1.0) * config.layer_decay ** above.get(name, 0)
            members.setdefault((rate, 0.0 if is_free else config.weight_decay), []).append(parameter)

    if not members:
        raise ValueError("no weight of the model is trainable: both towers are frozen")

    groups = [{"params": own, "rate": rate, "weight_decay": decay} for (rate, decay), own in members.items()]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2), fused=True)


def make_scaler(config: TrainConfig, device: torch.device) -> GradScaler:
    """Return the scaler that keeps float16 gradients from vanishing; in other precisions it does nothing."""
    return GradScaler(device.type, enabled=config.precision == "fp16")


def optimise(
    optimizer: torch.optim.Optimizer,
    batches: Iterator[B],
    gradients_of: Callable[[B], Float[Tensor, ""]],
    config: TrainConfig,
    *,
    module: nn.Module,
    clock: Clock,
    scaler: GradScaler,
    world: World,
    should_end: Callable[[], bool] = lambda: False,
) -> Iterator[Step]:
    """Train until the clock is over and yield after each update, so that the caller records, validates and saves.

    A step whose gradient is not finite is skipped: weights, moments and batch statistics stay as they were.

    Args:
        optimizer: Optimiser of the weights that `gradients_of` uses.
        batches: Endless, from the clock's step on.
        gradients_of: Adds the gradients of a batch, scaled by `scaler`, to `.grad` of the weights and returns the loss.
            With several processes the gradients are the same in all of them.
        config: Rate, schedule, clipping, tolerated number of bad steps.
        module: The network, for its batch statistics.
        clock: At the start of the run, or at the step where it resumes.
        scaler: Scaler of float16 gradients.
        world: The processes that train together; they start and end each step together.
        should_end: Whether this process wants the run to end before the next step.

    Raises:
        RuntimeError: `config.max_bad_steps` steps in a row were skipped.
    """
    bad_in_a_row = 0
    batch, reading_seconds = _next(batches)
    while True:
        fraction, is_over = _agreed(clock, world, should_end=should_end)
        if is_over:
            return
        lr = _set_rates(optimizer, config, fraction)

        # from the batch to the gradient; dropout depends on seed, step and rank alone, for an exact resume
        torch.manual_seed(seed_of(config.seed, DROPOUT, clock.step, world.rank))
        statistics = [(buffer, buffer.clone()) for buffer in module.buffers()]
        optimizer.zero_grad(set_to_none=True)
        loss = gradients_of(batch)
        n_items, loss_floor, waited = batch.n_images, batch.loss_floor, reading_seconds

        # read the next batch while a GPU still computes the gradients; the norm below waits for them
        batch, reading_seconds = _next(batches)

        # update, unless the gradient is not finite
        norm, is_finite = _update(optimizer, config, scaler)
        if not is_finite:
            _put_back(statistics)
        clock.step += 1

        yield Step(
            number=clock.step,
            epoch=clock.epoch,
            n_items=n_items,
            loss=loss,
            loss_floor=loss_floor,
            lr=lr,
            gradient_norm=norm,
            is_skipped=not is_finite,
            reading_seconds=waited,
        )

        bad_in_a_row = 0 if is_finite else bad_in_a_row + 1
        _refuse_bad_run(bad_in_a_row, clock.step, config)


def _agreed(clock: Clock, world: World, *, should_end: Callable[[], bool]) -> tuple[float, bool]:
    """Return the share of the run that is over, by the first process's clock, and whether any process ends the run."""
    own = (clock.fraction if world.is_main else 0.0, clock.is_over or should_end())
    fraction, ends = world.total(torch.tensor(own, dtype=torch.float64)).tolist()
    return fraction, ends > 0


def _next(batches: Iterator[B]) -> tuple[B, float]:
    began = time.perf_counter()
    return next(batches), time.perf_counter() - began


def _set_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, fraction: float) -> float:
    lr = config.lr * rate_factor(fraction, config)
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("rate", 1.0)
    return lr


def _update(optimizer: torch.optim.Optimizer, config: TrainConfig, scaler: GradScaler) -> tuple[float, bool]:
    """Clip and step if the gradient is finite; return its norm and whether it is finite."""
    scaler.unscale_(optimizer)
    parameters = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
    total = nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])

    is_finite = bool(total.isfinite())
    if is_finite:
        if config.grad_clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, config.grad_clip, total)
        scaler.step(optimizer)
    scaler.update()
    return float(total), is_finite


@torch.no_grad()
def _put_back(statistics: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, before in statistics:
        buffer.copy_(before)


def _refuse_bad_run(bad_in_a_row: int, step: int, config: TrainConfig) -> None:
    if bad_in_a_row >= config.max_bad_steps:
        raise RuntimeError(
            f"the gradients of {bad_in_a_row} steps in a row, up to step {step}, are not finite: start again with a"
            f" lower --lr than {config.lr:g}, a longer --warmup, or --precision fp32"
        )
