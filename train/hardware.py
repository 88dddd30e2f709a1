"""How a step is computed on the hardware: threads, precision, attention kernel, memory layout."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import psutil
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from train.train_config import TrainConfig

NARROW = 256
"""Width below which a transformer is faster in float32 on a CPU"""
SHORT = 100
"""Tokens up to which plain attention is faster than the fused kernel on a CPU"""
FEW_CHANNELS = 16
"""Channels below which batch norm is slow in channels-last layout: they do not fill a vector"""
LISTENING_SECONDS = 0.3
"""Time over which idle cores are counted"""


@contextmanager
def cpu_threads(config: TrainConfig, device: torch.device) -> Iterator[str | None]:
    """Compute with `config.threads` threads inside; yield a note for the user, None on another device than a CPU.

    Without a number, there is one thread per idle core, because threads wait for each other at every operation: beside
    one busy process, two threads on two cores made 8 steps in the time in which one thread made 107.
    """
    if device.type != "cpu":
        yield None
        return

    usual = torch.get_num_threads()
    n_threads = config.threads or idle_cores(at_most=usual)
    torch.set_num_threads(n_threads)
    try:
        chosen = "--threads" if config.threads else f"one per idle core, {usual} at most"
        yield f"{n_threads} thread{'' if n_threads == 1 else 's'} ({chosen})"
    finally:
        torch.set_num_threads(usual)


def idle_cores(*, at_most: int) -> int:
    """Return how many of `at_most` cores are idle now, rounded, 1 or more."""
    if at_most == 1:
        return 1
    busy_share = psutil.cpu_percent(interval=LISTENING_SECONDS) / 100
    return max(1, round(at_most * (1 - busy_share)))


def autocast(config: TrainConfig, device: torch.device, *, width: int | None = None) -> AbstractContextManager[None]:
    """Return the context of a tower's forward pass: half precision if configured, or if "auto" expects it to be faster.

    On a CPU it is faster with AMX instructions (without them bfloat16 is several times slower than float32), except in
    narrow transformers, where the casts cost more than the products save: 120 sentences of 14 tokens through two layers
    of width 128, forward and backward, took 72 ms of one core in float32 and 114 ms in bfloat16.

    Args:
        config: Gives the precision.
        device: Device of the tower.
        width: Width of the tower if it is a transformer.
    """
    dtype = torch.float16 if config.precision == "fp16" else torch.bfloat16
    if config.precision != "auto":
        pays = config.precision != "fp32"
    elif device.type == "cpu":
        is_narrow = width is not None and width < NARROW
        pays = bool(torch.cpu.get_capabilities().get("amx_bf16")) and not is_narrow
    else:
        pays = torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, dtype, enabled=pays)


def attention(device: torch.device, *, n_tokens: int | None) -> AbstractContextManager[None]:
    """Return the context that chooses the attention kernel for sequences of `n_tokens` (None: unknown, torch decides).

    On a CPU the fused kernel's backward pass is slow on short sequences. Forward and backward, fused / plain:
    10 tokens 33 / 10 ms (64 images, 512 wide), 77 tokens 74 / 47 ms (32 texts, 512 wide), 197 tokens 182 / 240 ms.
    """
    if device.type != "cpu" or n_tokens is None or n_tokens > SHORT:
        return nullcontext()
    return sdpa_kernel(SDPBackend.MATH)


def image_tokens(tower: nn.Module) -> int | None:
    """Return the length of the sequence that an image tower attends over; None if it cannot be read from the tower."""
    for module in (tower, getattr(tower, "attnpool", None)):
        positions = getattr(module, "positional_embedding", None)
        if isinstance(positions, torch.Tensor):
            return positions.shape[0]
    return None


def arrange_memory(network: nn.Module, device: torch.device) -> None:
    """Move a network to its device and choose the fast memory layout of each convolution, in place.

    The layout is channels-last, except on a CPU for convolutions with few output channels: batch norm over 8 channels
    of 56 x 56, 64 images, forward and backward, took 20 ms with the channels last and 1.7 ms without. Outputs have the
    layout of the weights.
    """
    network.to(device)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            is_thin = device.type == "cpu" and module.out_channels < FEW_CHANNELS
            module.to(memory_format=torch.contiguous_format if is_thin else torch.channels_last)
