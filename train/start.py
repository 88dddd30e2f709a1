"""The model that a configuration starts from."""

from dataclasses import replace
from pathlib import Path

from models import Bundle, build, load
from train.config import TrainConfig


def start_model(config: TrainConfig) -> Bundle:
    """Return the model to train: a checkpoint where `config.model` is a path, else an architecture with its weights.

    Raises:
        FileNotFoundError: weights that are not here and cannot be downloaded.
        ValueError: an unknown architecture, a file that holds another one, or overrides that a checkpoint cannot take.
    """
    if not Path(config.model).exists():
        return build(
            config.model,
            pretrained=None if config.random_init else config.pretrained,
            image_size=config.image_size,
            context_length=config.context_length,
            antialias=config.antialias,
            seed=config.seed,
        )
    bundle = load(config.model)
    for name, wanted, found in (
        ("image_size", config.image_size, bundle.preprocessing.image_size),
        ("context_length", config.context_length, bundle.context_length),
    ):
        if wanted not in (None, found):
            raise ValueError(f"{config.model} was trained with {name} {found}, so it cannot have {wanted}")
    return replace(bundle, name=config.model)
