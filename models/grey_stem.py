"""Image towers that read one grey channel instead of three equal ones, with identical features."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from models.bundle import Bundle


def fold_stem(bundle: Bundle) -> Bundle:
    """Return the bundle with an image tower that reads one channel; its model is changed in place.

    A three-channel stem sees a grey level g as x_c = (g - m_c)/s_c and computes sum_c w_c * x_c. Over the one channel
    z = (g - m)/s this is (sum_c w_c s/s_c) * z + sum_c w_c * (m - m_c)/s_c: a kernel, and a constant, which goes into
    the stem's bias or the position embeddings of the patches. The constant is 0 if all channels share one mean.

    Raises:
        ValueError: The tower does not begin with one plain convolution, or its stem pads the input and the means differ
            by channel, so that the constant does not hold at the border.
    """
    if bundle.preprocessing.channels == 1:
        return bundle

    visual: Any = bundle.model.visual
    _, stem = find_stem(visual)
    mean, grey_mean = _by_channel(bundle.preprocessing.mean)
    std, grey_std = _by_channel(bundle.preprocessing.std)

    weight = stem.weight.detach().double()  # (out, 3, kh, kw)
    constant = (weight.sum(dim=(2, 3)) * ((grey_mean - mean) / std)).sum(dim=1)
    if constant.any():
        _add_constant(visual, stem, constant.float())
    kernel = (weight * (grey_std / std).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)  # (out, 1, kh, kw)
    _set_kernel(stem, kernel.float())

    grey = replace(bundle.preprocessing, channels=1, mean=(grey_mean,), std=(grey_std,))
    return replace(bundle, preprocessing=grey)


def three_channel_state(bundle: Bundle) -> dict[str, Tensor]:
    """Return the model's weights for open_clip's three-channel network: a folded stem gets two channels of zeros.

    Features of grey images are those of the folded network, and folding again is exact to the bit.
    """
    state: dict[str, Tensor] = bundle.model.state_dict()
    if bundle.preprocessing.channels == 1:
        name, _ = find_stem(bundle.model.visual)  # type: ignore[arg-type]
        key = f"visual.{name}.weight"
        state[key] = torch.cat([state[key], torch.zeros_like(state[key]).expand(-1, 2, -1, -1)], dim=1)
    return state


def keep_first_channel(model: nn.Module) -> None:
    """Fold the stem of a network that was saved with two channels of zeros, in place."""
    _, stem = find_stem(model.visual)  # type: ignore[arg-type]
    _set_kernel(stem, stem.weight.detach()[:, :1].clone())


def find_stem(visual: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return name and module of the convolution that reads the image.

    Raises:
        ValueError: The tower begins with something else, or its convolution is not linear in its weights.
    """
    name: Any = "conv1"
    if isinstance(visual, TimmModel):
        name = f"trunk.{visual.trunk.pretrained_cfg.get('first_conv')}"
    stem = dict(visual.named_modules()).get(name)
    if stem is None or type(stem) not in (nn.Conv2d, Conv2dSame):
        raise ValueError(
            f"grey_stem needs an image tower that begins with one plain convolution, found {type(stem).__name__} in"
            f" {type(getattr(visual, 'trunk', visual)).__name__}: train with three channels"
        )
    return name, stem


def _by_channel(values: tuple[float, ...]) -> tuple[Float[Tensor, "3"], float]:
    """Return a statistic for each of three channels, and that of the grey channel."""
    grey = values[0] if len(set(values)) == 1 else sum(values) / len(values)
    return torch.tensor(values, dtype=torch.float64).expand(3), grey


def _set_kernel(stem: nn.Conv2d, kernel: Float[Tensor, "out 1 kh kw"]) -> None:
    stem.weight = nn.Parameter(kernel)
    stem.in_channels = 1


def _add_constant(visual: nn.Module, stem: nn.Conv2d, constant: Float[Tensor, "out"]) -> None:
    """Add a constant to every position of the stem's output: to its bias, or to the position embeddings."""
    if isinstance(stem, Conv2dSame) or stem.padding not in ("valid", (0, 0)):
        raise ValueError(
            "grey_stem is not exact here: the first convolution pads its input, and the channels have different means;"
            " train with three channels"
        )
    with torch.no_grad():
        if stem.bias is not None:
            stem.bias += constant
        elif isinstance(visual, VisionTransformer):
            visual.positional_embedding[1:] += constant
        else:
            raise ValueError(
                "grey_stem is not exact here: the first convolution has no bias; train with three channels"
            )
