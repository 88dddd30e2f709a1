"""Networks and weights: build, load, save, encode. Names are imported on first use, so that `-h` stays fast."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.architecture import build, published_names
    from models.bundle import (
        Bundle,
        encode_images,
        encode_many_texts,
        encode_texts,
        fingerprint,
        image_features,
        text_features,
    )
    from models.checkpoint import find_beside, load, save
    from models.chexzero import refuse_other_than_chexzero, save_chexzero
    from models.depths import layer_depths
    from models.grey_stem import fold_stem
    from models.places import encode_places, relevance
    from models.positions import with_context_length
    from models.preprocessing import CHEXZERO, Preprocessing, normalise, resize, to_network_input
    from models.starts import start_as_bag_of_words
    from models.tokens import tokenize, trim_padding
    from models.training_only import checkpoint_activations, drop_patches, freeze

_HOME = {
    "CHEXZERO": "preprocessing",
    "Bundle": "bundle",
    "Preprocessing": "preprocessing",
    "build": "architecture",
    "checkpoint_activations": "training_only",
    "drop_patches": "training_only",
    "encode_images": "bundle",
    "encode_places": "places",
    "encode_many_texts": "bundle",
    "encode_texts": "bundle",
    "fingerprint": "bundle",
    "find_beside": "checkpoint",
    "fold_stem": "grey_stem",
    "freeze": "training_only",
    "image_features": "bundle",
    "layer_depths": "depths",
    "load": "checkpoint",
    "normalise": "preprocessing",
    "published_names": "architecture",
    "refuse_other_than_chexzero": "chexzero",
    "relevance": "places",
    "resize": "preprocessing",
    "save": "checkpoint",
    "save_chexzero": "chexzero",
    "start_as_bag_of_words": "starts",
    "text_features": "bundle",
    "to_network_input": "preprocessing",
    "tokenize": "tokens",
    "trim_padding": "tokens",
    "with_context_length": "positions",
}

__all__ = [
    "CHEXZERO",
    "Bundle",
    "Preprocessing",
    "build",
    "checkpoint_activations",
    "drop_patches",
    "encode_images",
    "encode_many_texts",
    "encode_places",
    "encode_texts",
    "find_beside",
    "fingerprint",
    "fold_stem",
    "freeze",
    "image_features",
    "layer_depths",
    "load",
    "normalise",
    "published_names",
    "refuse_other_than_chexzero",
    "relevance",
    "resize",
    "save",
    "save_chexzero",
    "start_as_bag_of_words",
    "text_features",
    "to_network_input",
    "tokenize",
    "trim_padding",
    "with_context_length",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
