"""Findings scored by prompt similarity, without labels. Names are imported on first use, so that `-h` stays fast."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zero_shot.config import ZeroShotConfig
    from zero_shot.ensemble import average, ensemble_models, score_checkpoints
    from zero_shot.evaluate import metrics_table
    from zero_shot.features import image_features, phrase_features, prompt_features
    from zero_shot.images import Images, as_images
    from zero_shot.laterality import ask_sides
    from zero_shot.probe_pairs import MinimalPair, Probe, Question, load_probe
    from zero_shot.probe_truth import severity_truth, sides_from_boxes
    from zero_shot.probes import Bootstrap, ask
    from zero_shot.prompts import PromptPair, PromptSet, from_templates, load_prompts
    from zero_shot.retrieval import Retrieval, distinct_texts, report_features, retrieval_table, retrieve
    from zero_shot.scoring import mixture_probabilities, probabilities, score, score_features
    from zero_shot.select import choose_labels, select_images
    from zero_shot.spec import build_spec

_HOME = {
    "Bootstrap": "probes",
    "Images": "images",
    "MinimalPair": "probe_pairs",
    "Probe": "probe_pairs",
    "PromptPair": "prompts",
    "PromptSet": "prompts",
    "Question": "probe_pairs",
    "Retrieval": "retrieval",
    "ZeroShotConfig": "config",
    "as_images": "images",
    "ask": "probes",
    "ask_sides": "laterality",
    "average": "ensemble",
    "build_spec": "spec",
    "choose_labels": "select",
    "distinct_texts": "retrieval",
    "ensemble_models": "ensemble",
    "from_templates": "prompts",
    "image_features": "features",
    "load_probe": "probe_pairs",
    "load_prompts": "prompts",
    "metrics_table": "evaluate",
    "mixture_probabilities": "scoring",
    "phrase_features": "features",
    "probabilities": "scoring",
    "prompt_features": "features",
    "report_features": "retrieval",
    "retrieval_table": "retrieval",
    "retrieve": "retrieval",
    "score": "scoring",
    "score_checkpoints": "ensemble",
    "score_features": "scoring",
    "select_images": "select",
    "severity_truth": "probe_truth",
    "sides_from_boxes": "probe_truth",
}

__all__ = [
    "Bootstrap",
    "Images",
    "MinimalPair",
    "Probe",
    "PromptPair",
    "PromptSet",
    "Question",
    "Retrieval",
    "ZeroShotConfig",
    "as_images",
    "ask",
    "ask_sides",
    "average",
    "build_spec",
    "choose_labels",
    "distinct_texts",
    "ensemble_models",
    "from_templates",
    "image_features",
    "load_probe",
    "load_prompts",
    "metrics_table",
    "mixture_probabilities",
    "phrase_features",
    "probabilities",
    "prompt_features",
    "report_features",
    "retrieval_table",
    "retrieve",
    "score",
    "score_checkpoints",
    "score_features",
    "select_images",
    "severity_truth",
    "sides_from_boxes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
