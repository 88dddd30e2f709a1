"""Networks and weights: build, load, save, encode. Names are imported on first use, so that `-h` stays fast."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.architecture import build, published_names
    from models.bundle import Bundle, encode_images, encode_texts, fingerprint, image_features, text_features
    from models.checkpoint import load, save
    from models.preprocessing import CHEXZERO, Preprocessing, normalise, resize, to_network_input
    from models.starts import start_as_bag_of_words
    from models.tokens import tokenize, trim_padding

_HOME = {
    "Bundle": "bundle",
    "CHEXZERO": "preprocessing",
    "Preprocessing": "preprocessing",
    "build": "architecture",
    "encode_images": "bundle",
    "encode_texts": "bundle",
    "fingerprint": "bundle",
    "image_features": "bundle",
    "load": "checkpoint",
    "normalise": "preprocessing",
    "published_names": "architecture",
    "resize": "preprocessing",
    "save": "checkpoint",
    "start_as_bag_of_words": "starts",
    "text_features": "bundle",
    "to_network_input": "preprocessing",
    "tokenize": "tokens",
    "trim_padding": "tokens",
}

__all__ = [
    "CHEXZERO",
    "Bundle",
    "Preprocessing",
    "build",
    "encode_images",
    "encode_texts",
    "fingerprint",
    "image_features",
    "load",
    "normalise",
    "published_names",
    "resize",
    "save",
    "start_as_bag_of_words",
    "text_features",
    "to_network_input",
    "tokenize",
    "trim_padding",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
