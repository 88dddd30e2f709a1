"""The one loop: order, update, schedule. What is minimised and what is recorded are handed in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from train.batches import epoch_batches, steps_per_epoch
from train.clock import Clock, rate_factor
from train.config import TrainConfig

NEVER_DECAYED = ("logit_scale", "logit_bias", "positional_embedding", "class_embedding", "cls_emb")


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
    lr: float
    gradient_norm: Float[Tensor, ""] | None
    """before clipping; None without clipping"""


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW or SGD over the trainable weights; only matrices decay (see `TrainConfig.weight_decay`).

    A group's `rate` is its learning rate as a multiple of the configuration's: `text_rate` for the text tower.
    """
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            is_free = parameter.ndim < 2 or name.split(".")[-1] in NEVER_DECAYED
            rate = config.text_rate if name.startswith("text.") else 1.0
            members.setdefault((rate, 0.0 if is_free else config.weight_decay), []).append(parameter)
    groups = [{"params": own, "rate": rate, "weight_decay": decay} for (rate, decay), own in members.items()]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2), fused=True)


def optimise(
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[Int[np.ndarray, "b"]], Float[Tensor, ""]],
    config: TrainConfig,
    *,
    n_items: int,
    clock: Clock,
    rng: np.random.Generator,
) -> Iterator[Step]:
    """Train until the clock is over and yield after each update, so that the caller records, validates and saves.

    Args:
        optimizer: over the weights that `loss_of` uses.
        loss_of: mean loss of the items at these positions.
        config: rate, schedule, clipping, batch size.
        n_items: items to draw batches from; each epoch has every item once.
        clock: fresh, with the run's length.
        rng: draws the order.

    Raises:
        ValueError: if the batch is larger than the data.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    per_epoch = steps_per_epoch(n_items, config.batch_size)
    while not clock.is_over:
        for positions in epoch_batches(n_items, config.batch_size, rng):
            lr = config.lr * rate_factor(clock.fraction, config)
            for group in optimizer.param_groups:
                group["lr"] = lr * group.get("rate", 1.0)
            loss = loss_of(positions)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = None if config.grad_clip is None else nn.utils.clip_grad_norm_(parameters, config.grad_clip)
            optimizer.step()
            clock.step += 1
            yield Step(
                number=clock.step,
                epoch=clock.step / per_epoch,
                n_items=len(positions),
                loss=loss.detach(),
                lr=lr,
                gradient_norm=norm,
            )
            if clock.is_over:
                return
