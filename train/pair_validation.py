"""Validation on held-out pairs: the loss, and retrieval in both directions."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cohort.report_sentences import index_texts
from metrics.ranks import retrieval_figures
from models import Bundle, encode_many_images, encode_reports
from train.distributed import World
from train.input.batches import PairBatches
from train.input.pairs import Pairs
from train.saving.recorder import Evaluate
from train.step import ContrastiveStep
from train.train_config import Augmentation, TrainConfig

AT_ONCE = 64
"""Images in one forward pass"""


def pair_validation(pairs: Pairs, config: TrainConfig) -> Evaluate:
    """Return the function from a model to `validation_loss` and the retrieval figures of held-out pairs.

    It uses the first `config.eval_images` pairs. Names are "image_to_text/recall_at_1" and so on, see
    `metrics.retrieval_figures`; identical reports are one candidate. The reports of a study belong to all its images.
    """
    pairs = _first(pairs, config.eval_images)

    def evaluate(bundle: Bundle) -> dict[str, float]:
        return {"validation_loss": validation_loss(bundle, pairs, config), **retrieval(bundle, pairs, config)}

    return evaluate


def validation_loss(bundle: Bundle, pairs: Pairs, config: TrainConfig) -> float:
    """Return the mean loss over the batches of one pass over `pairs`, in evaluation mode and without augmentation.

    The batches are the same at each call. They have the configured size if there are enough pairs, because the loss
    depends on the number of texts that an image is compared with. Runs on this process alone.
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


def retrieval(bundle: Bundle, pairs: Pairs, config: TrainConfig) -> dict[str, float]:
    """Return the retrieval figures of pairs in both directions.

    The feature of a report is that of its text, or, for a model trained on sentences, the mean over its sentences.
    """
    reports, column = np.unique(np.array(pairs.texts, dtype=object), return_inverse=True)
    relevant = _belongs(column, pairs.study_numbers())

    # (n, d) @ (d, m) -> (n, m)
    images = _image_features(bundle, pairs)
    similarity = (images @ _report_features(bundle, reports.tolist(), config).T).numpy()

    directions = {"image_to_text": (similarity, relevant), "text_to_image": (similarity.T, relevant.T)}
    return {
        f"{direction}/{name}": value
        for direction, (scores, hits) in directions.items()
        for name, value in retrieval_figures(scores, hits).items()
    }


def _belongs(column: Int[np.ndarray, "n"], studies: Int[np.ndarray, "n"] | None) -> Bool[np.ndarray, "n m"]:
    """Return which reports belong to each image: its own, and those of the other images of its study."""
    own: np.ndarray = column[:, None] == np.arange(column.max() + 1)
    if studies is None:
        return own

    # reports of each study, then of each image's study: (studies, m) -> (n, m)
    study = np.unique(studies, return_inverse=True)[1]
    of_study = np.zeros((study.max() + 1, own.shape[1]), dtype=bool)
    of_study[study, column] = True
    belongs: np.ndarray = of_study[study]
    return belongs


def _first(pairs: Pairs, n: int) -> Pairs:
    """Return the first n pairs."""
    return replace(
        pairs,
        rows=pairs.rows[:n],
        texts=pairs.texts[:n],
        second_texts=None if pairs.second_texts is None else pairs.second_texts[:n],
        study_ids=None if pairs.study_ids is None else pairs.study_ids[:n],
        labels=None if pairs.labels is None else pairs.labels[:n],
        cohort=None if pairs.cohort is None else pairs.cohort[:n],
        image_ids=None if pairs.image_ids is None else pairs.image_ids[:n],
    )


def _image_features(bundle: Bundle, pairs: Pairs) -> Float[Tensor, "n d"]:
    parts = np.array_split(pairs.rows, -(-len(pairs) // AT_ONCE))
    return encode_many_images(bundle, (pairs.images.read(rows) for rows in parts))


def _report_features(bundle: Bundle, reports: list[str], config: TrainConfig) -> Float[Tensor, "m d"]:
    return encode_reports(bundle, *index_texts(reports, by_sentence=config.objective != "reports"))
