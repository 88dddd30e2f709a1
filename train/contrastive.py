"""Contrastive training: `fit` puts pairs, model, objective and loop together and records what happens."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from models import Bundle, image_features, normalise, resize, text_features
from models.preprocessing import Preprocessing
from train.arithmetic import arrange_memory, attention, autocast, image_tokens, pick_device
from train.augment import augment
from train.batches import TextColumns, report_columns, sentence_columns, steps_per_epoch
from train.clock import Clock
from train.config import TrainConfig
from train.objectives import info_nce, multi_positive_sigmoid, multi_positive_softmax
from train.optimise import make_optimizer, optimise
from train.pairs import Pairs
from train.recorder import Evaluate, Recorder, RunSummary
from train.run_folder import RunFolder

LARGEST_LOG_SCALE = math.log(100)


def fit(bundle: Bundle, pairs: Pairs, config: TrainConfig, *, evaluate: Evaluate | None = None) -> RunSummary:
    """Train `bundle.model` in place on image-text pairs and write the run's folder.

    Args:
        bundle: model to start from. With the sigmoid form it gains the parameter `logit_bias`.
        pairs: images and texts.
        config: everything else.
        evaluate: validation, called each `eval_interval` steps and at the end with the model in evaluation mode;
            returns name -> value (finite). Handed in because training knows nothing of zero-shot scoring.

    Raises:
        ValueError: the batch is larger than the data, a run is in the folder already, or the loss stops being finite.
    """
    rng = np.random.default_rng(config.seed)
    pairs = pairs.shuffled(rng) if config.shuffle_reports else pairs
    prepare(bundle, config)
    per_epoch = steps_per_epoch(len(pairs), config.batch_size)
    loss_of = contrastive_loss(bundle, pairs, config)
    optimizer = make_optimizer(bundle.model, config)
    if config.clamp_scale:
        optimizer.register_step_post_hook(lambda *_: _clamp_scale(bundle.model))
    facts = {"model": bundle.name, "n_pairs": len(pairs), "left_out": pairs.left_out, "notes": list(pairs.notes)}
    bundle.model.train()
    # dropout draws from the global generator
    torch.manual_seed(config.seed)
    clock = Clock(config, steps_per_epoch=per_epoch)
    with RunFolder(config, facts=facts) as folder, Recorder(bundle, config, folder, clock, evaluate) as recorder:
        for step in optimise(optimizer, loss_of, config, n_items=len(pairs), clock=clock, rng=rng):
            recorder.after(step)
        return recorder.finish()


def prepare(bundle: Bundle, config: TrainConfig) -> None:
    """Move the model to its device and set the logit scale and bias that the configuration starts from, in place."""
    model: Any = bundle.model
    arrange_memory(model, pick_device(config.device))
    if config.init_scale is not None:
        with torch.no_grad():
            model.logit_scale.fill_(math.log(config.init_scale))
    needs_bias = config.objective == "sentences" and config.form == "sigmoid"
    if needs_bias and getattr(model, "logit_bias", None) is None:
        model.logit_bias = nn.Parameter(torch.full_like(model.logit_scale, config.init_bias))


def contrastive_loss(
    bundle: Bundle, pairs: Pairs, config: TrainConfig
) -> Callable[[Int[np.ndarray, "b"]], Float[Tensor, ""]]:
    """Return the function from positions of pairs to their loss. All texts are tokenised here, once."""
    make_columns = sentence_columns if config.objective == "sentences" else report_columns
    columns: TextColumns = make_columns(pairs.texts, bundle.tokenizer, context_length=bundle.context_length)
    generator = torch.Generator().manual_seed(config.seed)
    model: Any = bundle.model
    text_width: int | None = bundle.config["text_cfg"].get("width")
    film_tokens = image_tokens(model.visual)

    def loss_of(positions: Int[np.ndarray, "b"]) -> Float[Tensor, ""]:
        grey = pairs.images.read(pairs.rows[positions])
        tokens, positives = columns.batch(positions)
        films = training_input(grey, bundle.preprocessing, config, bundle.device, generator)
        with autocast(config, bundle.device), attention(bundle.device, n_tokens=film_tokens):
            images = image_features(bundle, films)
        with (
            autocast(config, bundle.device, width=text_width),
            attention(bundle.device, n_tokens=tokens.shape[1]),
        ):
            texts = text_features(bundle, tokens.to(bundle.device, non_blocking=True))
        scale = model.logit_scale.exp()
        if config.objective == "infonce":
            return info_nce(images, texts, scale)
        positives = positives.to(bundle.device, non_blocking=True)
        if config.form == "softmax":
            return multi_positive_softmax(images, texts, positives, scale)
        weight = config.positive_weight
        return multi_positive_sigmoid(images, texts, positives, scale, bias=model.logit_bias, positive_weight=weight)

    return loss_of


def training_input(
    grey: UInt8[np.ndarray, "b h w"],
    preprocessing: Preprocessing,
    config: TrainConfig,
    device: torch.device,
    generator: torch.Generator,
) -> Float[Tensor, "b 3 r r"]:
    """Return a batch as the network reads it: bytes to the device, then resized, augmented and normalised there."""
    images = torch.from_numpy(np.ascontiguousarray(grey)).to(device, non_blocking=True)
    films = augment(resize(images, preprocessing), config.augment, generator=generator)
    return normalise(films, preprocessing)


def _clamp_scale(model: nn.Module) -> None:
    with torch.no_grad():
        model.logit_scale.clamp_(max=LARGEST_LOG_SCALE)  # type: ignore[operator]
