"""Augmentation: random changes of the images of a batch, drawn once for all and applied on the device."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from train.train_config import Augmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The changes of each image of a batch; None for a kind of change that is off."""

    placements: Float[Tensor, "n 2 3"] | None
    """Matrices from output to input coordinates (-1..1): rotation, size, shift"""
    gamma: Float[Tensor, "n"] | None
    """Exponents of the grey level"""
    gain: Float[Tensor, "n"] | None
    """Factors of the grey level"""

    def of(self, share: slice) -> "Changes":
        """Return the changes of some of the images."""
        return Changes(**{name: None if (all_ := getattr(self, name)) is None else all_[share] for name in _KINDS})


_KINDS = ("placements", "gamma", "gain")


def draw_changes(n: int, settings: Augmentation, *, generator: torch.Generator) -> Changes:
    """Return random changes of n images.

    Args:
        n: Images of the whole batch, so that the draw does not depend on how the batch is shared.
        settings: Limits of each change.
        generator: Generator on the CPU, so that a run draws the same numbers on any device.
    """
    moves = settings.rotation_degrees or settings.shift or settings.scale
    return Changes(
        placements=_placements(n, settings, generator) if moves else None,
        gamma=_around_one(n, settings.contrast, generator) if settings.contrast else None,
        gain=_around_one(n, settings.brightness, generator) if settings.brightness else None,
    )


def augment(
    grey: Float[Tensor, "n 1 r r"] | UInt8[Tensor, "n 1 r r"],
    changes: Changes,
    *,
    is_mirrored: Bool[Tensor, "n"] | None = None,
) -> Float[Tensor, "n 1 r r"] | UInt8[Tensor, "n 1 r r"]:
    """Return the images mirrored, rotated, shifted, scaled and re-exposed; what comes from outside an image is black.

    Args:
        grey: Grey levels 0..255, bytes or float32.
        changes: Changes of each image; if all are None, `grey` itself is returned.
        is_mirrored: Which images are mirrored left to right. Their texts must be mirrored too: reports name sides.
    """
    # geometry: mirror first, then rotation, size and shift in one resampling
    if is_mirrored is not None and bool(is_mirrored.any()):
        grey = torch.where(is_mirrored.to(grey.device).view(-1, 1, 1, 1), grey.flip(-1), grey)
    if changes.placements is not None:
        grid = _sampling_grid(changes.placements.to(grey.device), side=grey.shape[-1])
        grey = grid_sample(grey.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    # exposure
    if changes.gamma is not None:
        gamma = changes.gamma.to(grey.device).view(-1, 1, 1, 1)
        # bicubic resizing overshoots below 0, where the power is not defined
        grey = 255 * (grey.clamp_min(0) / 255).pow(gamma)
    if changes.gain is not None:
        grey = grey * changes.gain.to(grey.device).view(-1, 1, 1, 1)
    return grey


def _placements(n: int, settings: Augmentation, generator: torch.Generator) -> Float[Tensor, "n 2 3"]:
    """Return random matrices from output to input coordinates."""
    turn = math.radians(settings.rotation_degrees) * _symmetric(n, generator)
    size = _around_one(n, settings.scale, generator)
    move = 2 * settings.shift * torch.stack([_symmetric(n, generator), _symmetric(n, generator)], dim=1)

    cos, sin = size * turn.cos(), size * turn.sin()  # (n,) each
    rows = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)
    return torch.cat([rows, move.unsqueeze(2)], dim=2)


def _sampling_grid(placements: Float[Tensor, "n 2 3"], *, side: int) -> Float[Tensor, "n r r 2"]:
    """Return where each output pixel is read from, -1..1: `torch.nn.functional.affine_grid` for square images.

    A sum of two small outer products: 4 times faster on a CPU than torch's product of n r r points with a matrix.
    """
    centres = (2 * torch.arange(side, device=placements.device) + 1) / side - 1  # (r,)
    by_x, by_y, shift = placements.unbind(dim=2)  # (n, 2) each
    along_rows = by_x[:, None, :] * centres[:, None]  # (n, r, 2)
    along_columns = by_y[:, None, :] * centres[:, None] + shift[:, None, :]  # (n, r, 2)
    return along_columns[:, :, None] + along_rows[:, None]  # (n, r, r, 2)


def _symmetric(n: int, generator: torch.Generator) -> Float[Tensor, "n"]:
    return 2 * torch.rand(n, generator=generator) - 1


def _around_one(n: int, share: float, generator: torch.Generator) -> Float[Tensor, "n"]:
    """Return factors between 1/(1+share) and 1+share, as often below 1 as above."""
    return (math.log1p(share) * _symmetric(n, generator)).exp()
