"""Training: objectives, batches, the one loop. Configurations come at once; what needs torch, on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from train.config import PRESETS, Augmentation, TrainConfig, chexzero, default, phantom

if TYPE_CHECKING:
    from train.contrastive import fit
    from train.pairs import ArrayImages, ImageSource, Pairs, load_pairs
    from train.recorder import RunSummary
    from train.start import start_model
    from train.supervised import (
        Classifier,
        fit_supervised,
        label_targets,
        predict_supervised,
        supervised_predictions,
    )

_HOME = {
    "ArrayImages": "pairs",
    "Classifier": "supervised",
    "ImageSource": "pairs",
    "Pairs": "pairs",
    "RunSummary": "recorder",
    "fit": "contrastive",
    "fit_supervised": "supervised",
    "label_targets": "supervised",
    "load_pairs": "pairs",
    "predict_supervised": "supervised",
    "start_model": "start",
    "supervised_predictions": "supervised",
}

__all__ = [
    "PRESETS",
    "ArrayImages",
    "Augmentation",
    "Classifier",
    "ImageSource",
    "Pairs",
    "RunSummary",
    "TrainConfig",
    "chexzero",
    "default",
    "fit",
    "fit_supervised",
    "label_targets",
    "load_pairs",
    "phantom",
    "predict_supervised",
    "start_model",
    "supervised_predictions",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
