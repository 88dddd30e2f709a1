"""The model that a configuration starts from."""

from dataclasses import replace
from pathlib import Path

from open_clip.transformer import TextTransformer

from models import Bundle, build, load, start_as_bag_of_words
from train.config import TrainConfig


def start_model(config: TrainConfig) -> Bundle:
    """Return the model to train: a checkpoint where `config.model` is a path, else an architecture with its weights.

    Raises:
        FileNotFoundError: weights that are not here and cannot be downloaded.
        ValueError: an unknown architecture, a file that holds another one, or overrides that a checkpoint cannot take.
    """
    if not Path(config.model).exists():
        bundle = build(
            config.model,
            pretrained=None if config.random_init else config.pretrained,
            image_size=config.image_size,
            context_length=config.context_length,
            antialias=config.antialias,
            seed=config.seed,
        )
        if config.text_start == "bag_of_words":
            text = bundle.model.text
            if not isinstance(text, TextTransformer):
                raise ValueError(f"text_start bag_of_words is for open_clip's text transformer, found {type(text)}")
            start_as_bag_of_words(text, seed=config.seed)
        return bundle
    if config.text_start != "architecture":
        raise ValueError(f"{config.model} is a trained model: it cannot also have text_start {config.text_start}")
    bundle = load(config.model)
    for name, wanted, found in (
        ("image_size", config.image_size, bundle.preprocessing.image_size),
        ("context_length", config.context_length, bundle.context_length),
    ):
        if wanted not in (None, found):
            raise ValueError(f"{config.model} was trained with {name} {found}, so it cannot have {wanted}")
    return replace(bundle, name=config.model)
