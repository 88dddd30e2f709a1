"""Training: objectives, batches, the one loop. Configurations come at once; what needs torch, on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from train.config import Augmentation, TrainConfig
from train.presets import PRESETS, chexzero, default, mimic_dinov2, mimic_vit_b16, phantom, small_gpu

if TYPE_CHECKING:
    from train.contrastive import fit
    from train.pairs import ArrayImages, ImageSource, Pairs, load_pairs
    from train.recorder import RunSummary
    from train.rehearsal import Rehearsal, rehearse
    from train.start import start_model
    from train.supervised import (
        Classifier,
        fit_supervised,
        label_targets,
        predict_supervised,
        supervised_predictions,
    )
    from train.validation import pair_validation

_HOME = {
    "ArrayImages": "pairs",
    "Classifier": "supervised",
    "ImageSource": "pairs",
    "Pairs": "pairs",
    "Rehearsal": "rehearsal",
    "RunSummary": "recorder",
    "fit": "contrastive",
    "fit_supervised": "supervised",
    "label_targets": "supervised",
    "load_pairs": "pairs",
    "pair_validation": "validation",
    "predict_supervised": "supervised",
    "rehearse": "rehearsal",
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
    "Rehearsal",
    "RunSummary",
    "TrainConfig",
    "chexzero",
    "default",
    "fit",
    "fit_supervised",
    "label_targets",
    "load_pairs",
    "mimic_dinov2",
    "mimic_vit_b16",
    "pair_validation",
    "phantom",
    "predict_supervised",
    "rehearse",
    "small_gpu",
    "start_model",
    "supervised_predictions",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
