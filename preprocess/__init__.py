"""Pixels and text: decode, resize, report sections, the HDF5 store, the pipeline.

The public names load on first use, so that `python preprocess_train_data.py -h` does not wait for pandas, and so that
a worker process imports no more than decoding needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preprocess.block import PackSpec
    from preprocess.config import Outputs, PreprocessConfig
    from preprocess.decode import UnreadableImageError, read_image
    from preprocess.errors import JobFailedError
    from preprocess.impressions import chexzero_impression
    from preprocess.pack import pack_images
    from preprocess.pipeline import Summary, run
    from preprocess.resize import fit_to_square
    from preprocess.sections import choose_text, split_sections

__all__ = [
    "JobFailedError",
    "Outputs",
    "PackSpec",
    "PreprocessConfig",
    "Summary",
    "UnreadableImageError",
    "chexzero_impression",
    "choose_text",
    "fit_to_square",
    "pack_images",
    "read_image",
    "run",
    "split_sections",
]

_HOMES = {
    "JobFailedError": "errors",
    "Outputs": "config",
    "PackSpec": "block",
    "PreprocessConfig": "config",
    "Summary": "pipeline",
    "UnreadableImageError": "decode",
    "chexzero_impression": "impressions",
    "choose_text": "sections",
    "fit_to_square": "resize",
    "pack_images": "pack",
    "read_image": "decode",
    "run": "pipeline",
    "split_sections": "sections",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'preprocess' has no attribute {name!r}")
    return getattr(import_module(f"preprocess.{_HOMES[name]}"), name)
