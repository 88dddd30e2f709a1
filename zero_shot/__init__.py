"""Findings scored by prompt similarity, without labels. Names are imported on first use, so that `-h` stays fast."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zero_shot.alternatives import alternative_table, summarise_alternatives
    from zero_shot.config import ZeroShotConfig
    from zero_shot.ensemble import average, ensemble_models, score_checkpoints
    from zero_shot.evaluate import metrics_table
    from zero_shot.families import Prompt, PromptFamily, load_family
    from zero_shot.features import image_features, phrase_features, prompt_features
    from zero_shot.flips import rank_flips
    from zero_shot.images import Images, as_images
    from zero_shot.prompts import PromptPair, PromptSet, from_templates, load_prompts, shipped_names
    from zero_shot.scoring import mixture_probabilities, probabilities, score, score_features
    from zero_shot.select import choose_labels, select_images
    from zero_shot.sensitivity import Encoded, Sensitivity, all_prompts, encode_prompts, prompt_sensitivity
    from zero_shot.spec import build_spec

_HOME = {
    "Encoded": "sensitivity",
    "Images": "images",
    "Prompt": "families",
    "PromptFamily": "families",
    "PromptPair": "prompts",
    "PromptSet": "prompts",
    "Sensitivity": "sensitivity",
    "ZeroShotConfig": "config",
    "all_prompts": "sensitivity",
    "alternative_table": "alternatives",
    "as_images": "images",
    "average": "ensemble",
    "build_spec": "spec",
    "choose_labels": "select",
    "encode_prompts": "sensitivity",
    "ensemble_models": "ensemble",
    "from_templates": "prompts",
    "image_features": "features",
    "load_family": "families",
    "load_prompts": "prompts",
    "metrics_table": "evaluate",
    "mixture_probabilities": "scoring",
    "phrase_features": "features",
    "probabilities": "scoring",
    "prompt_features": "features",
    "prompt_sensitivity": "sensitivity",
    "rank_flips": "flips",
    "score": "scoring",
    "score_checkpoints": "ensemble",
    "score_features": "scoring",
    "select_images": "select",
    "shipped_names": "prompts",
    "summarise_alternatives": "alternatives",
}

__all__ = [
    "Encoded",
    "Images",
    "Prompt",
    "PromptFamily",
    "PromptPair",
    "PromptSet",
    "Sensitivity",
    "ZeroShotConfig",
    "all_prompts",
    "alternative_table",
    "as_images",
    "average",
    "build_spec",
    "choose_labels",
    "encode_prompts",
    "ensemble_models",
    "from_templates",
    "image_features",
    "load_family",
    "load_prompts",
    "metrics_table",
    "mixture_probabilities",
    "phrase_features",
    "probabilities",
    "prompt_features",
    "prompt_sensitivity",
    "rank_flips",
    "score",
    "score_checkpoints",
    "score_features",
    "select_images",
    "shipped_names",
    "summarise_alternatives",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
