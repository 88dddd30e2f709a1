"""Findings scored by prompt similarity, without labels. Names are imported on first use, so that `-h` stays fast."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zero_shot.compare import compare_results
    from zero_shot.alternatives import alternative_table, summarise_alternatives
    from zero_shot.config import ZeroShotConfig
    from zero_shot.embeddings import Cache, Embeddings, ModelKey, model_key, read_embeddings, write_embeddings
    from zero_shot.ensemble import average, ensemble_models, score_ensemble
    from zero_shot.evaluate import metrics_table
    from zero_shot.features import image_features, mean_features, phrase_features, prompt_features
    from zero_shot.images import Images, as_images
    from zero_shot.prompts import PromptPair, PromptSet, from_templates, load_prompts
    from zero_shot.protocols import beside_published, load_protocol, protocol_names
    from zero_shot.rescoring import margins, rescore
    from zero_shot.scoring import mixture_probabilities, probabilities, score, score_features, score_phrases
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
    "Cache": "embeddings",
    "Embeddings": "embeddings",
    "Images": "images",
    "ModelKey": "embeddings",
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
    "beside_published": "protocols",
    "build_spec": "spec",
    "choose_labels": "select",
    "compare_results": "compare",
    "encode_prompts": "sensitivity",
    "ensemble_models": "ensemble",
    "from_templates": "prompts",
    "image_features": "features",
    "load_family": "families",
    "load_prompts": "prompts",
    "margins": "rescoring",
    "mean_features": "features",
    "load_protocol": "protocols",
    "metrics_table": "evaluate",
    "mixture_probabilities": "scoring",
    "model_key": "embeddings",
    "phrase_features": "features",
    "probabilities": "scoring",
    "prompt_features": "features",
    "read_embeddings": "embeddings",
    "rescore": "rescoring",
    "protocol_names": "protocols",
    "prompt_sensitivity": "sensitivity",
    "rank_flips": "flips",
    "score": "scoring",
    "score_ensemble": "ensemble",
    "score_features": "scoring",
    "score_phrases": "scoring",
    "select_images": "select",
    "write_embeddings": "embeddings",
}

__all__ = [
    "Cache",
    "Embeddings",
    "Images",
    "ModelKey",
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
    "beside_published",
    "build_spec",
    "choose_labels",
    "compare_results",
    "encode_prompts",
    "ensemble_models",
    "from_templates",
    "image_features",
    "load_family",
    "load_prompts",
    "load_protocol",
    "margins",
    "mean_features",
    "metrics_table",
    "mixture_probabilities",
    "model_key",
    "phrase_features",
    "probabilities",
    "prompt_features",
    "protocol_names",
    "read_embeddings",
    "rescore",
    "prompt_sensitivity",
    "rank_flips",
    "score",
    "score_ensemble",
    "score_features",
    "score_phrases",
    "select_images",
    "write_embeddings",
    "shipped_names",
    "summarise_alternatives",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
