"""Networks from the Hugging Face hub or a downloaded folder; code beside the weights never runs."""

import logging as python_logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PretrainedConfig
from transformers.utils import CONFIG_NAME, logging
from transformers.utils.hub import cached_file

from models.files.state_dicts import refuse_other_names, refuse_pointer

KNOWN_AS = {"cxr-bert": "bert"}
"""Types with a name and code of their own whose network is one of transformers"""
UNNAMED = "bert"
"""Type of old configurations that do not name one, such as Bio_ClinicalBERT's"""


def source_of(tower: str, *, option: str) -> str:
    """Return the folder or hub id that `tower` ("hf:OWNER/NAME", or a folder) names.

    Raises:
        ValueError: It is neither; the message names the `option`.
    """
    if tower.startswith("hf:"):
        return tower.removeprefix("hf:")
    if Path(tower).is_dir():
        return tower
    raise ValueError(f"{option} {tower!r} is neither hf:OWNER/NAME nor a folder with a downloaded Hugging Face model")


def read_config(source: str) -> PretrainedConfig:
    """Return the configuration of a hub id or folder, as a type that transformers implements.

    Raises:
        FileNotFoundError: It is not there and cannot be downloaded.
        ValueError: Only code from the hub could build the type.
    """
    fields = _config_fields(source)
    named: str = fields.get("model_type", UNNAMED)
    kind = KNOWN_AS.get(named, named)
    if kind not in CONFIG_MAPPING:
        raise ValueError(
            f"{source} is of type {named!r}, which transformers has no code for, and code from the hub is never run:"
            f" choose a tower of a known type, such as bert, roberta or dinov2"
        )
    own = {"model_type", "auto_map", "architectures", "transformers_version", "torch_dtype", "dtype"}
    return AutoConfig.for_model(kind, **{key: value for key, value in fields.items() if key not in own})


def read_network(source: str, config: PretrainedConfig, *, whole: bool = False) -> nn.Module:
    """Return the network of a hub id or folder with its weights, float32.

    Args:
        source: Hub id or folder.
        config: Its configuration.
        whole: Refuse weights that the network has no place for; by default they are heads of other tasks and left out.

    Raises:
        FileNotFoundError: It is not there and cannot be downloaded.
        ValueError: Weights are missing, left over or of other shapes, or the file is a git-lfs pointer or holds code.
    """
    if Path(source).is_dir():
        for path in Path(source).iterdir():
            if path.is_file():
                refuse_pointer(path)

    with reading(source):
        model, report = AutoModel.from_pretrained(
            source, config=config, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )

    # BERT's pooler belongs to a task that many weights were not trained for; no tower here reads it
    missing = [key for key in report["missing_keys"] if not key.startswith("pooler.")]
    # older files hold the numbers 0, 1, 2, ... of the positions
    unexpected = [key for key in report["unexpected_keys"] if whole and not key.endswith("position_ids")]
    refuse_other_names(f"{source} as {config.model_type}", missing=missing, unexpected=unexpected)
    network: nn.Module = model
    return network


def find_file(source: str, *names: str) -> Path | None:
    """Return the first of these files that exists in a folder or a repository of the hub."""
    for name in names:
        with suppress(OSError), quiet():
            return Path(str(cached_file(source, name)))
    return None


def model_type(source: str) -> str:
    """Return the type in the configuration of a hub id or folder.

    Raises:
        FileNotFoundError: It is not there and cannot be downloaded.
    """
    return str(_config_fields(source).get("model_type", UNNAMED))


def tokenizer_options(source: str) -> dict[str, str]:
    """Return the options that AutoTokenizer needs if the folder names a class of its own; usually none."""
    named = model_type(source)
    return {"tokenizer_type": KNOWN_AS[named]} if named in KNOWN_AS else {}


def _config_fields(source: str) -> dict[str, Any]:
    with reading(source):
        fields, _ = PretrainedConfig.get_config_dict(source)
        if not fields:
            raise FileNotFoundError(f"no {CONFIG_NAME}")
    return fields


@contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries from logging and warning: each retry of a download says two lines, and we raise one error."""
    before = python_logging.root.manager.disable
    python_logging.disable(python_logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        python_logging.disable(before)


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Silence transformers and turn its errors into ours, which differ for a folder and the hub."""
    level, shows_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    try:
        with quiet():
            yield

    # a file is missing or cannot be read
    except OSError as error:
        reason = " ".join(str(error).split())[:300]
        if Path(source).is_dir():
            found = ", ".join(sorted(path.name for path in Path(source).iterdir())[:8]) or "nothing"
            raise FileNotFoundError(
                f"{source} is not a complete copy of a Hugging Face model; found {found} ({reason})"
            ) from error
        raise FileNotFoundError(
            f"{source} could not be downloaded from the Hugging Face hub ({reason}): on a machine with internet access"
            f" run `hf download {source} --local-dir FOLDER`, bring the folder here, and give FOLDER instead of"
            f" hf:{source}"
        ) from error

    # it holds something else than fitting weights
    except UnpicklingError as error:
        raise ValueError(f"{source} holds more than tensors, and loading it could run code: refused") from error
    except RuntimeError as error:
        raise ValueError(f"{source}: its weights do not fit its config.json: {error}") from error

    finally:
        logging.set_verbosity(level)
        if shows_bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
