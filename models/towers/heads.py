"""Projections of BioViL into the joint space: `PlaceHead` of its image tower, `ProjectionHead` of CXR-BERT."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from models.files.hub import find_file
from models.files.state_dicts import read_state_dict, refuse_other_names

PREFIX = "cls_projection_head."
"""Prefix of the names of `ProjectionHead` in CXR-BERT's weights"""
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
NORM_EPS = 1e-12


class PlaceHead(nn.Module):
    """BioViL's head: each place is projected by two 1 x 1 convolutions, then the mean over places is taken.

    With `prior_width` it is BioViL-T's head for a single image: the map is first narrowed to that width, and a learnt
    constant takes the place of the comparison with an earlier image.

    Source: microsoft/hi-ml, hi-ml-multimodal, health_multimodal/image/model: model.py, modules.py, encoder.py; Bannur
    et al., CVPR 2023, section 3.1.
    """

    def __init__(self, width: int, output_dim: int, *, prior_width: int | None = None) -> None:
        """Make the layers, from the width of the map to that of the joint space."""
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
        """Return features of the joint space, not normalised."""
        if self.narrow is not None:
            current = self.narrow(places)
            places = torch.cat([current, self.no_prior.expand_as(current)], dim=1)  # (n, 2 prior_width, h, w)

        projected: Tensor = self.project(places).mean(dim=(2, 3))  # (n, m, h, w) -> (n, d)
        return projected


class ProjectionHead(nn.Module):
    """CXR-BERT's head: linear, GELU, layer norm, linear, under its own names.

    Source: microsoft/hi-ml, health_multimodal/text/model/modelling_cxrbert.py, BertProjectionHead.
    """

    def __init__(self, hidden_size: int, projection_size: int) -> None:
        super().__init__()
        self.dense_to_hidden = nn.Linear(hidden_size, projection_size)
        self.LayerNorm = nn.LayerNorm(projection_size, eps=NORM_EPS)
        self.dense_to_output = nn.Linear(projection_size, projection_size)

    def forward(self, hidden: Float[Tensor, "k w"]) -> Float[Tensor, "k d"]:
        """Return features of the joint space, not normalised, from the hidden states of the first tokens."""
        projected: Tensor = self.dense_to_output(self.LayerNorm(gelu(self.dense_to_hidden(hidden))))
        return projected


def load_projection(head: ProjectionHead, source: str) -> None:
    """Load the weights of a hub id or folder into the head, in place.

    Raises:
        FileNotFoundError: There are no weights.
        ValueError: The file lacks the head's weights, or they have other shapes.
    """
    path = find_file(source, *WEIGHTS_NAMES)
    if path is None:
        raise FileNotFoundError(f"{source} has neither {' nor '.join(WEIGHTS_NAMES)}")
    stored = read_state_dict(path)
    found = {name.removeprefix(PREFIX): tensor for name, tensor in stored.items() if name.startswith(PREFIX)}
    own = head.state_dict()
    refuse_other_names(f"{source}: {PREFIX}*", missing=own.keys() - found, unexpected=found.keys() - own.keys())
    try:
        head.load_state_dict({name: tensor.float() for name, tensor in found.items()}, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{source}: the projection head does not fit its config.json: {error}") from error
