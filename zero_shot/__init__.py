"""Findings scored by prompt similarity, without labels. Names are imported on first use, so that `-h` stays fast."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zero_shot.boxes import packed_boxes, read_boxes, read_sizes
    from zero_shot.config import ZeroShotConfig
    from zero_shot.ensemble import average, ensemble_models, score_checkpoints
    from zero_shot.evaluate import metrics_table
    from zero_shot.features import image_features, phrase_features, prompt_features
    from zero_shot.heatmaps import HeatmapConfig
    from zero_shot.images import Images, as_images
    from zero_shot.maps import gradient_relevance, patch_margins, patch_similarity, upsample
    from zero_shot.overlays import overlay, write_overlay
    from zero_shot.pointing import pointing_game
    from zero_shot.prompts import PromptPair, PromptSet, from_templates, load_prompts
    from zero_shot.scoring import mixture_probabilities, probabilities, score, score_features
    from zero_shot.select import choose_labels, select_images
    from zero_shot.spec import build_spec

_HOME = {
    "HeatmapConfig": "heatmaps",
    "Images": "images",
    "PromptPair": "prompts",
    "PromptSet": "prompts",
    "ZeroShotConfig": "config",
    "as_images": "images",
    "average": "ensemble",
    "build_spec": "spec",
    "choose_labels": "select",
    "ensemble_models": "ensemble",
    "from_templates": "prompts",
    "gradient_relevance": "maps",
    "image_features": "features",
    "load_prompts": "prompts",
    "metrics_table": "evaluate",
    "mixture_probabilities": "scoring",
    "overlay": "overlays",
    "packed_boxes": "boxes",
    "patch_margins": "maps",
    "patch_similarity": "maps",
    "phrase_features": "features",
    "pointing_game": "pointing",
    "probabilities": "scoring",
    "prompt_features": "features",
    "read_boxes": "boxes",
    "read_sizes": "boxes",
    "score": "scoring",
    "score_checkpoints": "ensemble",
    "score_features": "scoring",
    "select_images": "select",
    "upsample": "maps",
    "write_overlay": "overlays",
}

__all__ = [
    "HeatmapConfig",
    "Images",
    "PromptPair",
    "PromptSet",
    "ZeroShotConfig",
    "as_images",
    "average",
    "build_spec",
    "choose_labels",
    "ensemble_models",
    "from_templates",
    "gradient_relevance",
    "image_features",
    "load_prompts",
    "metrics_table",
    "mixture_probabilities",
    "overlay",
    "packed_boxes",
    "patch_margins",
    "patch_similarity",
    "phrase_features",
    "pointing_game",
    "probabilities",
    "prompt_features",
    "read_boxes",
    "read_sizes",
    "score",
    "score_checkpoints",
    "score_features",
    "select_images",
    "upsample",
    "write_overlay",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
