"""The model that a run starts from: a new architecture or a trained checkpoint, with the configured changes."""

import os
from dataclasses import replace
from pathlib import Path

from open_clip.transformer import TextTransformer

from common.notes import note
from models import Bundle, Preprocessing, build, load, pick_device
from models.architecture import start_as_bag_of_words
from models.checkpoint import is_trained
from models.files.open_clip_weights import SUFFIXES
from models.formats.chexzero import refuse_other_than_chexzero
from models.grey_stem import fold_stem
from models.positions import with_context_length
from models.training_only import checkpoint_activations, drop_patches, freeze
from train.train_config import TrainConfig

PRETRAINED = TrainConfig.__dataclass_fields__["pretrained"].default


def start_model(config: TrainConfig) -> Bundle:
    """Return the model to train: a checkpoint if `config.model` is a path, else an architecture with its weights.

    Towers are frozen, patches dropped and activations checkpointed as configured.

    Raises:
        FileNotFoundError: Weights are not here and cannot be downloaded.
        ValueError: The architecture or tower is unknown, a file holds another one, the model cannot take an option, or
            `save_format` cannot hold the model.
    """
    if config.precision == "fp16" and pick_device().type == "cpu":
        raise ValueError("--precision fp16: wanted a GPU, found a CPU, where it is many times slower; use fp32 or auto")

    bundle = _trained_model(config) if is_trained(config.model) else _new_model(config)
    if config.save_format == "chexzero":
        # fail now, not after hours of training
        refuse_other_than_chexzero(bundle)
    if config.patch_dropout:
        drop_patches(bundle, config.patch_dropout)
    if config.gradient_checkpointing:
        checkpoint_activations(bundle)
    if config.freeze != "none":
        freeze(bundle, config.freeze)
    return bundle


def _refuse_missing(model: str) -> None:
    """Raise FileNotFoundError if `--model` looks like a path, and nothing is there."""
    if os.sep in model or model.startswith((".", "~")) or Path(model).suffix in SUFFIXES:
        raise FileNotFoundError(
            f"--model {model}: no such file or folder; wanted an architecture such as ViT-B-32, a run, a checkpoint, or"
            f" NAME:FILE"
        )


def _new_model(config: TrainConfig) -> Bundle:
    _refuse_missing(config.model)
    pretrained = None if config.random_init else config.pretrained
    if config.freeze != "none" and pretrained is None:
        raise ValueError(f"freeze {config.freeze} would keep random weights as they are: start from published ones")

    bundle = build(
        config.model,
        pretrained=pretrained,
        image_tower=config.image_tower,
        text_tower=config.text_tower,
        embed_dim=config.embed_dim,
        image_size=config.image_size,
        context_length=config.context_length,
        antialias=config.antialias,
        grey_stem=config.grey_stem,
        seed=config.seed,
    )

    if config.text_start == "bag_of_words":
        text = bundle.model.text
        if not isinstance(text, TextTransformer):
            raise ValueError(f"text_start bag_of_words is for open_clip's text transformer, found {type(text)}")
        start_as_bag_of_words(text, seed=config.seed)
    return bundle


def _trained_model(config: TrainConfig) -> Bundle:
    """Return a checkpoint, with the changes that keep what it has learnt."""
    for flag, is_given in (
        (f"text_start {config.text_start}", config.text_start != "architecture"),
        ("random_init", config.random_init),
        (f"pretrained {config.pretrained}", config.pretrained not in (None, PRETRAINED)),
    ):
        if is_given:
            raise ValueError(
                f"--model {config.model} is a trained model, which its weights are taken from: it cannot also have"
                f" --{flag}"
            )

    bundle = load(config.model)
    for name, wanted, found in (
        ("image_size", config.image_size, bundle.preprocessing.image_size),
        ("embed_dim", config.embed_dim, bundle.config["embed_dim"]),
        ("image_tower", config.image_tower, "its own"),
        ("text_tower", config.text_tower, "its own"),
    ):
        if wanted not in (None, found):
            raise ValueError(f"{config.model} was trained with {name} {found}, so it cannot have {wanted}")

    if config.context_length is not None:
        bundle = with_context_length(bundle, config.context_length)
    if config.grey_stem:
        bundle = fold_stem(bundle)
    return replace(bundle, name=config.model, preprocessing=_with_antialias(bundle.preprocessing, config))


def _with_antialias(preprocessing: Preprocessing, config: TrainConfig) -> Preprocessing:
    """Return the preprocessing with --no_antialias obeyed; the default leaves a checkpoint's own."""
    if config.antialias and not preprocessing.antialias:
        note(f"--model {config.model}: images are downscaled without antialiasing, as it was trained")
    return replace(preprocessing, antialias=config.antialias and preprocessing.antialias)
