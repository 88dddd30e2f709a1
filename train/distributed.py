"""Several processes, one batch: the share of each process, and features gathered from all of them with a gradient.

Every process knows the whole batch, encodes its share of it, and computes its rows and columns of the loss. `gather`
sums the gradients of all processes on the way back, and DistributedDataParallel averages the gradients of the weights.
So each process multiplies its loss by `World.size`, and then has the gradient of one process with the whole batch.
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
"""How long a process waits for another; the first one validates and saves while the others wait"""


def share_of(n: int, *, index: int, size: int) -> slice:
    """Return part `index` of n items cut into `size` contiguous parts of nearly equal length; it may be empty.

    >>> [share_of(7, index=i, size=3) for i in range(3)]
    [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
    """
    return slice(n * index // size, n * (index + 1) // size)


@dataclass(frozen=True, slots=True)
class World:
    """The processes that train together, as one of them sees them."""

    rank: int = 0
    """Number of this process, from 0"""
    size: int = 1
    """Number of processes"""

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return this process's part of n items: contiguous, and as long as the others' or one longer."""
        return share_of(n, index=self.rank, size=self.size)

    def counts(self, n: int) -> list[int]:
        """Return the number of items of each process, of n in all."""
        shares = (share_of(n, index=rank, size=self.size) for rank in range(self.size))
        return [share.stop - share.start for share in shares]

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes; every process must call this."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value

    def from_main(self, value: Tensor) -> Tensor:
        """Return the first process's tensor, for a common decision; every process must call this."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.broadcast(value, src=0)
        return value


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the processes that `torchrun` started and leave them at the end; without torchrun there is only this one.

    On CUDA each process takes the device of its local rank, which is then its "cuda".

    Args:
        device: Device of the model; nccl connects CUDA devices, gloo all others.

    Raises:
        ValueError: A variable of torchrun's environment is missing, or there are more processes than CUDA devices.
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
                f"process {local} of this machine has no CUDA device of its own, found {present} devices: "
                f"start torchrun with --nproc_per_node {present} at most"
            )
        torch.cuda.set_device(local)

    # gloo too on CUDA: the loop's common decisions are tensors on the CPU, so no process waits for its device
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(rank=dist.get_rank(), size=dist.get_world_size())
    finally:
        dist.destroy_process_group()


def gather(features: Float[Tensor, "n d"], world: World, counts: Sequence[int]) -> Float[Tensor, "m d"]:
    """Return the rows of all processes in the order of their ranks; gradients are summed on the way back.

    Args:
        features: Rows of this process.
        world: The processes; if there is only one, `features` is returned.
        counts: Rows of each process, n among them; m is their sum.
    """
    if world.size == 1:
        return features
    gathered: Tensor = _Gather.apply(features, world, tuple(counts))
    return gathered


class _Gather(torch.autograd.Function):
    """All-gather of unequal numbers of rows; torch's own with a gradient needs equal ones and is deprecated."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, world: World, counts: tuple[int, ...]) -> Tensor:
        ctx.start, ctx.count = sum(counts[: world.rank]), counts[world.rank]

        # gloo and nccl exchange equal shapes only: (n, d) -> (most, d) with rows of zeros at the end
        padded = features.new_zeros((max(counts), *features.shape[1:]))
        padded[: len(features)] = features
        received = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(received, padded)

        # without the padding: `size` times (most, d) -> (m, d)
        return torch.cat([rows[:count] for rows, count in zip(received, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        # (m, d): every process has a gradient for all rows, because its loss read all of them
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)

        # (m, d) -> (n, d)
        return gradient[ctx.start : ctx.start + ctx.count], None, None
