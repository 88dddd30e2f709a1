"""The supervised ceiling: the same image tower, images, augmentation, loop and time, but trained on labels."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from cohort import open_images
from models import Bundle, to_network_input
from models.preprocessing import Preprocessing
from train.arithmetic import arrange_memory, attention, autocast, image_tokens, pick_device
from train.batches import steps_per_epoch
from train.clock import Clock
from train.config import TrainConfig
from train.contrastive import training_input
from train.optimise import make_optimizer, optimise
from train.pairs import ArrayImages, ImageSource, cohort_of, load_pairs
from train.start import start_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """An image tower with a linear head, and how to feed it."""

    network: nn.Module
    """network input (n, 3, r, r) -> logits (n, c)"""
    preprocessing: Preprocessing
    """of the tower"""


def label_targets(
    labels: Float[np.ndarray, "n c"],
) -> tuple[Float[np.ndarray, "n c"], Bool[np.ndarray, "n c"]]:
    """Return targets in {0, 1} and which entries count, from report labels in {1, 0, -1, NaN}.

    The declared policy: a finding that the report does not mention (blank, NaN) is absent, 0, because radiologists
    mention what they see; an uncertain one (-1) is left out of the loss.

    Raises:
        ValueError: for any other value.
    """
    unmentioned, uncertain = np.isnan(labels), labels == -1
    strange = ~(unmentioned | np.isin(labels, (-1.0, 0.0, 1.0)))
    if strange.any():
        raise ValueError(f"labels must be 1, 0, -1 or blank, found {labels[strange][0]:g}")
    return np.where(labels == 1, 1.0, 0.0), ~uncertain


def fit_supervised(
    bundle: Bundle,
    images: ImageSource | UInt8[np.ndarray, "m h w"],
    labels: Float[np.ndarray, "n c"],
    config: TrainConfig,
    *,
    rows: Int[np.ndarray, "n"] | None = None,
) -> Classifier:
    """Train a copy of the bundle's image tower with a new linear head by masked binary cross-entropy.

    `-sum_ij m_ij [y_ij log p_ij + (1 - y_ij) log(1 - p_ij)] / sum_ij m_ij`, with y and m from `label_targets`. Rate,
    schedule, batch size, precision, augmentation and time budget are the configuration's, as in `fit`; nothing is
    written.

    Args:
        bundle: gives the tower; left as it is.
        images: image store, or array.
        labels: n images x c findings in {1, 0, -1, NaN}, in the order of `rows`.
        config: as for `fit`.
        rows: row of each label's image; None means that labels cover all images in order.

    Raises:
        ValueError: rows and labels of different length, a strange label, or a batch larger than the data.
    """
    source = ArrayImages(images) if isinstance(images, np.ndarray) else images
    rows = np.arange(len(source)) if rows is None else rows
    if len(rows) != len(labels):
        raise ValueError(
            f"one row of labels per image wanted, found {len(rows)} images and {len(labels)} rows of labels"
        )
    device = pick_device(config.device)
    network = _with_head(bundle, n_findings=labels.shape[1], seed=config.seed)
    arrange_memory(network.train(), device)
    n_tokens = image_tokens(bundle.model.visual)  # type: ignore[arg-type]
    targets, counts = (torch.from_numpy(part.astype(np.float32)) for part in label_targets(labels))
    generator = torch.Generator().manual_seed(config.seed)

    def loss_of(positions: Int[np.ndarray, "b"]) -> Float[Tensor, ""]:
        batch = training_input(source.read(rows[positions]), bundle.preprocessing, config, device, generator)
        with autocast(config, device), attention(device, n_tokens=n_tokens):
            logits = network(batch)
        index = torch.from_numpy(positions)
        return masked_cross_entropy(logits.float(), targets[index].to(device), counts[index].to(device))

    clock = Clock(config, steps_per_epoch=steps_per_epoch(len(rows), config.batch_size))
    rng = np.random.default_rng(config.seed)
    optimizer = make_optimizer(network, config)
    with tqdm(desc="supervised", unit="step", dynamic_ncols=True) as bar:
        for _ in optimise(optimizer, loss_of, config, n_items=len(rows), clock=clock, rng=rng):
            bar.update()
    network.eval()
    return Classifier(network=network, preprocessing=bundle.preprocessing)


def predict_supervised(
    classifier: Classifier,
    images: ImageSource | UInt8[np.ndarray, "m h w"],
    *,
    rows: Int[np.ndarray, "n"] | None = None,
    batch_size: int = 256,
) -> Float[np.ndarray, "n c"]:
    """Return the probability of each finding, float32, in the order of `rows` (None: all images)."""
    source = ArrayImages(images) if isinstance(images, np.ndarray) else images
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

    It trains on the pairs that `config` names, from the weights it names, with the labels of its cohort table: what
    the same films, tower and minutes give to somebody who has labels.

    Raises:
        FileNotFoundError: store or texts are missing.
        ValueError: no cohort with labels, an id that the store does not hold, or as in `load_pairs`, `start_model`,
            `fit_supervised`.
    """
    with open_images(config.cxr_filepath) as store:
        cohort, notes = cohort_of(store, config)
        if cohort is None:
            raise ValueError(f"a classifier needs labels, but {notes[0]}")
        rows = load_pairs(config).rows
        labels = cohort[list(findings)].to_numpy(float)[rows]
        classifier = fit_supervised(start_model(config), store, labels, config, rows=rows)
        scores = predict_supervised(classifier, store, rows=store.rows(list(image_ids)))
    predictions = pd.DataFrame(scores, columns=list(findings))
    predictions.insert(0, "image_id", list(image_ids))
    return predictions


def masked_cross_entropy(
    logits: Float[Tensor, "b c"], targets: Float[Tensor, "b c"], counts: Float[Tensor, "b c"]
) -> Float[Tensor, ""]:
    """Return the mean binary cross-entropy over the entries that count (1) and not over the others (0)."""
    each = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (each * counts).sum() / counts.sum().clamp_min(1)


def _with_head(bundle: Bundle, *, n_findings: int, seed: int) -> nn.Module:
    """Return a copy of the image tower followed by a linear head with seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(bundle.config["embed_dim"], n_findings)
    tower: nn.Module = copy.deepcopy(bundle.model.visual)  # type: ignore[assignment]
    return nn.Sequential(tower, head)
