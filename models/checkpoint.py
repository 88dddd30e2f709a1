"""Load a model from anywhere and save it: tensors plus JSON, in the layout that open_clip loads with `local-dir:`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from open_clip.hf_model import HFTextEncoder
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file

from common.atomic import write_json, write_text, write_whole
from common.notes import note
from models.bundle import Bundle
from models.files.open_clip_weights import WEIGHTS
from models.formats.chexzero import load_chexzero
from models.formats.hf_pairs import load_pair
from models.formats.open_clip_folders import (
    PREPROCESS_NAME,
    PREPROCESS_VERSION,
    TEXT_CONFIG_NAME,
    WEIGHTS_NAME,
    WEIGHTS_NAMES,
    found_in,
    load_hub,
    load_open_clip_folder,
)
from models.formats.open_clip_names import load_named
from models.formats.processors import CONFIG_NAME, read_open_clip_settings, to_open_clip
from models.grey_stem import three_channel_state

HF_WEIGHTS_NAMES = (WEIGHTS_NAME, "pytorch_model.bin")
CHEXZERO_FILE = "chexzero:"
"""In front of the path of a weights file of CheXzero's code"""
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

    Accepted: a run folder (its best checkpoint, or the latest if no validation chose one; which one is noted), the file
    `latest` or `best` in it, a checkpoint folder, CheXzero's `.pt`, a downloaded folder of the hub in open_clip's
    format (BiomedCLIP) or in Hugging Face's (CLIP, SigLIP, MedSigLIP, BioViL), a file or folder of that name in
    `models/weights/`, an open_clip architecture with its tag or weights file ("ViT-B-32:openai", "ViT-B-32:FILE"),
    "chexzero:FILE" for a file of CheXzero's code that does not look like one, "hf-hub:OWNER/MODEL" for open_clip's
    format on the hub, or "hf:OWNER/MODEL" for Hugging Face's. Code from the hub never runs.

    Each model gets the preprocessing that it was trained with. What neither its files nor its name tell is noted.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: The file or folder does not hold a model of a known layout.
    """
    name = str(path_or_name)
    path = place_of(path_or_name)

    # on disk
    if path.is_dir():
        bundle = _load_folder(_checkpoint_of(path))
    elif path.is_file():
        bundle = _load_file(path)

    # by name
    elif name.startswith("hf-hub:"):
        bundle = load_hub(name)
    elif name.startswith("hf:"):
        bundle = load_pair(name.removeprefix("hf:"))
    elif name.startswith(CHEXZERO_FILE):
        bundle = load_chexzero(place_of(name.removeprefix(CHEXZERO_FILE)))
    elif ":" in name:
        architecture, source = name.split(":", 1)
        placed = place_of(source)
        bundle = load_named(architecture, str(placed) if placed.is_file() else source)
    else:
        raise FileNotFoundError(
            f"no model at {name!r}: wanted a run folder, a checkpoint folder, a folder downloaded from the Hugging Face"
            f" hub, a CheXzero .pt file, or open_clip's NAME:TAG or NAME:FILE such as ViT-B-32:openai"
        )

    bundle.model.eval()
    return bundle


def is_trained(path_or_name: Path | str) -> bool:
    """Return whether `load` takes it: something is at the path, or it is a name with a tag, file or repository."""
    return ":" in str(path_or_name) or place_of(path_or_name).exists()


def find_beside(path_or_name: Path | str, name: str) -> Path | None:
    """Return the file of this name that belongs to a model, or None.

    It is in the folder of the weights, beside a file such as CheXzero's .pt; or in the folder of the run, `RUN` for a
    checkpoint `RUN/checkpoints/STEP`.

    Args:
        path_or_name: As for `load`.
        name: Name of the file.
    """
    path = place_of(path_or_name)
    _, colon, file = str(path_or_name).partition(":")
    if colon and not path.exists():
        # an architecture's name in front of the file
        path = place_of(file)
    if not path.exists():
        return None
    folder = (path if path.is_dir() else path.parent).absolute()
    places = [folder, *([folder.parent.parent] if folder.parent.name == CHECKPOINTS else [])]
    return next((place / name for place in places if (place / name).is_file()), None)


def place_of(path_or_name: Path | str) -> Path:
    """Return the path, the path in `models/weights/` if only that exists, or the checkpoint that a run's file names."""
    path, placed = Path(path_or_name), WEIGHTS / path_or_name
    if path.name in (LATEST, BEST) and path.is_file():
        return checkpoint_named_by(path)
    return placed if placed.exists() and not path.exists() else path


def _checkpoint_of(folder: Path) -> Path:
    """Return the checkpoint that a run's folder stands for, with a note; any other folder is one itself."""
    pointers = [folder / name for name in (BEST, LATEST) if (folder / name).is_file()]
    if not pointers:
        return folder
    chosen = pointers[0]
    checkpoint = checkpoint_named_by(chosen)
    other = f"its last is {folder / LATEST}" if chosen.name == BEST else "no validation chose a best one"
    note(f"{folder}: taken is its {chosen.name} checkpoint, {checkpoint.name}; {other}")
    return checkpoint


def _load_folder(folder: Path) -> Bundle:
    if (folder / CONFIG_NAME).is_file():
        return load_open_clip_folder(folder)
    if (folder / TEXT_CONFIG_NAME).is_file():
        return load_pair(str(folder))
    raise FileNotFoundError(
        f"{folder} is not a checkpoint: wanted {CONFIG_NAME} and {WEIGHTS_NAME}, or a Hugging Face model's"
        f" {TEXT_CONFIG_NAME}; found {found_in(folder)}"
    )


def _load_file(path: Path) -> Bundle:
    """Return the model of a weights file: what lies beside it tells the network, else the file itself."""
    folder = path.parent
    if "model_cfg" in read_open_clip_settings(folder):
        return load_open_clip_folder(folder, weights=None if path.name in WEIGHTS_NAMES else path)
    if path.name in HF_WEIGHTS_NAMES and (folder / TEXT_CONFIG_NAME).is_file():
        return load_pair(str(folder))
    return load_chexzero(path, is_told=False)


def checkpoint_named_by(pointer: Path) -> Path:
    """Return the checkpoint folder that the file `latest` or `best` of a run's folder names."""
    return pointer.parent / pointer.read_text(encoding="utf-8").strip()
