"""What features depend on beside weights and preprocessing: configuration, the text encoder's own, tokenizer."""

import hashlib
import json
from typing import Any

from open_clip.hf_model import HFTextEncoder

from models.bundle import Bundle
from models.tokens import pad_id
from models.towers.network import described

NO_FEATURE = {
    *("architectures", "auto_map", "dtype", "torch_dtype", "transformers_version", "return_dict", "use_cache"),
    *("id2label", "label2id", "problem_type", "initializer_range", "output_attentions", "output_hidden_states"),
    *("gradient_checkpointing", "chunk_size_feed_forward", "bos_token_id", "eos_token_id", "is_encoder_decoder"),
}
"""Options of a Hugging Face encoder that change no feature: names, versions, training, outputs that are not read"""
STATE = ("truncation", "padding")
"""Parts of a tokenizer that its last call has set"""


def architecture_fingerprint(bundle: Bundle) -> str:
    """Return the SHA-256 over everything but weights and preprocessing that features depend on.

    The same weights with another activation, other heads or another vocabulary are another model. Names of files and
    folders, versions and options of training do not count, and an option counts the same with and without its default.
    """
    text: Any = bundle.model.text
    parts = {
        "options": described(bundle.config),
        "context_length": bundle.context_length,
        "text encoder": _encoder_options(text) if isinstance(text, HFTextEncoder) else None,
        "tokenizer": _tokenizer_parts(bundle.tokenizer),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _encoder_options(text: HFTextEncoder) -> dict[str, Any]:
    """Return the options of the encoder's own configuration that change its features."""
    options: dict[str, Any] = text.config.to_dict()
    return {
        name: value
        for name, value in options.items()
        if name not in NO_FEATURE and not name.startswith("_") and "drop" not in name
    }


def _tokenizer_parts(tokenizer: Any) -> dict[str, Any]:
    """Return what decides the ids of a text: cleaning, vocabulary and rules, padding."""
    parts = {
        "kind": type(tokenizer).__name__,
        "clean": getattr(getattr(tokenizer, "clean_fn", None), "__name__", None),
        "options": [bool(getattr(tokenizer, name, None)) for name in ("strip_sep_token", "reduction_fn")],
        "mode": getattr(tokenizer, "tokenizer_mode", None),
        "padding": pad_id(tokenizer),
    }
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        # CLIP's own: word pieces, and the order in which they are merged
        return parts | {"vocabulary": tokenizer.encoder, "merges": [list(pair) for pair in tokenizer.bpe_ranks]}
    backend = getattr(inner, "backend_tokenizer", None)
    if backend is None:
        return parts | {"class": type(inner).__name__, "vocabulary": inner.get_vocab()}
    return parts | {name: part for name, part in json.loads(backend.to_str()).items() if name not in STATE}
