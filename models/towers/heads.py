"""BioViL's way from a convolutional map into the joint space: every place is projected, then their mean is taken."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from models.files.hub import find_file
from models.files.state_dicts import read_state_dict, refuse_other_names


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


PREFIX = "cls_projection_head."
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
NORM_EPS = 1e-12


class ProjectionHead(nn.Module):
    """Linear, GELU, layer norm, linear; under CXR-BERT's own names.

    Source: microsoft/hi-ml, health_multimodal/text/model/modelling_cxrbert.py, BertProjectionHead.
    """

    def __init__(self, hidden_size: int, projection_size: int) -> None:
        super().__init__()
        self.dense_to_hidden = nn.Linear(hidden_size, projection_size)
        self.LayerNorm = nn.LayerNorm(projection_size, eps=NORM_EPS)
        self.dense_to_output = nn.Linear(projection_size, projection_size)

    def forward(self, hidden: Float[Tensor, "k w"]) -> Float[Tensor, "k d"]:
        """Return the joint space's features, not normalised, of the first tokens' hidden states."""
        projected: Tensor = self.dense_to_output(self.LayerNorm(gelu(self.dense_to_hidden(hidden))))
        return projected


def load_projection(head: ProjectionHead, source: str) -> None:
    """Put the weights of a hub id or folder into the head, in place.

    Raises:
        FileNotFoundError: no weights there.
        ValueError: the file lacks the head's weights, or they have other shapes.
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
