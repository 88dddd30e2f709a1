"""Random changes of a batch of films, on the device, one draw per image. Never a flip: reports say left and right."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from train.config import Augmentation


def augment(
    grey: Float[Tensor, "n 1 r r"], settings: Augmentation, *, generator: torch.Generator
) -> Float[Tensor, "n 1 r r"]:
    """Return the films turned, moved, scaled and re-exposed at random; what comes from outside the film is black.

    Args:
        grey: grey levels 0..255.
        settings: how far each change may go; all 0 returns `grey` itself.
        generator: on the CPU, so that a run draws the same numbers on any device.
    """
    if settings.rotation_degrees or settings.shift or settings.scale:
        theta = _placements(len(grey), settings, generator).to(grey.device)
        grid = affine_grid(theta, list(grey.shape), align_corners=False)
        grey = grid_sample(grey, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if settings.contrast:
        gamma = _around_one(len(grey), settings.contrast, generator).to(grey.device)
        # bicubic resizing overshoots below 0, where a power is not defined
        grey = 255 * (grey.clamp_min(0) / 255).pow(gamma.view(-1, 1, 1, 1))
    if settings.brightness:
        gain = _around_one(len(grey), settings.brightness, generator).to(grey.device)
        grey = grey * gain.view(-1, 1, 1, 1)
    return grey


def _placements(n: int, settings: Augmentation, generator: torch.Generator) -> Float[Tensor, "n 2 3"]:
    """Return matrices from output to input coordinates (-1..1): rotation, size, move."""
    turn = math.radians(settings.rotation_degrees) * _symmetric(n, generator)
    size = _around_one(n, settings.scale, generator)
    move = 2 * settings.shift * torch.stack([_symmetric(n, generator), _symmetric(n, generator)], dim=1)
    cos, sin = size * turn.cos(), size * turn.sin()
    rows = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)
    return torch.cat([rows, move.unsqueeze(2)], dim=2)


def _symmetric(n: int, generator: torch.Generator) -> Float[Tensor, "n"]:
    return 2 * torch.rand(n, generator=generator) - 1


def _around_one(n: int, share: float, generator: torch.Generator) -> Float[Tensor, "n"]:
    """Return factors between 1/(1+share) and 1+share, as often below 1 as above."""
    return (math.log1p(share) * _symmetric(n, generator)).exp()
