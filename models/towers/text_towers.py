"""Text towers that replace the architecture's own: encoders of the Hugging Face hub, such as CXR-BERT."""

from typing import Any

from open_clip.tokenizer import HFTokenizer
from torch import nn
from transformers import PretrainedConfig

from models.files.hub import read_config, read_network, reading, source_of, tokenizer_options
from models.towers.heads import ProjectionHead, load_projection
from models.towers.network import OWN_PROJECTION


def find_text_tower(tower: str, *, context_length: int | None, embed_dim: int) -> dict[str, Any]:
    """Return open_clip's `text_cfg` of the encoder that "hf:OWNER/NAME" or a folder names.

    Its output is the hidden state of the first token, [CLS], through a new linear projection: CXR-BERT was trained on
    this token, and BiomedCLIP reads it too. If the joint space is as wide as CXR-BERT's own (128), the projection is
    CXR-BERT's own head, so that its texts are in the joint space of BioViL's image encoder.

    Args:
        tower: As in `TrainConfig.text_tower`.
        context_length: Maximum number of tokens of a text; None is the tower's number of positions.
        embed_dim: Width of the joint space.

    Raises:
        FileNotFoundError: The configuration is not there and cannot be downloaded.
        ValueError: transformers does not implement the encoder, or it has fewer positions than `context_length`.
    """
    source = source_of(tower, option="text_tower")
    config = read_config(source)
    most = positions_of(config)
    if context_length is not None and context_length > most:
        raise ValueError(
            f"text tower {tower} has positions for {most} tokens, so context_length cannot be {context_length}"
        )
    return {
        "hf_model_name": source,
        "hf_tokenizer_name": source,
        "hf_model_pretrained": False,
        "hf_proj_type": OWN_PROJECTION if getattr(config, "projection_size", None) == embed_dim else "linear",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": context_length or most,
    }


def positions_of(config: PretrainedConfig) -> int:
    """Return the number of tokens that an encoder has positions for; RoBERTa's begin after the padding's id."""
    unused = config.pad_token_id + 1 if "roberta" in config.model_type or config.model_type == "mpnet" else 0
    return int(config.max_position_embeddings - unused)


def load_text_weights(text: nn.Module, source: str) -> None:
    """Load the weights of a hub id or folder into an open_clip `HFTextEncoder`, in place; a new projection stays.

    Raises:
        FileNotFoundError, ValueError: See `read_network`, `load_projection`.
    """
    state = read_network(source, read_config(source)).state_dict()
    own = {name: tensor for name, tensor in state.items() if not name.startswith("pooler.")}
    text.transformer.load_state_dict(own, strict=True)  # type: ignore[union-attr]
    if isinstance(text.proj, ProjectionHead):
        load_projection(text.proj, source)


def read_tokenizer(source: str, *, context_length: int) -> HFTokenizer:
    """Return open_clip's wrapper around the tokenizer of a hub id or folder.

    Raises:
        FileNotFoundError: It is not there and cannot be downloaded.
    """
    options = tokenizer_options(source)
    with reading(source):
        tokenizer = HFTokenizer(source, context_length=context_length, **options)
    # a saved copy must not ask for a class of the hub's own
    tokenizer.tokenizer.init_kwargs.pop("auto_map", None)
    return tokenizer
