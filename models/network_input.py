"""From stored grey levels to the input of an image tower: resize, crop and normalise, on the images' device."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Preprocessing that a model was trained with. Saved beside the weights, because a wrong value raises no error."""

    image_size: int
    """Side of the network's square input, pixels"""
    mean: tuple[float, ...] = (101.48761,)
    """Mean grey level, 0..255: one for all three channels, or three"""
    std: tuple[float, ...] = (83.43944,)
    """Standard deviation of the grey levels, 0..255: one for all three channels, or three"""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """Kernel of the resize"""
    crop_from: int | None = None
    """Side that images are resized to before a centre crop, pixels; None: no crop"""
    antialias: bool = True
    """Antialias when downscaling, as Pillow does; CheXzero's weights were trained without (torch's own kernel)"""
    channels: Literal[1, 3] = 3
    """Channels of the network's input: three equal ones, or 1 if its first layer is folded for grey images"""

    def __post_init__(self) -> None:
        if self.image_size < 1:
            raise ValueError(f"image_size must be at least 1 pixel, found {self.image_size}")
        if self.crop_from is not None and self.crop_from <= self.image_size:
            raise ValueError(f"crop_from must be above image_size {self.image_size}, found {self.crop_from}")
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise ValueError(f"mean and std need 1 or 3 values each, found mean={self.mean} std={self.std}")
        if self.channels == 1 and len(self.mean) != 1:
            raise ValueError(f"one channel has one mean and one std, found mean={self.mean} std={self.std}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, found {self.std}")

    @property
    def resized(self) -> int:
        """Side that stored images are resized to before any crop, pixels."""
        return self.crop_from or self.image_size

    def statistics(self) -> str:
        """Return mean and deviation in words, on 0..1 as other projects write them."""
        mean, std = (", ".join(f"{value / 255:.4g}" for value in values) for values in (self.mean, self.std))
        return f"mean {mean} and std {std} of grey levels 0..1"


CHEXZERO = Preprocessing(image_size=224, antialias=False)
"""CheXzero's input: statistics of MIMIC-CXR on 0..255, bicubic, no antialiasing (torchvision 0.11's tensor resize)."""


def to_network_input(images: UInt8[Tensor, "n h w"], preprocessing: Preprocessing) -> Float[Tensor, "n c r r"]:
    """Return float32 network input of side r = `image_size`: `normalise(resize(images))`.

    Both steps are linear and the kernel's weights sum to 1, so resizing first gives what CheXzero's
    normalise-then-resize gives (to 1e-6) and touches fewer pixels.

    Args:
        images: Grey levels 0..255, square, as in `data/cxr.h5`, on any device.
        preprocessing: That of the model.

    Raises:
        ValueError: The images are not square.

    Source: rajpurkarlab/CheXzero train.py:24-65 for the constants; parity to 1e-5 is tested against its outputs.
    """
    return normalise(resize(images, preprocessing), preprocessing)


def resize(
    images: UInt8[Tensor, "n h w"], preprocessing: Preprocessing
) -> Float[Tensor, "n 1 r r"] | UInt8[Tensor, "n 1 r r"]:
    """Return the images at the network's size, as float32; bicubic may overshoot 0..255 a little.

    Images that need no resize remain bytes, since `normalise` reads both. With `crop_from` the centre is cut out.

    Raises:
        ValueError: The images are not square.
    """
    height, width = images.shape[1:]
    if height != width:
        raise ValueError(f"images must be square as preprocess_train_data.py writes them, found {height} x {width}")

    grey = images.unsqueeze(1)  # (n, h, w) -> (n, 1, h, w)
    size, side = preprocessing.resized, preprocessing.image_size
    if height != size:
        grey = interpolate(
            grey.float(), (size, size), mode=preprocessing.interpolation, antialias=preprocessing.antialias
        )

    start = (size - side) // 2
    return grey[:, :, start : start + side, start : start + side]


def normalise(
    grey: Float[Tensor, "n 1 r r"] | UInt8[Tensor, "n 1 r r"], preprocessing: Preprocessing
) -> Float[Tensor, "n c r r"]:
    """Return `(grey - mean) / std` in the network's one or three channels; a view (`expand`) where three are equal."""
    shape = (1, len(preprocessing.mean), 1, 1)
    mean = torch.tensor(preprocessing.mean, device=grey.device).view(shape)
    std = torch.tensor(preprocessing.std, device=grey.device).view(shape)
    return (grey - mean).div_(std).expand(-1, preprocessing.channels, -1, -1)
