"""The one loop: update, schedule, guard. What a step minimises and what is recorded are handed in."""

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
"""parts of the names of weights that are no linear maps: open_clip's, then timm's and Hugging Face's"""


@runtime_checkable
class AnyBatch(Protocol):
    """What the loop has to know of a batch."""

    @property
    def n_images(self) -> int:
        """Size, over all processes."""
        ...

    @property
    def loss_floor(self) -> float:
        """What the loss could not fall below, in nats; NaN where that is not known."""
        ...


B = TypeVar("B", bound=AnyBatch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one update did."""

    number: int
    """1 for the first"""
    epoch: float
    """passes over the data so far"""
    n_items: int
    """size of the batch"""
    loss: Float[Tensor, ""]
    """before the update; on the device, so that nobody waits for it unasked"""
    loss_floor: float
    """what equal texts kept the loss above"""
    lr: float
    gradient_norm: float
    """before clipping"""
    is_skipped: bool
    """whether the gradient was not finite, so that the weights stayed as they were"""
    reading_seconds: float
    """until the batch was at hand"""


def make_optimizer(
    module: nn.Module, config: TrainConfig, *, depths: Mapping[str, int] | None = None
) -> torch.optim.Optimizer:
    """Return AdamW or SGD over the trainable weights; only matrices decay (see `TrainConfig.weight_decay`).

    A group's `rate` is its learning rate as a multiple of the configuration's: `text_rate` for the text tower, times
    `layer_decay` to the power of the layers above.

    Args:
        module: the model, with its trainable weights marked by `requires_grad`.
        config: kind, rates and decays.
        depths: parameter name -> layers of its tower above it (`models.layer_depths`); a name that is missing has none.

    Raises:
        ValueError: no weight is trainable.
    """
    above = {} if depths is None else depths
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
    """Return what scales the loss so that float16 gradients do not vanish; it does nothing in other precisions."""
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
        optimizer: over the weights that `gradients_of` uses.
        batches: endless, from the clock's step on.
        gradients_of: adds a batch's gradients, scaled by `scaler`, to the weights' and returns its loss. With several
            processes the gradients are the same in all of them.
        config: rate, schedule, clipping, patience with bad steps.
        module: the network, for its batch statistics.
        clock: at the run's start, or where it goes on.
        scaler: of float16 gradients.
        world: the processes that train together; they start and end each step alike.
        should_end: whether this process wants the run to end before the next step.

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
        torch.manual_seed(seed_of(config.seed, DROPOUT, clock.step, world.rank))
        statistics = [(buffer, buffer.clone()) for buffer in module.buffers()]
        optimizer.zero_grad(set_to_none=True)
        loss = gradients_of(batch)
        n_items, loss_floor, waited = batch.n_images, batch.loss_floor, reading_seconds
        # read while a GPU still works on the gradients, which the norm below waits for
        batch, reading_seconds = _next(batches)
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
    """Return how far the run is, by the first process's clock, and whether any process has it end."""
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
    """Clip and step, where the gradient is finite; return its norm and whether it is."""
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
