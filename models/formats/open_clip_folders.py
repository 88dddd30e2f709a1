"""Load folders in open_clip's format: a downloaded one, one that `models.save` wrote, or one on the hub."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip

from common.notes import note
from models.bundle import Bundle
from models.files.hub import quiet, read_config, reading
from models.files.open_clip_weights import SAFE_NAME, SUFFIXES, readable
from models.files.state_dicts import refuse_other_names
from models.formats.processors import CONFIG_NAME, from_open_clip, read_open_clip_settings
from models.grey_stem import keep_first_channel
from models.network_input import Preprocessing
from models.towers.network import network

WEIGHTS_NAME = "model.safetensors"
WEIGHTS_NAMES = (SAFE_NAME, "open_clip_pytorch_model.bin", WEIGHTS_NAME)
"""Searched in this order: beside one of the first two, `model.safetensors` is the same model in Hugging Face's names"""
TOKENIZER_NAMES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
PREPROCESS_NAME = "preprocess.json"
TEXT_CONFIG_NAME = "config.json"
PREPROCESS_VERSION = 1


def load_open_clip_folder(folder: Path, *, weights: Path | None = None) -> Bundle:
    """Return the model of a folder with `open_clip_config.json`.

    Args:
        folder: The folder.
        weights: Its weights file; None: the first of `WEIGHTS_NAMES`, or of the files with a suffix of weights.

    Raises:
        FileNotFoundError: The folder lacks weights, tokenizer, or the configuration of its text tower.
        ValueError: The settings do not describe a network, or not that of the weights.
    """
    # settings and weights, checked before the network is built
    settings = read_open_clip_settings(folder)
    if "model_cfg" not in settings:
        raise ValueError(
            f"{folder / CONFIG_NAME} lacks model_cfg, so the network is unknown: name it with NAME:FILE, such as"
            f" ViT-B-32:{folder / WEIGHTS_NAME}"
        )
    weights = weights or _weights_of(folder)
    if weights is None:
        wanted = ", ".join(WEIGHTS_NAMES)
        raise FileNotFoundError(
            f"{folder} has {CONFIG_NAME}, but no weights: wanted one of {wanted}; found {found_in(folder)}"
        )

    with readable(weights) as (file, stored):
        # configuration and preprocessing; the bias exists if the weights hold one, whatever the configuration says
        config: dict[str, Any] = {**settings["model_cfg"], "custom_text": True}
        config["text_cfg"] = _with_text_config(folder, config["text_cfg"])
        if "logit_bias" in stored.tensors:
            config.setdefault("init_logit_bias", 0.0)
        elif config.get("init_logit_bias") is not None:
            refuse_other_names(str(weights), missing=["logit_bias"], unexpected=[])
        preprocessing, name = _read_preprocessing(folder, settings)

        # the network, with exactly these weights
        try:
            model: Any = network(config)
            left = open_clip.load_checkpoint(model, str(file), strict=False)
        except (RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())[:400]
            raise ValueError(f"{folder}: the weights do not fit the architecture of {CONFIG_NAME}: {reason}") from error
    refuse_other_names(str(weights), missing=left.missing_keys, unexpected=left.unexpected_keys)
    if preprocessing.channels == 1:
        keep_first_channel(model)

    with reading(str(folder)):
        bundle = _bundle(f"local-dir:{folder}", config, model, preprocessing)
    return replace(bundle, name=name)


def _with_text_config(folder: Path, text_cfg: dict[str, Any]) -> dict[str, Any]:
    """Return `text_cfg` with its Hugging Face encoder and tokenizer in the folder itself, if they are there.

    Published folders, such as BiomedCLIP's, give the hub id of the encoder's configuration and do not include it.
    """
    needs_tokenizer = text_cfg.get("hf_tokenizer_name")
    if needs_tokenizer and not any((folder / name).is_file() for name in TOKENIZER_NAMES):
        raise FileNotFoundError(
            f"{folder} has no tokenizer (none of {', '.join(TOKENIZER_NAMES)}); found {found_in(folder)}; on a machine"
            f" with internet access run `hf download {needs_tokenizer} --include '*token*' --include '*vocab*'"
            f" --local-dir FOLDER`, and put the files here"
        )

    encoder = text_cfg.get("hf_model_name")
    if not encoder:
        return text_cfg
    if not (folder / TEXT_CONFIG_NAME).is_file():
        try:
            # it may be in the hub's cache
            read_config(encoder)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{folder} lacks the configuration of its text tower, {encoder}; on a machine with internet access run"
                f" `hf download {encoder} {TEXT_CONFIG_NAME} --local-dir FOLDER`, and put the file into {folder}; its"
                f" weights are not needed"
            ) from error
        return text_cfg
    return {**text_cfg, "hf_model_name": str(folder), "hf_tokenizer_name": str(folder)}


def _weights_of(folder: Path) -> Path | None:
    """Return the file with the model's weights, or None."""
    for name in WEIGHTS_NAMES:
        if (folder / name).is_file():
            return folder / name
    others = sorted((SUFFIXES.index(path.suffix), path) for path in folder.iterdir() if path.suffix in SUFFIXES)
    return others[0][1] if others else None


def found_in(folder: Path) -> str:
    """Return the first names in a folder, for an error."""
    return ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"


def load_hub(name: str) -> Bundle:
    """Return the model of "hf-hub:OWNER/MODEL", downloaded from the Hugging Face hub in open_clip's format.

    Raises:
        FileNotFoundError: It cannot be downloaded.
    """
    try:
        config = {**open_clip.get_model_config(name), "custom_text": True}
        with quiet():
            model = open_clip.create_model(name, require_pretrained=True, force_custom_text=True)
    except (RuntimeError, OSError) as error:
        raise FileNotFoundError(
            f"{name} could not be downloaded from the Hugging Face hub ({error}): download the repository on a machine"
            f" with internet access and give its folder instead"
        ) from error
    attached = open_clip.get_model_preprocess_cfg(model)
    preprocessing = from_open_clip(attached, image_size=attached["size"])
    return replace(_bundle(name, config, model, preprocessing), name=name)


def _bundle(address: str, config: dict[str, Any], model: Any, preprocessing: Preprocessing) -> Bundle:
    """Return the bundle of an open_clip address with a scheme."""
    # an encoder of the hub has more positions than the length its texts were cut to
    length = config["text_cfg"].get("context_length", model.context_length)
    return Bundle(
        model=model,
        tokenizer=open_clip.get_tokenizer(address, context_length=length),
        preprocessing=preprocessing,
        name=address,
        context_length=length,
        config=config,
    )


def _read_preprocessing(folder: Path, settings: dict[str, Any]) -> tuple[Preprocessing, str]:
    """Return preprocessing and name from preprocess.json; without it, from open_clip's settings and the folder."""
    path = folder / PREPROCESS_NAME
    if not path.is_file():
        stated = settings.get("preprocess_cfg", {})
        size = settings["model_cfg"]["vision_cfg"].get("image_size", 224)
        preprocessing = from_open_clip(stated, image_size=size)
        if not {"mean", "std"} <= stated.keys():
            note(
                f"{folder / CONFIG_NAME} does not state mean and std of the images under preprocess_cfg: taken as"
                f" open_clip's default, {preprocessing.statistics()}"
            )
        return preprocessing, folder.name
    fields = json.loads(path.read_text(encoding="utf-8"))
    version = fields.pop("version", None)
    if version != PREPROCESS_VERSION:
        raise ValueError(f"{path} has version {version}, this program reads version {PREPROCESS_VERSION}")
    name = fields.pop("name")
    return Preprocessing(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])}), name
