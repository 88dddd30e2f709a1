"""The supervised ceiling: a classifier with the same image tower, images, augmentation and loop, trained on labels."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import nan

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from cohort import open_images
from cohort.image_reader import ImageReader, as_reader
from models import Bundle, pick_device, to_network_input
from models.depths import layer_depths
from models.network_input import Preprocessing
from train.clock import Clock
from train.distributed import World
from train.hardware import arrange_memory, attention, autocast, cpu_threads, image_tokens
from train.input.augment import draw_changes
from train.input.order import AUGMENTATION, EpochOrder, seed_of
from train.input.pairs import load_pairs
from train.optimise import make_optimizer, make_scaler, optimise
from train.saving.recorder import progress_line
from train.start import start_model
from train.step import training_input
from train.train_config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """An image tower with a linear head, and its preprocessing."""

    network: nn.Module
    """Network input (n, 3, r, r) -> logits (n, c)"""
    preprocessing: Preprocessing
    """Preprocessing of the tower"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBatch:
    """The images of one step of supervised training."""

    step: int
    """Steps before this one"""
    positions: Int[np.ndarray, "b"]
    """Positions of the images"""
    loss_floor: float = nan
    """Lower bound of the loss: not known for labels"""

    @property
    def n_images(self) -> int:
        """Size of the batch."""
        return len(self.positions)


def label_targets(
    labels: Float[np.ndarray, "n c"],
) -> tuple[Float[np.ndarray, "n c"], Bool[np.ndarray, "n c"]]:
    """Return targets in {0, 1} and which entries count, from report labels in {1, 0, -1, NaN}.

    Policy: a finding that the report does not mention (blank, NaN) is absent, 0, because radiologists mention what they
    see. An uncertain finding (-1) is left out of the loss.

    Raises:
        ValueError: Any other value.
    """
    unmentioned, uncertain = np.isnan(labels), labels == -1
    strange = ~(unmentioned | np.isin(labels, (-1.0, 0.0, 1.0)))
    if strange.any():
        raise ValueError(f"labels must be 1, 0, -1 or blank, found {labels[strange][0]:g}")
    return np.where(labels == 1, 1.0, 0.0), ~uncertain


def fit_supervised(
    bundle: Bundle,
    images: ImageReader | UInt8[np.ndarray, "m h w"],
    labels: Float[np.ndarray, "n c"],
    config: TrainConfig,
    *,
    rows: Int[np.ndarray, "n"] | None = None,
) -> Classifier:
    """Train a copy of the bundle's image tower with a new linear head by masked binary cross-entropy.

    `-sum_ij m_ij [y_ij log p_ij + (1 - y_ij) log(1 - p_ij)] / sum_ij m_ij`, with y and m from `label_targets`. Learning
    rate, schedule, batch size, precision, augmentation and time budget are those of `fit`. Writes nothing.

    Args:
        bundle: Gives the tower; not changed.
        images: Image store, or array.
        labels: Labels of n images x c findings in {1, 0, -1, NaN}, in the order of `rows`.
        config: As for `fit`.
        rows: Row of each label's image; None: the labels cover all images in order.

    Raises:
        ValueError: Rows and labels differ in length, a label has another value, or the batch is larger than the data.
    """
    source = as_reader(images)
    rows = np.arange(len(source)) if rows is None else rows
    if len(rows) != len(labels):
        raise ValueError(
            f"one row of labels per image wanted, found {len(rows)} images and {len(labels)} rows of labels"
        )

    # tower, head, and the gradient of their loss
    network = _with_head(bundle, n_findings=labels.shape[1], seed=config.seed)
    arrange_memory(network.train(), pick_device(config.device))
    gradients_of = SupervisedStep(
        Classifier(network=network, preprocessing=bundle.preprocessing), source, rows, label_targets(labels), config
    )

    # the same loop as for pairs
    order = EpochOrder(np.ones(len(rows), dtype=np.int64), config.batch_size, seed=config.seed)
    clock = Clock(config, steps_per_epoch=order.steps_per_epoch)
    steps = optimise(
        make_optimizer(network, config, depths=_depths(bundle) if config.layer_decay != 1 else None),
        (LabelBatch(step=step, positions=order.items(step)) for step in count()),
        gradients_of,
        config,
        module=network,
        clock=clock,
        scaler=gradients_of.scaler,
        world=World(),
    )
    with cpu_threads(config, pick_device(config.device)), progress_line(clock, desc="supervised") as bar:
        for _ in steps:
            bar.update(int(clock.done) - bar.n)

    network.eval()
    return Classifier(network=network, preprocessing=bundle.preprocessing)


class SupervisedStep:
    """A function from labelled images to their loss, which adds the gradient of the loss to `.grad` of the weights."""

    def __init__(
        self,
        classifier: Classifier,
        images: ImageReader,
        rows: Int[np.ndarray, "n"],
        labels: tuple[Float[np.ndarray, "n c"], Bool[np.ndarray, "n c"]],
        config: TrainConfig,
    ) -> None:
        """Wrap the classifier; `labels` are targets and a mask of those that count."""
        self._network, self._preprocessing = classifier.network, classifier.preprocessing
        self._images, self._rows, self._config = images, rows, config
        self._device = next(classifier.network.parameters()).device
        self._targets, self._counts = (torch.from_numpy(part.astype(np.float32)) for part in labels)
        self._n_tokens = image_tokens(classifier.network[0])  # type: ignore[index]
        self.scaler = make_scaler(config, self._device)

    def __call__(self, batch: LabelBatch) -> Float[Tensor, ""]:
        """Return the loss before any scaling, detached."""
        config, device = self._config, self._device

        # images of the batch, augmented: (b, h, w) -> (b, c, r, r)
        grey = torch.from_numpy(np.ascontiguousarray(self._images.read(self._rows[batch.positions])))
        generator = torch.Generator().manual_seed(seed_of(config.seed, AUGMENTATION, batch.step))
        changes = draw_changes(batch.n_images, config.augment, generator=generator)
        images = training_input(grey.to(device, non_blocking=True), self._preprocessing, changes)

        # (b, c, r, r) -> one logit per finding
        with autocast(config, device), attention(device, n_tokens=self._n_tokens):
            logits = self._network(images)

        index = torch.from_numpy(batch.positions)
        loss = masked_cross_entropy(logits.float(), self._targets[index].to(device), self._counts[index].to(device))
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def predict_supervised(
    classifier: Classifier,
    images: ImageReader | UInt8[np.ndarray, "m h w"],
    *,
    rows: Int[np.ndarray, "n"] | None = None,
    batch_size: int = 256,
) -> Float[np.ndarray, "n c"]:
    """Return the probability of each finding, float32, in the order of `rows` (None: all images)."""
    source = as_reader(images)
    rows = np.arange(len(source)) if rows is None else rows
    device = next(classifier.network.parameters()).device
    scores = []
    with torch.no_grad():
        for start in range(0, len(rows), batch_size):
            grey = torch.from_numpy(np.ascontiguousarray(source.read(rows[start : start + batch_size]))).to(device)
            logits = classifier.network(to_network_input(grey, classifier.preprocessing))
            scores.append(logits.float().sigmoid().cpu().numpy())
    return np.concatenate(scores)


def supervised_predictions(config: TrainConfig, *, findings: Sequence[str], image_ids: Sequence[str]) -> pd.DataFrame:
    """Return image_id and a probability per finding for `image_ids`, from a classifier trained on report labels.

    It trains on the pairs and from the weights of `config`, with the labels of its cohort table. This is the score that
    the same images, tower and time reach with labels.

    Raises:
        FileNotFoundError: The store or the texts are missing.
        ValueError: There is no cohort with labels, the store lacks an id, or as in `load_pairs`, `start_model`,
            `fit_supervised`.
    """
    pairs = load_pairs(config)
    if pairs.cohort is None:
        raise ValueError(f"a classifier needs labels, but {pairs.notes[0]}")
    labels = pairs.cohort[list(findings)].to_numpy(float)
    with open_images(config.cxr_filepath) as store:
        classifier = fit_supervised(start_model(config), store, labels, config, rows=pairs.rows)
        scores = predict_supervised(classifier, store, rows=store.rows(list(image_ids)))
    predictions = pd.DataFrame(scores, columns=list(findings))
    predictions.insert(0, "image_id", list(image_ids))
    return predictions


def masked_cross_entropy(
    logits: Float[Tensor, "b c"], targets: Float[Tensor, "b c"], counts: Float[Tensor, "b c"]
) -> Float[Tensor, ""]:
    """Return the mean binary cross-entropy over the entries whose count is 1; those with 0 are left out."""
    each = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (each * counts).sum() / counts.sum().clamp_min(1)


def _depths(bundle: Bundle) -> dict[str, int]:
    """Return the number of layers above each weight of the image tower, by its name in the classifier."""
    depths = layer_depths(bundle)
    return {f"0.{name.removeprefix('visual.')}": n for name, n in depths.items() if name.startswith("visual.")}


def _with_head(bundle: Bundle, *, n_findings: int, seed: int) -> nn.Module:
    """Return a copy of the image tower followed by a linear head with seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(bundle.config["embed_dim"], n_findings)
    tower: nn.Module = copy.deepcopy(bundle.model.visual)  # type: ignore[assignment]
    return nn.Sequential(tower, head)
