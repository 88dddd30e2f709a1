"""Models on disk: tensors plus JSON, in the layout that open_clip itself loads with `local-dir:`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
from safetensors.torch import save_file

from atomic import write_json, write_whole
from models.architecture import SUFFIXES, WEIGHTS, build, quiet_open_clip
from models.bundle import Bundle
from models.chexzero import load_chexzero
from models.preprocessing import Preprocessing
from models.weights_file import read_state_dict

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "open_clip_config.json"
PREPROCESS_NAME = "preprocess.json"
LATEST_NAME = "latest"
PREPROCESS_VERSION = 1


def save(bundle: Bundle, folder: Path | str) -> None:
    """Write `model.safetensors`, `open_clip_config.json` and `preprocess.json` into `folder`, each whole or not at all.

    `open_clip.create_model("local-dir:FOLDER")` loads the same network; `preprocess.json` is what `load` goes by,
    because open_clip's own preprocessing cannot say whether antialiasing was on.
    """
    folder = Path(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in bundle.model.state_dict().items()}
    with write_whole(folder / WEIGHTS_NAME) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    shown = asdict(bundle.preprocessing)
    channels = {key: [value / 255 for value in (shown[key] * 3)[:3]] for key in ("mean", "std")}
    preprocess_cfg = {
        "size": [bundle.preprocessing.image_size] * 2,
        **channels,
        "interpolation": bundle.preprocessing.interpolation,
        "resize_mode": "longest",
        "fill_color": 0,
    }
    bias = getattr(bundle.model, "logit_bias", None)
    # open_clip makes the parameter only where the configuration gives it a start
    learned = {} if bias is None else {"init_logit_bias": float(bias.detach())}
    write_json(folder / CONFIG_NAME, {"model_cfg": {**bundle.config, **learned}, "preprocess_cfg": preprocess_cfg})
    write_json(folder / PREPROCESS_NAME, {"version": PREPROCESS_VERSION, "name": bundle.name, **shown})


def load(path_or_name: Path | str) -> Bundle:
    """Return a model from wherever it is; float32, on the CPU, in evaluation mode.

    Accepted: a run folder (its `latest` checkpoint), a checkpoint folder, CheXzero's `.pt`, a file of that name in
    `models/weights/`, an open_clip name with its tag ("ViT-B-32:openai"), or "hf-hub:OWNER/MODEL".

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a file or folder that holds no model of a known layout.
    """
    name = str(path_or_name)
    path = Path(path_or_name)
    if not path.exists() and (WEIGHTS / name).exists():
        path = WEIGHTS / name
    if path.is_dir():
        bundle = _load_folder(_checkpoint_folder(path))
    elif path.is_file():
        beside = path.parent / CONFIG_NAME
        bundle = _load_folder(path.parent) if path.name == WEIGHTS_NAME and beside.is_file() else load_chexzero(path)
    elif name.startswith("hf-hub:"):
        bundle = _load_hub(name)
    elif ":" in name:
        architecture, tag = name.split(":", 1)
        bundle = build(architecture, pretrained=tag, seed=0)
    else:
        raise FileNotFoundError(
            f"no model at {name!r}: wanted a run folder, a checkpoint folder, a CheXzero .pt file,"
            f" or open_clip's NAME:TAG such as ViT-B-32:openai"
        )
    bundle.model.eval()
    return bundle


def _checkpoint_folder(path: Path) -> Path:
    """Return the folder that holds weights: `path` itself, or the one that a run's `latest` names."""
    latest = path / LATEST_NAME
    if latest.is_file():
        return path / latest.read_text(encoding="utf-8").strip()
    return path


def _load_folder(folder: Path) -> Bundle:
    weights = [path for path in folder.iterdir() if path.suffix in SUFFIXES]
    if not (folder / CONFIG_NAME).is_file() or not weights:
        raise FileNotFoundError(
            f"{folder} is no checkpoint: wanted {CONFIG_NAME} and {WEIGHTS_NAME},"
            f" found {', '.join(sorted(path.name for path in folder.iterdir())[:8]) or 'nothing'}"
        )
    for path in weights:
        read_state_dict(path)
    try:
        config, model, tokenizer = _open_clip_parts(f"local-dir:{folder}")
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:400]
        raise ValueError(f"{folder}: the weights do not fit the architecture of {CONFIG_NAME}: {reason}") from error
    preprocessing, name = _read_preprocessing(folder, fallback=model)
    return Bundle(
        model=model,
        tokenizer=tokenizer,
        preprocessing=preprocessing,
        name=name,
        context_length=model.context_length,
        config=config,
    )


def _open_clip_parts(address: str) -> tuple[dict[str, Any], Any, Any]:
    """Return configuration, model with weights, and tokenizer of an open_clip address with a scheme."""
    config = {**open_clip.get_model_config(address), "custom_text": True}
    with quiet_open_clip():
        model = open_clip.create_model(address, require_pretrained=True, force_custom_text=True)
    return config, model, open_clip.get_tokenizer(address, context_length=model.context_length)


def _read_preprocessing(folder: Path, *, fallback: Any) -> tuple[Preprocessing, str]:
    path = folder / PREPROCESS_NAME
    if not path.is_file():
        return _open_clip_preprocessing(fallback), folder.name
    fields = json.loads(path.read_text(encoding="utf-8"))
    version = fields.pop("version", None)
    if version != PREPROCESS_VERSION:
        raise ValueError(f"{path} has version {version}, this program reads {PREPROCESS_VERSION}")
    name = fields.pop("name")
    return Preprocessing(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])}), name


def _load_hub(name: str) -> Bundle:
    try:
        config, model, tokenizer = _open_clip_parts(name)
    except (RuntimeError, OSError) as error:
        raise FileNotFoundError(
            f"{name} could not be had from the Hugging Face hub ({error}); with internet elsewhere, download the"
            f" repository there and give its folder instead"
        ) from error
    return Bundle(
        model=model,
        tokenizer=tokenizer,
        preprocessing=_open_clip_preprocessing(model),
        name=name,
        context_length=model.context_length,
        config=config,
    )


def _open_clip_preprocessing(model: Any) -> Preprocessing:
    """Translate what open_clip attached to the image tower: statistics on 0..1, three channels."""
    attached = open_clip.get_model_preprocess_cfg(model)
    size = attached["size"]
    return Preprocessing(
        image_size=size if isinstance(size, int) else size[0],
        mean=tuple(255 * value for value in attached["mean"]),
        std=tuple(255 * value for value in attached["std"]),
        interpolation=attached["interpolation"],
    )
