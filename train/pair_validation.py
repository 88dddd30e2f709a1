"""Validation on held-out pairs: the loss, and retrieval in both directions."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from cohort.report_sentences import index_texts
from metrics.ranks import retrieval_figures
from models import Bundle, encode_many_images, encode_reports
from train.input.pairs import Pairs
from train.saving.recorder import Evaluate
from train.step import validation_loss
from train.train_config import TrainConfig

AT_ONCE = 64
"""Images in one forward pass"""


def pair_validation(pairs: Pairs, config: TrainConfig) -> Evaluate:
    """Return the function from a model to `validation_loss` and the retrieval figures of held-out pairs.

    It uses the first `config.eval_images` pairs. Names are "image_to_text/recall_at_1" and so on, see
    `metrics.retrieval_figures`; identical reports are one candidate.
    """
    pairs = _first(pairs, config.eval_images)

    def evaluate(bundle: Bundle) -> dict[str, float]:
        return {"validation_loss": validation_loss(bundle, pairs, config), **retrieval(bundle, pairs, config)}

    return evaluate


def retrieval(bundle: Bundle, pairs: Pairs, config: TrainConfig) -> dict[str, float]:
    """Return the retrieval figures of pairs in both directions.

    The feature of a report is that of its text, or, for a model trained on sentences, the mean over its sentences.
    """
    reports, column = np.unique(np.array(pairs.texts, dtype=object), return_inverse=True)
    relevant: Bool[np.ndarray, "n m"] = column[:, None] == np.arange(len(reports))

    # (n, d) @ (d, m) -> (n, m)
    images = _image_features(bundle, pairs)
    similarity = (images @ _report_features(bundle, reports.tolist(), config).T).numpy()

    directions = {"image_to_text": (similarity, relevant), "text_to_image": (similarity.T, relevant.T)}
    return {
        f"{direction}/{name}": value
        for direction, (scores, hits) in directions.items()
        for name, value in retrieval_figures(scores, hits).items()
    }


def _first(pairs: Pairs, n: int) -> Pairs:
    """Return the first n pairs."""
    return replace(
        pairs,
        rows=pairs.rows[:n],
        texts=pairs.texts[:n],
        second_texts=None if pairs.second_texts is None else pairs.second_texts[:n],
        study_ids=None if pairs.study_ids is None else pairs.study_ids[:n],
        labels=None if pairs.labels is None else pairs.labels[:n],
    )


def _image_features(bundle: Bundle, pairs: Pairs) -> Float[Tensor, "n d"]:
    parts = np.array_split(pairs.rows, -(-len(pairs) // AT_ONCE))
    return encode_many_images(bundle, (pairs.images.read(rows) for rows in parts))


def _report_features(bundle: Bundle, reports: list[str], config: TrainConfig) -> Float[Tensor, "m d"]:
    return encode_reports(bundle, *index_texts(reports, by_sentence=config.objective != "reports"))
