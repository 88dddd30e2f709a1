"""One step of contrastive training: from a batch to the gradient of its loss, on one process or several, also in parts.

A step computes the features of a batch, then the loss and its gradient with respect to the features, then the gradient
with respect to the weights. A batch that does not fit into memory is computed in parts (`accum_freq`): first the
features of every part without a graph, then, when the gradient of the features is known, each part once more with a
graph. The result is the gradient of the whole batch, all negatives included: Gao et al., RepL4NLP 2021 ("GradCache").
Dropout repeats itself, because each part starts from the same random state both times. Only batch norm differs: its
statistics are those of one part.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
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
from train.input.batches import Batch
from train.input.order import AUGMENTATION, seed_of
from train.losses import sigmoid_loss, softmax_loss
from train.train_config import INIT_BIAS, TrainConfig

Outputs = tuple[Tensor, Tensor, Tensor, Tensor]
"""Image features (n d), text features (m d), logit scale, logit bias: all outputs of the model that the loss reads"""


def prepare(bundle: Bundle, config: TrainConfig) -> None:
    """Move the model to its device and set the initial logit scale and bias of the configuration, in place."""
    model: Any = bundle.model
    arrange_memory(model, pick_device(config.device))

    if config.init_scale is not None:
        with torch.no_grad():
            model.logit_scale.fill_(math.log(config.init_scale))
    if config.form == "sigmoid":
        found = getattr(model, "logit_bias", None)
        if found is not None and config.init_bias != INIT_BIAS:
            raise ValueError(f"--init_bias: wanted a model without a logit bias, found {found.item():.2f}")
        if found is None:
            model.logit_bias = nn.Parameter(torch.full_like(model.logit_scale, config.init_bias))


def training_input(
    grey: UInt8[Tensor, "b h w"],
    preprocessing: Preprocessing,
    changes: Changes,
    *,
    is_mirrored: Bool[Tensor, "b"] | None = None,
) -> Float[Tensor, "b _ r r"]:
    """Return images as the network reads them: resized, augmented and normalised, on the device where they are."""
    return normalise(augment(resize(grey, preprocessing), changes, is_mirrored=is_mirrored), preprocessing)


class Network(nn.Module):
    """Both towers in one forward pass, in the configured precision; DistributedDataParallel needs a single module."""

    def __init__(self, bundle: Bundle, config: TrainConfig) -> None:
        super().__init__()
        model: Any = bundle.model
        self.model = model
        self._config = config
        self._image_tokens = image_tokens(model.visual)
        self._text_width: int | None = bundle.config["text_cfg"].get("width")
        self._encode_images: Callable[[Tensor], Tensor] = partial(image_features, bundle)
        self._encode_texts: Callable[[Tensor], Tensor] = partial(text_features, bundle)

        if config.compile:
            self._encode_images = torch.compile(self._encode_images)
            # texts differ in number and length from batch to batch
            self._encode_texts = torch.compile(self._encode_texts, dynamic=True)

    def forward(self, images: Float[Tensor, "n c r r"], tokens: Int[Tensor, "m t"]) -> Outputs:
        """Return the features of images and texts, the logit scale and the logit bias (0 where there is none)."""
        device = images.device

        # (n, c, r, r) -> (n, d)
        with autocast(self._config, device), attention(device, n_tokens=self._image_tokens):
            of_images = self._encode_images(images)

        # (m, t) -> (m, d)
        with (
            autocast(self._config, device, width=self._text_width),
            attention(device, n_tokens=tokens.shape[1]),
        ):
            of_texts = self._encode_texts(tokens)

        scale = self.model.logit_scale.exp()
        bias = getattr(self.model, "logit_bias", None)
        return of_images, of_texts, scale, torch.zeros_like(scale) if bias is None else bias


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Images and texts that are encoded together: one of `accum_freq` parts of a process's share of a batch."""

    images: UInt8[Tensor, "n h w"]
    """Grey levels 0..255, on the device"""
    is_mirrored: Bool[Tensor, "n"]
    """Which images are mirrored; on the CPU, so that reading it does not wait for the device"""
    changes: Changes
    """Augmentation of the images"""
    tokens: Int[Tensor, "m t"]
    """Texts, on the device"""
    n_texts: int
    """Texts that belong to the part: m, or 0 if the part has none and m is 1, because a tower needs a row to encode"""


class ContrastiveStep:
    """A function from a batch to its loss, which adds the gradient of the loss to `.grad` of the weights."""

    def __init__(
        self, bundle: Bundle, config: TrainConfig, world: World, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Wrap a model that `prepare` has made ready.

        Args:
            bundle: The model, trained in place.
            config: Objective, parts, precision, augmentation.
            world: The processes; each passes its own share of the same batches.
            scaler: Scales the loss in fp16; gradients are then scaled too.
        """
        self._preprocessing, self._config, self._world = bundle.preprocessing, config, world
        self._device, self._scaler = bundle.device, scaler
        self._towers = Network(bundle, config)
        self._network: nn.Module = self._towers if world.size == 1 else DistributedDataParallel(self._towers)

    def __call__(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss of the whole batch, before any scaling, detached."""
        parts = self._split(batch)

        # a batch that fits into memory: features, loss, gradient of the features, gradient of the weights
        if len(parts) == 1:
            outputs = self._encode(self._network, parts[0])
            loss, gradients = self._loss(batch, outputs)
            _backward(outputs, gradients)
            return loss

        # in parts: the features of all without a graph, then the loss and its gradient by these features
        states, outputs = self._encode_all(parts)
        loss, (by_images, by_texts, *others) = self._loss(batch, outputs)
        by_images_of_part = torch.split(by_images, [len(part.images) for part in parts])  # (n, d) -> (n_part, d) each
        by_texts_of_part = torch.split(by_texts, [part.n_texts for part in parts])  # (m, d) -> (m_part, d) each
        by_part = zip(parts, states, by_images_of_part, by_texts_of_part, strict=True)

        # each part once more with a graph, from the random state it had, to carry its gradient on to the weights
        for number, (part, state, *features) in enumerate(by_part, start=1):
            is_last = number == len(parts)
            _set_random_state(state, self._device)
            with nullcontext() if is_last else self._unsynchronised():
                # the gradient of scale and bias goes in once, with the part that DistributedDataParallel synchronises
                rest = others if is_last else [torch.zeros_like(one) for one in others]
                _backward(self._encode(self._network, part), [*features, *rest])
        return loss

    def loss_only(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss of the whole batch in the model's current mode, without a gradient."""
        _, outputs = self._encode_all(self._split(batch))
        with torch.no_grad():
            return self._world.total(self._share_of_loss(batch, outputs))

    def _split(self, batch: Batch) -> list[Part]:
        """Return this process's share of a batch in `accum_freq` parts."""
        config, size = self._config, self._config.accum_freq

        # augmentation is drawn for the whole batch, so that it is the same for any number of processes
        generator = torch.Generator().manual_seed(seed_of(config.seed, AUGMENTATION, batch.step))
        own_images = self._world.share(batch.n_images)
        changes = draw_changes(batch.n_images, config.augment, generator=generator).of(own_images)

        images, tokens = (whole.to(self._device, non_blocking=True) for whole in (batch.images, batch.tokens))
        n_texts = self._world.counts(batch.n_texts)[self._world.rank]

        parts = []
        for index in range(size):
            rows, columns = share_of(len(images), index=index, size=size), share_of(n_texts, index=index, size=size)
            own_texts = columns.stop - columns.start
            parts.append(
                Part(
                    images=images[rows],
                    is_mirrored=batch.is_mirrored[rows],
                    changes=changes.of(rows),
                    tokens=tokens[columns] if own_texts else tokens[:1],
                    n_texts=own_texts,
                )
            )
        return parts

    def _encode(self, network: nn.Module, part: Part) -> Outputs:
        images = training_input(part.images, self._preprocessing, part.changes, is_mirrored=part.is_mirrored)
        of_images, of_texts, scale, bias = network(images, part.tokens)
        return of_images, of_texts[: part.n_texts], scale, bias

    def _encode_all(self, parts: Sequence[Part]) -> tuple[list[list[Tensor]], Outputs]:
        """Return the random state before each part, and the outputs of all parts together, without a graph."""
        states, encoded = [], []
        with torch.no_grad(), _running_statistics_kept(self._towers):
            for part in parts:
                states.append(_random_state(self._device))
                encoded.append(self._encode(self._towers, part))

        of_images, of_texts, scales, biases = zip(*encoded, strict=True)
        return states, (torch.cat(of_images), torch.cat(of_texts), scales[0], biases[0])  # (n, d), (m, d)

    def _loss(self, batch: Batch, outputs: Outputs) -> tuple[Float[Tensor, ""], list[Tensor]]:
        """Return the loss of the whole batch and its gradient with respect to this process's outputs.

        The gradient is `World.size` times too large, because DistributedDataParallel takes the mean over processes. In
        fp16 it is scaled.
        """
        # cut here, so that the towers' graph is walked once, in `_backward`
        leaves = [output.detach().requires_grad_() for output in outputs]

        share = self._share_of_loss(batch, (leaves[0], leaves[1], leaves[2], leaves[3]))
        target = share * self._world.size
        target = target if self._scaler is None else self._scaler.scale(target)

        # zeros where the loss does not depend on an output: the softmax form does not read the bias
        gradients = torch.autograd.grad(target, leaves, materialize_grads=True)
        return self._world.total(share.detach()), list(gradients)

    def _share_of_loss(self, batch: Batch, outputs: Outputs) -> Float[Tensor, ""]:
        """Return what this process's rows and columns add to the loss of the whole batch."""
        world, config = self._world, self._config

        # the features of all processes: (n, d) -> (b, d) and (m, d) -> (k, d)
        features = (
            gather(outputs[0], world, world.counts(batch.n_images)),
            gather(outputs[1], world, world.counts(batch.n_texts)),
        )
        _, _, scale, bias = outputs

        # this process compares its own rows and columns
        targets = batch.targets.to(self._device, non_blocking=True)  # (b, k)
        rows, columns = world.share(batch.n_images), world.share(batch.n_texts)
        if config.form == "softmax":
            return softmax_loss(*features, targets, scale, rows=rows, columns=columns)
        return sigmoid_loss(*features, targets, scale, bias=bias, positive_weight=config.positive_weight, rows=rows)

    def _unsynchronised(self) -> AbstractContextManager[None]:
        """Return the context in which the processes do not exchange their gradients."""
        network = self._network
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def notes_of(bundle: Bundle, config: TrainConfig, world: World) -> tuple[str, ...]:
    """Return a note for the user where batch norm sees only a part of each batch."""
    has_norm = any(isinstance(module, _BatchNorm) for module in bundle.model.modules())
    n_parts = world.size * config.accum_freq
    if not has_norm or n_parts == 1:
        return ()
    n_images = config.batch_size // n_parts
    return (f"batch norm sees one of {n_parts} parts of a batch at a time, {n_images} images; the loss sees all of it",)


def _backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Add the gradient of the weights to their `.grad`, given that of the outputs; a frozen tower's output has none."""
    wanted = [pair for pair in zip(outputs, gradients, strict=True) if pair[0].requires_grad]
    torch.autograd.backward([output for output, _ in wanted], [gradient for _, gradient in wanted])


@contextmanager
def _running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Keep batch norm's running statistics unchanged inside, because each part is computed once more later."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _random_state(device: torch.device) -> list[Tensor]:
    """Return the state of the generators that dropout draws from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _set_random_state(state: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
