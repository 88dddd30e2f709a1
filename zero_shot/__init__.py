"""Findings scored by prompt similarity, without labels. Names are imported on first use, so that `-h` stays fast."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zero_shot.alternatives import alternative_table, summarise_alternatives
    from zero_shot.boxes import packed_boxes, read_boxes, read_sizes
    from zero_shot.compare import compare_results
    from zero_shot.config import ZeroShotConfig
    from zero_shot.decisions import (
        Judged,
        calibrated,
        calibration_table,
        decisions_table,
        fit_decisions,
        reliability_bins,
    )
    from zero_shot.embeddings import Cache, Embeddings, ModelKey, model_key, read_embeddings, write_embeddings
    from zero_shot.ensemble import average, ensemble_models, score_ensemble
    from zero_shot.evaluate import metrics_table
    from zero_shot.families import Prompt, PromptFamily, load_family
    from zero_shot.features import image_features, mean_features, phrase_features, prompt_features
    from zero_shot.flips import rank_flips
    from zero_shot.heatmaps import HeatmapConfig
    from zero_shot.images import Images, as_images
    from zero_shot.laterality import ask_sides
    from zero_shot.maps import gradient_relevance, patch_margins, patch_similarity, upsample
    from zero_shot.overlays import overlay, write_overlay
    from zero_shot.pointing import pointing_game
    from zero_shot.probe_pairs import MinimalPair, Probe, Question, load_probe
    from zero_shot.probe_truth import severity_truth, sides_from_boxes
    from zero_shot.probes import Bootstrap, ask
    from zero_shot.prompts import PromptPair, PromptSet, from_templates, load_prompts, shipped_names
    from zero_shot.protocols import beside_published, load_protocol, protocol_names
    from zero_shot.rescoring import margins, rescore
    from zero_shot.retrieval import Retrieval, distinct_texts, report_features, retrieval_table, retrieve
    from zero_shot.scoring import mixture_probabilities, probabilities, score, score_features, score_phrases
    from zero_shot.select import choose_labels, select_images
    from zero_shot.sensitivity import Encoded, Sensitivity, all_prompts, encode_prompts, prompt_sensitivity
    from zero_shot.spec import build_spec

_HOME = {
    "Bootstrap": "probes",
    "Cache": "embeddings",
    "Embeddings": "embeddings",
    "Encoded": "sensitivity",
    "HeatmapConfig": "heatmaps",
    "Images": "images",
    "Judged": "decisions",
    "MinimalPair": "probe_pairs",
    "ModelKey": "embeddings",
    "Probe": "probe_pairs",
    "Prompt": "families",
    "PromptFamily": "families",
    "PromptPair": "prompts",
    "PromptSet": "prompts",
    "Question": "probe_pairs",
    "Retrieval": "retrieval",
    "Sensitivity": "sensitivity",
    "ZeroShotConfig": "config",
    "all_prompts": "sensitivity",
    "alternative_table": "alternatives",
    "as_images": "images",
    "ask": "probes",
    "ask_sides": "laterality",
    "average": "ensemble",
    "beside_published": "protocols",
    "build_spec": "spec",
    "calibrated": "decisions",
    "calibration_table": "decisions",
    "choose_labels": "select",
    "compare_results": "compare",
    "decisions_table": "decisions",
    "distinct_texts": "retrieval",
    "encode_prompts": "sensitivity",
    "ensemble_models": "ensemble",
    "fit_decisions": "decisions",
    "from_templates": "prompts",
    "gradient_relevance": "maps",
    "image_features": "features",
    "load_family": "families",
    "load_probe": "probe_pairs",
    "load_prompts": "prompts",
    "load_protocol": "protocols",
    "margins": "rescoring",
    "mean_features": "features",
    "metrics_table": "evaluate",
    "mixture_probabilities": "scoring",
    "model_key": "embeddings",
    "overlay": "overlays",
    "packed_boxes": "boxes",
    "patch_margins": "maps",
    "patch_similarity": "maps",
    "phrase_features": "features",
    "pointing_game": "pointing",
    "probabilities": "scoring",
    "prompt_features": "features",
    "prompt_sensitivity": "sensitivity",
    "protocol_names": "protocols",
    "rank_flips": "flips",
    "read_boxes": "boxes",
    "read_embeddings": "embeddings",
    "read_sizes": "boxes",
    "reliability_bins": "decisions",
    "report_features": "retrieval",
    "rescore": "rescoring",
    "retrieval_table": "retrieval",
    "retrieve": "retrieval",
    "score": "scoring",
    "score_ensemble": "ensemble",
    "score_features": "scoring",
    "score_phrases": "scoring",
    "select_images": "select",
    "severity_truth": "probe_truth",
    "shipped_names": "prompts",
    "sides_from_boxes": "probe_truth",
    "summarise_alternatives": "alternatives",
    "upsample": "maps",
    "write_embeddings": "embeddings",
    "write_overlay": "overlays",
}

__all__ = [
    "Bootstrap",
    "Cache",
    "Embeddings",
    "Encoded",
    "HeatmapConfig",
    "Images",
    "Judged",
    "MinimalPair",
    "ModelKey",
    "Probe",
    "Prompt",
    "PromptFamily",
    "PromptPair",
    "PromptSet",
    "Question",
    "Retrieval",
    "Sensitivity",
    "ZeroShotConfig",
    "all_prompts",
    "alternative_table",
    "as_images",
    "ask",
    "ask_sides",
    "average",
    "beside_published",
    "build_spec",
    "calibrated",
    "calibration_table",
    "choose_labels",
    "compare_results",
    "decisions_table",
    "distinct_texts",
    "encode_prompts",
    "ensemble_models",
    "fit_decisions",
    "from_templates",
    "gradient_relevance",
    "image_features",
    "load_family",
    "load_probe",
    "load_prompts",
    "load_protocol",
    "margins",
    "mean_features",
    "metrics_table",
    "mixture_probabilities",
    "model_key",
    "overlay",
    "packed_boxes",
    "patch_margins",
    "patch_similarity",
    "phrase_features",
    "pointing_game",
    "probabilities",
    "prompt_features",
    "prompt_sensitivity",
    "protocol_names",
    "rank_flips",
    "read_boxes",
    "read_embeddings",
    "read_sizes",
    "reliability_bins",
    "report_features",
    "rescore",
    "retrieval_table",
    "retrieve",
    "score",
    "score_ensemble",
    "score_features",
    "score_phrases",
    "select_images",
    "severity_truth",
    "shipped_names",
    "sides_from_boxes",
    "summarise_alternatives",
    "upsample",
    "write_embeddings",
    "write_overlay",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
