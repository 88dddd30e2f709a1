"""Tokenizers of Hugging Face's CLIP and SigLIP, from the files beside their weights."""

import json
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from transformers import PreTrainedTokenizerFast

from models.files.hub import find_file, reading

N_MARKS = 2
"""Start and end mark, the last ids of CLIP's vocabulary, which have other names in open_clip"""
CLEANING = {"Unigram": "canonicalize", "BPE": "lower"}
"""Kind of vocabulary -> open_clip's name of the cleaning of texts: lower case without punctuation for SigLIP, lower
case for SigLIP 2 (Gemma's word pieces)"""


def clip_tokenizer(source: str, *, length: int) -> SimpleTokenizer:
    """Return CLIP's tokenizer, if the vocabulary beside the weights is CLIP's.

    It pads rows with 0, while transformers repeats the end mark; a causal tower reads neither.

    Raises:
        FileNotFoundError: There is no vocabulary, so the ids of the words are unknown.
        ValueError: The vocabulary is not CLIP's.
    """
    path = find_file(source, "vocab.json", "tokenizer.json")
    if path is None:
        raise FileNotFoundError(
            f"{source} has neither vocab.json nor tokenizer.json: download its tokenizer's files, too"
        )

    # word pieces only: the names of the marks differ
    fields = json.loads(path.read_text(encoding="utf-8"))
    words = fields["model"]["vocab"] if path.name == "tokenizer.json" else fields
    tokenizer = open_clip.get_tokenizer("", context_length=length)
    own = {word: number for word, number in tokenizer.encoder.items() if number < tokenizer.vocab_size - N_MARKS}
    if {word: number for word, number in words.items() if number < tokenizer.vocab_size - N_MARKS} != own:
        raise ValueError(
            f"{path} holds another vocabulary ({len(words)} word pieces) than CLIP's ({len(own) + N_MARKS})"
        )
    return tokenizer


def siglip_tokenizer(source: str, *, length: int, n_words: int) -> tuple[HFTokenizer, dict[str, Any]]:
    """Return SigLIP's tokenizer, and its options in open_clip's `text_cfg`.

    Texts are cleaned first, as in training (`CLEANING`), and rows are padded, because SigLIP reads its padding. An
    underscore becomes a space, as in big_vision; transformers deletes it.

    Args:
        source: Hub id or folder.
        length: Tokens of a row.
        n_words: Rows of the network's embedding.

    Raises:
        FileNotFoundError: There is no tokenizer.json.
        ValueError: The vocabulary is of another kind, has more word pieces than the network, or has no padding.

    Source: google-research/big_vision, pp/ops_text.py and evaluators/proj/image_text/prompt_engineering.py.
    """
    if find_file(source, "tokenizer.json") is None:
        raise FileNotFoundError(
            f"{source} has no tokenizer.json, and spiece.model alone needs the library sentencepiece, which is not used"
            f" here: download tokenizer.json from where the weights came from"
        )
    with reading(source):
        # from the file: the class that a folder names differs by version, and some classes need sentencepiece
        plain = PreTrainedTokenizerFast.from_pretrained(source)

    kind = type(plain.backend_tokenizer.model).__name__
    if kind not in CLEANING:
        raise ValueError(f"{source}/tokenizer.json is of kind {kind}; SigLIP's are {' and '.join(CLEANING)}")
    if len(plain) > n_words or plain.pad_token_id is None:
        raise ValueError(
            f"{source}: its tokenizer has {len(plain)} word pieces and padding {plain.pad_token!r}; the network knows"
            f" {n_words} and needs padding"
        )

    options = {"clean": CLEANING[kind]}
    # open_clip reads tokenizers from folders only
    with TemporaryDirectory() as folder:
        plain.save_pretrained(folder)
        tokenizer = HFTokenizer(folder, context_length=length, **options)
    return tokenizer, {"hf_tokenizer_name": source, "tokenizer_kwargs": options}
