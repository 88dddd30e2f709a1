"""BioViL's way from a convolutional map into the joint space: every place is projected, then their mean is taken."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PlaceHead(nn.Module):
    """Two 1 x 1 convolutions with batch norm and ReLU between them, and the mean over places.

    With `prior_width`, BioViL-T's for a single film: the map is narrowed to that width first, and what a comparison
    with an earlier film would say is a learnt constant beside it.

    Source: microsoft/hi-ml, hi-ml-multimodal, health_multimodal/image/model: model.py, modules.py, encoder.py; Bannur
    et al., CVPR 2023, section 3.1.
    """

    def __init__(self, width: int, output_dim: int, *, prior_width: int | None = None) -> None:
        """Take the width of the map and of the joint space."""
        super().__init__()
        self.narrow: nn.Conv2d | None = None
        if prior_width is not None:
            self.narrow = nn.Conv2d(width, prior_width, 1, bias=False)
            self.no_prior = nn.Parameter(torch.zeros(1, prior_width, 1, 1))
            width = 2 * prior_width
        self.project = nn.Sequential(
            nn.Conv2d(width, output_dim, 1, bias=False),
            nn.BatchNorm2d(output_dim),
            nn.ReLU(inplace=True),
            nn.Conv2d(output_dim, output_dim, 1),
        )

    def forward(self, places: Float[Tensor, "n m h w"]) -> Float[Tensor, "n d"]:
        """Return the joint space's features, not normalised."""
        if self.narrow is not None:
            current = self.narrow(places)
            places = torch.cat([current, self.no_prior.expand_as(current)], dim=1)
        projected: Tensor = self.project(places).mean(dim=(2, 3))
        return projected
