"""One step of contrastive training: from a batch to the gradient of its loss, on one process or many, in parts or not.

The features of a batch are computed first, then the loss and its gradient by the features, then the gradient by the
weights. Where the batch does not fit into memory, its features are computed in parts without keeping what a gradient
needs, and each part once more when its features' gradient is known. That gradient is the whole batch's, all negatives
included: Gao et al., RepL4NLP 2021 ("GradCache"). What dropout does is repeated from the same random state. Only batch
norm sees a difference: its statistics are a part's own.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from models import Bundle, image_features, pick_device, text_features
from models.network_input import Preprocessing, normalise, resize
from train.distributed import World, gather, share_of
from train.hardware import arrange_memory, attention, autocast, image_tokens
from train.input.augment import Changes, augment, draw_changes
from train.input.batches import Batch, PairBatches
from train.input.order import AUGMENTATION, seed_of
from train.input.pairs import Pairs
from train.losses import sigmoid_loss, softmax_loss
from train.train_config import Augmentation, TrainConfig

Outputs = tuple[Tensor, Tensor, Tensor, Tensor]
"""images (n d), texts (m d), logit scale, logit bias: all that the loss reads of the model"""


def prepare(bundle: Bundle, config: TrainConfig) -> None:
    """Move the model to its device and set the logit scale and bias that the configuration starts from, in place."""
    model: Any = bundle.model
    arrange_memory(model, pick_device(config.device))
    if config.init_scale is not None:
        with torch.no_grad():
            model.logit_scale.fill_(math.log(config.init_scale))
    if config.form == "sigmoid" and getattr(model, "logit_bias", None) is None:
        model.logit_bias = nn.Parameter(torch.full_like(model.logit_scale, config.init_bias))


def training_input(
    grey: UInt8[Tensor, "b h w"],
    preprocessing: Preprocessing,
    changes: Changes,
    *,
    is_mirrored: Bool[Tensor, "b"] | None = None,
) -> Float[Tensor, "b _ r r"]:
    """Return films as the network reads them: resized, augmented and normalised, all where they are."""
    return normalise(augment(resize(grey, preprocessing), changes, is_mirrored=is_mirrored), preprocessing)


class Network(nn.Module):
    """Both towers in one forward pass, in the precision of a configuration; DistributedDataParallel wants one."""

    def __init__(self, bundle: Bundle, config: TrainConfig) -> None:
        super().__init__()
        model: Any = bundle.model
        self.model = model
        self._config = config
        self._film_tokens = image_tokens(model.visual)
        self._text_width: int | None = bundle.config["text_cfg"].get("width")
        self._encode_images: Callable[[Tensor], Tensor] = partial(image_features, bundle)
        self._encode_texts: Callable[[Tensor], Tensor] = partial(text_features, bundle)
        if config.compile:
            self._encode_images = torch.compile(self._encode_images)
            # texts differ in number and length from batch to batch
            self._encode_texts = torch.compile(self._encode_texts, dynamic=True)

    def forward(self, films: Float[Tensor, "n c r r"], tokens: Int[Tensor, "m t"]) -> Outputs:
        """Return features and what they are compared with."""
        device = films.device
        with autocast(self._config, device), attention(device, n_tokens=self._film_tokens):
            images = self._encode_images(films)
        with (
            autocast(self._config, device, width=self._text_width),
            attention(device, n_tokens=tokens.shape[1]),
        ):
            texts = self._encode_texts(tokens)
        scale = self.model.logit_scale.exp()
        bias = getattr(self.model, "logit_bias", None)
        return images, texts, scale, torch.zeros_like(scale) if bias is None else bias


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is encoded at once of a process's share of a batch: films and tokens on the device."""

    films: UInt8[Tensor, "n h w"]
    is_mirrored: Bool[Tensor, "n"]
    """on the CPU, where looking at it makes nobody wait"""
    changes: Changes
    tokens: Int[Tensor, "m t"]
    n_texts: int
    """how many rows of `tokens` are its own: m, or 0 where m is 1 because a tower cannot encode nothing"""


class ContrastiveStep:
    """The function from a batch to its loss that adds the loss's gradient to the weights' `.grad`."""

    def __init__(
        self, bundle: Bundle, config: TrainConfig, world: World, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Wrap the model, which must be prepared (see `prepare`).

        Args:
            bundle: trained in place.
            config: objective, parts, precision, augmentation.
            world: the processes; each gives its own share of the same batches.
            scaler: scales the loss in fp16, so that gradients come scaled.
        """
        self._preprocessing, self._config, self._world = bundle.preprocessing, config, world
        self._device, self._scaler = bundle.device, scaler
        self._towers = Network(bundle, config)
        self._network: nn.Module = self._towers if world.size == 1 else DistributedDataParallel(self._towers)

    def __call__(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss of the whole batch, before any scaling, detached."""
        parts = self._split(batch)
        if len(parts) == 1:
            outputs = self._encode(self._network, parts[0])
            loss, gradients = self._loss(batch, outputs)
            _backward(outputs, gradients)
            return loss
        states, outputs = self._encode_all(parts)
        loss, (images, texts, *others) = self._loss(batch, outputs)
        images_by_part = torch.split(images, [len(part.films) for part in parts])
        texts_by_part = torch.split(texts, [part.n_texts for part in parts])
        by_part = zip(parts, states, images_by_part, texts_by_part, strict=True)
        for number, (part, state, *features) in enumerate(by_part, start=1):
            is_last = number == len(parts)
            _set_random_state(state, self._device)
            with nullcontext() if is_last else self._unsynchronised():
                # scale and bias take part in the last one, when DistributedDataParallel listens
                rest = others if is_last else [torch.zeros_like(one) for one in others]
                _backward(self._encode(self._network, part), [*features, *rest])
        return loss

    def loss_only(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss of the whole batch in the model's current mode, without any gradient."""
        _, outputs = self._encode_all(self._split(batch))
        with torch.no_grad():
            return self._world.total(self._share_of_loss(batch, outputs))

    def _split(self, batch: Batch) -> list[Part]:
        """Return this process's share of a batch in `accum_freq` parts."""
        config, size = self._config, self._config.accum_freq
        generator = torch.Generator().manual_seed(seed_of(config.seed, AUGMENTATION, batch.step))
        own_films = self._world.share(batch.n_images)
        changes = draw_changes(batch.n_images, config.augment, generator=generator).of(own_films)
        films, tokens = (whole.to(self._device, non_blocking=True) for whole in (batch.films, batch.tokens))
        n_texts = self._world.counts(batch.n_texts)[self._world.rank]
        parts = []
        for index in range(size):
            rows, columns = share_of(len(films), index=index, size=size), share_of(n_texts, index=index, size=size)
            own_texts = columns.stop - columns.start
            parts.append(
                Part(
                    films=films[rows],
                    is_mirrored=batch.is_mirrored[rows],
                    changes=changes.of(rows),
                    tokens=tokens[columns] if own_texts else tokens[:1],
                    n_texts=own_texts,
                )
            )
        return parts

    def _encode(self, network: nn.Module, part: Part) -> Outputs:
        films = training_input(part.films, self._preprocessing, part.changes, is_mirrored=part.is_mirrored)
        images, texts, scale, bias = network(films, part.tokens)
        return images, texts[: part.n_texts], scale, bias

    def _encode_all(self, parts: Sequence[Part]) -> tuple[list[list[Tensor]], Outputs]:
        """Return the random state before each part, and the outputs of all together, without gradient."""
        states, encoded = [], []
        with torch.no_grad(), _running_statistics_kept(self._towers):
            for part in parts:
                states.append(_random_state(self._device))
                encoded.append(self._encode(self._towers, part))
        images, texts, scales, biases = zip(*encoded, strict=True)
        return states, (torch.cat(images), torch.cat(texts), scales[0], biases[0])

    def _loss(self, batch: Batch, outputs: Outputs) -> tuple[Float[Tensor, ""], list[Tensor]]:
        """Return the whole batch's loss, and its gradient by this process's outputs (scaled where there is a scaler).

        It is `World.size` times the gradient, of which DistributedDataParallel takes the mean.
        """
        leaves = [output.detach().requires_grad_() for output in outputs]
        share = self._share_of_loss(batch, (leaves[0], leaves[1], leaves[2], leaves[3]))
        target = share * self._world.size
        target = target if self._scaler is None else self._scaler.scale(target)
        # the softmax form does not read the bias
        gradients = torch.autograd.grad(target, leaves, materialize_grads=True)
        return self._world.total(share.detach()), list(gradients)

    def _share_of_loss(self, batch: Batch, outputs: Outputs) -> Float[Tensor, ""]:
        """Return what this process's rows and columns add to the loss of the whole batch."""
        world, config = self._world, self._config
        images = gather(outputs[0], world, world.counts(batch.n_images))
        texts = gather(outputs[1], world, world.counts(batch.n_texts))
        _, _, scale, bias = outputs
        targets = batch.targets.to(self._device, non_blocking=True)
        rows, columns = world.share(batch.n_images), world.share(batch.n_texts)
        if config.form == "softmax":
            return softmax_loss(images, texts, targets, scale, rows=rows, columns=columns)
        return sigmoid_loss(images, texts, targets, scale, bias=bias, positive_weight=config.positive_weight, rows=rows)

    def _unsynchronised(self) -> AbstractContextManager[None]:
        """Return the context in which gradients stay this process's own."""
        network = self._network
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def validation_loss(bundle: Bundle, pairs: Pairs, config: TrainConfig) -> float:
    """Return the mean loss over the batches of one pass over `pairs`, in evaluation mode and without augmentation.

    The same batches each time, of the configuration's size where there are as many pairs, because the loss depends on
    the number of texts that an image is compared with. On this process alone.
    """
    is_enough = len(pairs) >= config.batch_size
    settings = replace(
        config,
        augment=Augmentation(),
        views_per_study=1,
        compile=False,
        batch_size=config.batch_size if is_enough else len(pairs),
        accum_freq=config.accum_freq if is_enough else 1,
    )
    batches = PairBatches(pairs, bundle, settings, World())
    step = ContrastiveStep(bundle, settings, World())
    was_training = bundle.model.training
    bundle.model.eval()
    try:
        losses = [float(step.loss_only(batch)) for batch in batches.epoch()]
    finally:
        bundle.model.train(was_training)
    return sum(losses) / len(losses)


def notes_of(bundle: Bundle, config: TrainConfig, world: World) -> tuple[str, ...]:
    """Return what the user should know about how batches are computed."""
    has_norm = any(isinstance(module, _BatchNorm) for module in bundle.model.modules())
    n_parts = world.size * config.accum_freq
    if not has_norm or n_parts == 1:
        return ()
    n_images = config.batch_size // n_parts
    return (f"batch norm sees one of {n_parts} parts of a batch at a time, {n_images} images; all else sees the whole",)


def _backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Add to the weights' `.grad` what follows from the gradient by the outputs; frozen towers' ask for nothing."""
    wanted = [pair for pair in zip(outputs, gradients, strict=True) if pair[0].requires_grad]
    torch.autograd.backward([output for output, _ in wanted], [gradient for _, gradient in wanted])


@contextmanager
def _running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Compute as usual, but leave the running statistics of batch norm alone: the part will be computed once more."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _random_state(device: torch.device) -> list[Tensor]:
    """Return the state that dropout draws from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _set_random_state(state: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
