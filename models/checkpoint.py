"""Load a model from anywhere and save it: tensors plus JSON, in the layout that open_clip loads with `local-dir:`."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import open_clip
from open_clip.hf_model import HFTextEncoder
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from safetensors.torch import save_file

from common.atomic import write_json, write_text, write_whole
from models.architecture import build
from models.bundle import Bundle
from models.files.hub import read_config, reading
from models.files.open_clip_weights import SUFFIXES, WEIGHTS, quiet_open_clip
from models.files.state_dicts import read_state_dict, refuse_other_names
from models.formats.chexzero import load_chexzero
from models.formats.hf_pairs import load_pair
from models.formats.processors import from_open_clip, to_open_clip
from models.grey_stem import keep_first_channel, three_channel_state
from models.network_input import Preprocessing
from models.towers.network import network

WEIGHTS_NAME = "model.safetensors"
WEIGHTS_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", WEIGHTS_NAME)
"""Searched in this order: beside one of the first two, `model.safetensors` is the same model in Hugging Face's names"""
TOKENIZER_NAMES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
CONFIG_NAME = "open_clip_config.json"
PREPROCESS_NAME = "preprocess.json"
TEXT_CONFIG_NAME = "config.json"
PREPROCESS_VERSION = 1
CHECKPOINTS, LATEST, BEST = "checkpoints", "latest", "best"
"""In a run's folder: the folder of the checkpoints, and the files that name the newest and the best by validation"""


def save(bundle: Bundle, folder: Path | str) -> None:
    """Write `model.safetensors`, `open_clip_config.json` and `preprocess.json` into `folder`, each whole or not at all.

    `open_clip.create_model("local-dir:FOLDER")` loads the same network. `load` reads `preprocess.json`, because
    open_clip's own preprocessing settings do not include antialiasing. A Hugging Face text tower's configuration and a
    Hugging Face tokenizer are written too, so that `load` needs neither the hub nor the original folder. (open_clip
    itself reads that configuration from the tower's origin. It cannot build a timm transformer at another image size
    than the architecture's own, SigLIP of Hugging Face, BioViL, or CXR-BERT's own head.)
    """
    # what a Hugging Face text tower needs
    folder = Path(folder)
    text: Any = bundle.model.text
    if isinstance(bundle.tokenizer, HFTokenizer):
        bundle.tokenizer.save_pretrained(str(folder))
    if isinstance(text, HFTextEncoder):
        write_text(folder / TEXT_CONFIG_NAME, text.config.to_json_string(use_diff=False))

    # weights
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in three_channel_state(bundle).items()}
    with write_whole(folder / WEIGHTS_NAME) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})

    # configuration and preprocessing; open_clip makes the logit bias only if the configuration gives it a start
    bias = getattr(bundle.model, "logit_bias", None)
    learned = {} if bias is None else {"init_logit_bias": float(bias.detach())}
    settings = {"model_cfg": {**bundle.config, **learned}, "preprocess_cfg": to_open_clip(bundle.preprocessing)}
    write_json(folder / CONFIG_NAME, settings)
    shown = {"version": PREPROCESS_VERSION, "name": bundle.name, **asdict(bundle.preprocessing)}
    write_json(folder / PREPROCESS_NAME, shown)


def load(path_or_name: Path | str) -> Bundle:
    """Return a model from a run, a file, a folder, open_clip or a hub; float32, on the CPU, in evaluation mode.

    Accepted: a run folder (its `latest` checkpoint) or the file `best` in it, a checkpoint folder, CheXzero's `.pt`, a
    downloaded folder of the hub in open_clip's format (BiomedCLIP) or in Hugging Face's (CLIP, SigLIP, MedSigLIP,
    BioViL), a file or folder of that name in `models/weights/`, an open_clip name with its tag ("ViT-B-32:openai"),
    "hf-hub:OWNER/MODEL" for open_clip's format on the hub, or "hf:OWNER/MODEL" for Hugging Face's. Code from the hub
    never runs.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: The file or folder does not hold a model of a known layout.
    """
    name = str(path_or_name)
    path = _place_of(path_or_name)

    # on disk
    if path.is_dir():
        bundle = _load_folder(checkpoint_named_by(path / LATEST) if (path / LATEST).is_file() else path)
    elif path.is_file():
        is_in_folder = path.name in WEIGHTS_NAMES and (path.parent / CONFIG_NAME).is_file()
        bundle = _load_open_clip_folder(path.parent) if is_in_folder else load_chexzero(path)

    # by name
    elif name.startswith("hf-hub:"):
        bundle = _load_hub(name)
    elif name.startswith("hf:"):
        bundle = load_pair(name.removeprefix("hf:"))
    elif ":" in name:
        architecture, tag = name.split(":", 1)
        bundle = build(architecture, pretrained=tag, seed=0)
    else:
        raise FileNotFoundError(
            f"no model at {name!r}: wanted a run folder, a checkpoint folder, a folder downloaded from the Hugging Face"
            f" hub, a CheXzero .pt file, or open_clip's NAME:TAG such as ViT-B-32:openai"
        )

    bundle.model.eval()
    return bundle


def find_beside(path_or_name: Path | str, name: str) -> Path | None:
    """Return the file of this name that belongs to a model, or None.

    It is in the folder of the weights, beside a file such as CheXzero's .pt; or in the folder of the run, `RUN` for a
    checkpoint `RUN/checkpoints/STEP`.

    Args:
        path_or_name: As for `load`.
        name: Name of the file.
    """
    path = _place_of(path_or_name)
    if not path.exists():
        return None
    folder = (path if path.is_dir() else path.parent).absolute()
    places = [folder, *([folder.parent.parent] if folder.parent.name == CHECKPOINTS else [])]
    return next((place / name for place in places if (place / name).is_file()), None)


def _place_of(path_or_name: Path | str) -> Path:
    """Return the path, the path in `models/weights/` if only that exists, or the checkpoint that a run's file names."""
    path, placed = Path(path_or_name), WEIGHTS / path_or_name
    if path.name in (LATEST, BEST) and path.is_file():
        return checkpoint_named_by(path)
    return placed if placed.exists() and not path.exists() else path


def _load_folder(folder: Path) -> Bundle:
    if (folder / CONFIG_NAME).is_file():
        return _load_open_clip_folder(folder)
    if (folder / TEXT_CONFIG_NAME).is_file():
        return load_pair(str(folder))
    raise FileNotFoundError(
        f"{folder} is not a checkpoint: wanted {CONFIG_NAME} and {WEIGHTS_NAME}, or a Hugging Face model's"
        f" {TEXT_CONFIG_NAME}; found {_found_in(folder)}"
    )


def _load_open_clip_folder(folder: Path) -> Bundle:
    # the weights file, checked before the network is built
    weights = _weights_of(folder)
    if weights is None:
        wanted = ", ".join(WEIGHTS_NAMES)
        raise FileNotFoundError(
            f"{folder} has {CONFIG_NAME}, but no weights: wanted one of {wanted}; found {_found_in(folder)}"
        )
    read_state_dict(weights)

    # configuration and preprocessing
    settings = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    config: dict[str, Any] = {**settings["model_cfg"], "custom_text": True}
    config["text_cfg"] = _with_text_config(folder, config["text_cfg"])
    preprocessing, name = _read_preprocessing(folder, settings)

    # the network, with exactly these weights
    try:
        model: Any = network(config)
        left = open_clip.load_checkpoint(model, str(weights), strict=False)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
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
            f"{folder} has no tokenizer (none of {', '.join(TOKENIZER_NAMES)}); found {_found_in(folder)}; on a machine"
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


def _found_in(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"


def _load_hub(name: str) -> Bundle:
    try:
        config = {**open_clip.get_model_config(name), "custom_text": True}
        with quiet_open_clip():
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
        size = settings["model_cfg"]["vision_cfg"].get("image_size", 224)
        attached = merge_preprocess_dict(PreprocessCfg(), settings.get("preprocess_cfg", {}))
        return from_open_clip(attached, image_size=size), folder.name
    fields = json.loads(path.read_text(encoding="utf-8"))
    version = fields.pop("version", None)
    if version != PREPROCESS_VERSION:
        raise ValueError(f"{path} has version {version}, this program reads version {PREPROCESS_VERSION}")
    name = fields.pop("name")
    return Preprocessing(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])}), name


def checkpoint_named_by(pointer: Path) -> Path:
    """Return the checkpoint folder that the file `latest` or `best` of a run's folder names."""
    return pointer.parent / pointer.read_text(encoding="utf-8").strip()
