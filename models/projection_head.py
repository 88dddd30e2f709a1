"""CXR-BERT's own way from its first token into the space that it shares with BioViL's image encoder."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from models.hub import find_file
from models.weights_file import read_state_dict, refuse_other_names

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
