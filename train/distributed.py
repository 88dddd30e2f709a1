"""Many processes, one batch: who has which share of it, and features gathered from all with their gradient.

Every process knows the whole batch, encodes its share, and computes its rows and columns of the loss. With the
gradient summed on its way back through `gather` and averaged over processes by DistributedDataParallel, a loss times
`World.size` gives every process the gradient that one process has with the whole batch.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

PATIENCE = timedelta(hours=2)
"""how long a process waits for another: the first one validates and saves while the others wait"""


def share_of(n: int, *, index: int, size: int) -> slice:
    """Return part `index` of n items cut into `size` contiguous parts of nearly equal length; it may be empty.

    >>> [share_of(7, index=i, size=3) for i in range(3)]
    [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
    """
    return slice(n * index // size, n * (index + 1) // size)


@dataclass(frozen=True, slots=True)
class World:
    """The processes that train together, seen from one of them."""

    rank: int = 0
    """number of this process, from 0"""
    size: int = 1
    """how many there are"""

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return this process's part of n items: contiguous, and as long as the others' or one longer."""
        return share_of(n, index=self.rank, size=self.size)

    def counts(self, n: int) -> list[int]:
        """Return how many of n items each process has."""
        shares = (share_of(n, index=rank, size=self.size) for rank in range(self.size))
        return [share.stop - share.start for share in shares]

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes; every process must ask."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value

    def from_main(self, value: Tensor) -> Tensor:
        """Return the first process's tensor, so that all decide alike; every process must ask."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.broadcast(value, src=0)
        return value


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the processes that `torchrun` started and leave them at the end; alone where it started none.

    On CUDA each process takes the device of its local rank, and "cuda" means that one from then on.

    Args:
        device: of the model: nccl connects CUDA devices, gloo all others.

    Raises:
        ValueError: a variable of torchrun's environment is missing, or there are more processes than CUDA devices.
    """
    if "RANK" not in os.environ and "WORLD_SIZE" not in os.environ:
        yield World()
        return
    wanted = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in wanted if name not in os.environ]
    if missing:
        raise ValueError(f"joining other processes needs {', '.join(missing)} in the environment: start with torchrun")
    if device.type == "cuda":
        local, present = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= present:
            raise ValueError(
                f"process {local} of this machine has no CUDA device of its own: it has {present}. "
                f"Start torchrun with --nproc_per_node {present} at most"
            )
        torch.cuda.set_device(local)
    # what the loop agrees on is on the CPU, so that no process waits for its device to say it
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(rank=dist.get_rank(), size=dist.get_world_size())
    finally:
        dist.destroy_process_group()


def gather(features: Float[Tensor, "n d"], world: World, counts: Sequence[int]) -> Float[Tensor, "m d"]:
    """Return the rows of all processes in the order of their ranks; their gradients are summed on the way back.

    Args:
        features: this process's rows.
        world: the processes; alone, `features` is returned.
        counts: rows of each process, n among them; m is their sum.
    """
    if world.size == 1:
        return features
    gathered: Tensor = _Gather.apply(features, world, tuple(counts))
    return gathered


class _Gather(torch.autograd.Function):
    """All-gather of unequal row counts; torch's own with a gradient wants equal ones, and is deprecated."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, world: World, counts: tuple[int, ...]) -> Tensor:
        ctx.start, ctx.count = sum(counts[: world.rank]), counts[world.rank]
        # gloo and nccl exchange equal shapes only
        padded = features.new_zeros((max(counts), *features.shape[1:]))
        padded[: len(features)] = features
        received = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(received, padded)
        return torch.cat([rows[:count] for rows, count in zip(received, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        return gradient[ctx.start : ctx.start + ctx.count], None, None
