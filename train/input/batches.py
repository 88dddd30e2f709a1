"""Batches: images and texts of each step, read ahead by workers, the same for any number of processes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models import Bundle, pick_device
from models.tokens import pad_id, trim_padding
from train.distributed import World
from train.input.order import SAMPLING, EpochOrder, seed_of
from train.input.pairs import Pairs
from train.input.texts import make_text_table, unroll
from train.signals import outlive_signals
from train.train_config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The batch of a step for one process: its share of images and texts, and the targets of the whole batch."""

    step: int
    """Steps before this one"""
    images: UInt8[Tensor, "n h w"]
    """This process's share of the images, grey levels 0..255"""
    is_mirrored: Bool[Tensor, "n"]
    """Which of these images are still to be mirrored; their texts are mirrored already"""
    tokens: Int[Tensor, "m t"]
    """This process's share of the texts, cut to the longest; if it has none, one text that is not its own"""
    targets: Float[Tensor, "b k"]
    """How much each text belongs to each image, for the whole batch; NaN: unknown"""
    loss_floor: float
    """Lower bound of the loss on this batch, nats"""

    @property
    def n_images(self) -> int:
        """Images of the whole batch."""
        return self.targets.shape[0]

    @property
    def n_texts(self) -> int:
        """Distinct texts of the whole batch."""
        return self.targets.shape[1]

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, from which a copy to the device runs in the background."""
        names = ("images", "is_mirrored", "tokens", "targets")
        return replace(self, **{name: getattr(self, name).pin_memory() for name in names})


@dataclass(frozen=True, slots=True)
class Address:
    """A step and the items that make it up."""

    step: int
    """Steps before this one"""
    items: Int[np.ndarray, "i"]
    """Positions of the items"""


class PairBatches(Dataset[Batch]):
    """The batches of a run. Items are images, or studies if `views_per_study` is above 1.

    All that is random in a batch (views, texts, mirrored images) follows from the seed and the step. So every process
    draws the same whole batch and reads only the pixels of its own share.
    """

    def __init__(self, pairs: Pairs, bundle: Bundle, config: TrainConfig, world: World) -> None:
        """Tokenise all texts.

        Raises:
            ValueError: As `make_text_table` and `EpochOrder`; `views_per_study` is above 1 and the studies are not
                known; or a batch has fewer pairs than processes times parts.
        """
        self._images, self._rows = pairs.images, pairs.rows
        self._config, self._world = config, world

        # images sorted by study: those of study s begin at starts[s]
        self._study = _numbers_of_studies(pairs, config)
        self._by_study = np.argsort(self._study, kind="stable")
        self._n_images = np.bincount(self._study)
        self._starts = np.cumsum(self._n_images) - self._n_images

        sizes = np.minimum(self._n_images, config.views_per_study)
        self.order = EpochOrder(sizes, config.batch_size, seed=config.seed)
        self._refuse_small(int(sizes.sum()) // self.order.steps_per_epoch - config.views_per_study + 1)

        self._table = make_text_table(pairs, bundle, config)
        self.notes = self._table.notes
        self._padding = pad_id(bundle.tokenizer) if bundle.trims_text else None

    def _refuse_small(self, smallest: int) -> None:
        parts = self._world.size * self._config.accum_freq
        if smallest < parts:
            raise ValueError(
                f"a batch of {smallest} pairs cannot be shared by {self._world.size} processes in "
                f"{self._config.accum_freq} parts each: raise --batch_size, or lower --accum_freq"
            )

    def addresses(self, step: int) -> Iterator[Address]:
        """Yield the items of each step, from `step` on, without end."""
        while True:
            yield Address(step, self.order.items(step))
            step += 1

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the first pass over the items."""
        yield from map(self.__getitems__, islice(self.addresses(0), self.order.steps_per_epoch))

    def __getitems__(self, address: Address) -> Batch:
        """Return the batch of a step; under this name torch's loader reads a whole batch at once."""
        # the whole batch: views, mirrored images and texts, drawn in this order from the step's own stream
        rng = np.random.default_rng(seed_of(self._config.seed, SAMPLING, address.step))
        images = self._views(address.items, rng)
        studies = np.unique(self._study[images], return_inverse=True)[1]
        is_mirrored = self._table.can_mirror[images] & (rng.random(len(images)) < self._config.augment.flip)
        drawn = self._table.draw(images, studies=studies, is_mirrored=is_mirrored, rng=rng)

        # this process's share of it
        share = self._world.share(len(images))
        own_texts = drawn.texts[self._world.share(len(drawn.texts))]
        tokens = self._table.tokens[torch.from_numpy(own_texts if len(own_texts) else drawn.texts[:1])].long()

        return Batch(
            step=address.step,
            images=torch.from_numpy(np.ascontiguousarray(self._images.read(self._rows[images[share]]))),
            is_mirrored=torch.from_numpy(is_mirrored[share]),
            tokens=tokens if self._padding is None else trim_padding(tokens, padding=self._padding),
            targets=torch.from_numpy(drawn.targets),
            loss_floor=drawn.loss_floor,
        )

    def _views(self, items: Int[np.ndarray, "i"], rng: np.random.Generator) -> Int[np.ndarray, "b"]:
        """Return up to `views_per_study` images of each study, drawn without repeats."""
        # all images of the items: (i,) -> (f,)
        owners, place = unroll(self._n_images[items])

        # shuffled within each study, of which the first few are taken: (f,) -> (b,)
        shuffled = np.lexsort((rng.random(len(owners)), owners))
        chosen = shuffled[place < self._config.views_per_study]
        images: np.ndarray = self._by_study[self._starts[items][owners] + place][chosen]
        return images


def _numbers_of_studies(pairs: Pairs, config: TrainConfig) -> Int[np.ndarray, "n"]:
    """Return the study number of each image; with one view per study, each image is a study of its own."""
    if config.views_per_study == 1:
        return np.arange(len(pairs))
    known = pairs.study_numbers()
    if known is None:
        raise ValueError(
            "--views_per_study above 1: wanted the study of each image, found none: give --txt_filepath a column "
            "study_id"
        )
    numbers: np.ndarray = np.unique(known, return_inverse=True)[1]
    return numbers


def batches_from(step: int, batches: PairBatches, config: TrainConfig) -> Iterator[Batch]:
    """Yield the batches of a run from a step on, without end, read ahead by `config.workers` processes.

    Args:
        step: Steps before the first one that is wanted; 0 for a new run.
        batches: The batches of the run.
        config: Number of workers, and the device; for CUDA the batches are in page-locked memory.
    """
    yield from DataLoader(
        batches,
        batch_sampler=batches.addresses(step),  # type: ignore[arg-type]
        num_workers=config.workers,
        collate_fn=_as_it_is,  # type: ignore[arg-type]
        pin_memory=pick_device(config.device).type == "cuda",
        # the loader would draw a seed for its workers from the global generator, which belongs to dropout
        generator=torch.Generator(),
        worker_init_fn=outlive_signals,
    )


def _as_it_is(batch: Batch) -> Batch:
    return batch
