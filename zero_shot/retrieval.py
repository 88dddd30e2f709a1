"""Retrieval: does a report find its image among all images, and an image its report? Equal reports count as hits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

import metrics
import models
from cohort import Flow, ImageStore, align
from cohort.report_sentences import distinct_sentences, index_texts
from metrics.evidence import EvidenceRule
from metrics.ranks import DEPTHS, image_to_text_ranks, rank_figures, recall_replicates, text_to_image_ranks
from metrics.resampling import interval_if_drawn
from models.tokens import too_long
from zero_shot.features import image_features
from zero_shot.images import Images

ReadAs = Literal["reports", "sentences"]
"""How a model reads a report: whole, or as the mean of its sentences' features; choose what it was trained on"""
COLUMNS = (
    "direction",
    "hit",
    "n_queries",
    "n_candidates",
    "patients",
    *(f"recall_at_{depth}{end}" for depth in DEPTHS for end in ("", "_low", "_high")),
    "median_rank",
    "reason",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistinctTexts:
    """The distinct texts among reports."""

    texts: tuple[str, ...]
    """Distinct texts, each in its alphabetically first spelling"""
    content: Int[np.ndarray, "n"]
    """The text of each report, as a position in `texts`"""

    @property
    def duplicates_share(self) -> float:
        """Share of reports whose text another report has too; the strict diagonal counts them as mistakes."""
        return float((np.bincount(self.content)[self.content] > 1).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """How well images and texts find each other."""

    table: pd.DataFrame
    """See `retrieval_table`"""
    n_images: int
    """Pairs of image and text"""
    n_texts: int
    """Texts that differ after normalisation"""
    duplicates_share: float
    """Share of pairs whose text belongs to another pair too"""
    n_cut: int
    """Distinct texts longer than the model's context, which are cut"""
    flow: Flow
    """Images left out, by reason"""


def retrieve(
    bundle: models.Bundle,
    images: Images,
    chosen: pd.DataFrame,
    texts: pd.DataFrame,
    *,
    read_as: ReadAs = "reports",
    batch_size: int = 64,
    n_replicates: int = 1000,
    seed: int = 0,
) -> Retrieval:
    """Return how well a model's images and texts find each other, in both directions.

    Images without a text ("NO IMPRESSION", or only marks) are left out and counted.

    Args:
        bundle: the model, on the device to run on.
        images: rows of a store, as from `select_images`.
        chosen: their rows of the cohort table (image_id, study_id, subject_id), in the same order.
        texts: texts of the whole store, as from `cohort.read_texts`.
        read_as: "sentences" for a model trained on sentences: a report is the mean of their features.
        batch_size: images per forward pass.
        n_replicates: bootstrap resamples of patients; 0 gives no intervals.
        seed: seed of the resampling.

    Raises:
        ValueError: images, cohort rows and texts that do not belong together, no image with a text, or as
            `image_features`.
    """
    # images with a text
    flow = Flow()
    flow.start(chosen, "chosen images")
    reports = _reports(images, chosen, texts)
    has_text = np.array([bool(distinct_sentences(report)) for report in reports])
    chosen = flow.keep(chosen, has_text, "no text")
    if chosen.empty:
        raise ValueError(f"none of {len(images)} images has a text to be found by")
    images = Images(reader=images.reader, rows=images.rows[has_text], ids=tuple(chosen["image_id"]))

    # equal reports are one text, encoded once
    distinct = distinct_texts([report for report, has in zip(reports, has_text, strict=True) if has])
    encoded, n_cut = report_features(bundle, distinct.texts, read_as=read_as)

    table = retrieval_table(
        image_features(bundle, images, batch_size=batch_size).numpy(),
        encoded.numpy(),
        distinct.content,
        chosen["subject_id"].tolist(),
        n_replicates=n_replicates,
        seed=seed,
    )
    return Retrieval(
        table=table,
        n_images=len(images),
        n_texts=len(distinct.texts),
        duplicates_share=distinct.duplicates_share,
        n_cut=n_cut,
        flow=flow,
    )


def distinct_texts(reports: Sequence[str]) -> DistinctTexts:
    """Return the distinct texts among reports; case, white space, numbering and outer punctuation do not count.

    The result does not depend on the order of the reports.
    """
    spellings: dict[tuple[str, ...], str] = {}
    keys = [tuple(distinct_sentences(report)) for report in reports]
    for key, report in zip(keys, reports, strict=True):
        spellings[key] = min(report, spellings.get(key, report))
    place = {key: number for number, key in enumerate(sorted(spellings))}
    return DistinctTexts(
        texts=tuple(spellings[key] for key in place), content=np.array([place[key] for key in keys], dtype=np.int64)
    )


def report_features(
    bundle: models.Bundle, texts: Sequence[str], *, read_as: ReadAs = "reports"
) -> tuple[Float[Tensor, "m d"], int]:
    """Return L2-normalised float32 features of texts, on the CPU, and how many texts were cut.

    Unlike a prompt, a report may be longer than the model's context: it is cut, as in training.
    """
    pieces, rows = index_texts(texts, by_sentence=read_as == "sentences")
    is_cut = too_long(pieces, bundle.tokenizer, context_length=bundle.context_length).numpy()
    return models.encode_reports(bundle, pieces, rows), sum(bool(is_cut[own].any()) for own in rows)


def retrieval_table(
    images: Float[np.ndarray, "n d"],
    texts: Float[np.ndarray, "m d"],
    content: Int[np.ndarray, "n"],
    subject_ids: Sequence[str],
    *,
    n_replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return recall at 1, 5 and 10 with 95 % intervals, and the median rank, in five rows.

    `direction` is "image_to_text" or "text_to_image"; `hit` is

    - "same text": any image or text with the query's text is a hit. Image to text ranks the distinct texts, text to
      image ranks all images.
    - "own pair": the strict diagonal, as open_clip counts. Copies of the right text tie with it and rank before it;
      a sort that breaks ties at random gives a value between "own pair" and "same text".
    - "same text, each once": text to image with every distinct text as one query, as in training's validation. With
      "same text" a stock phrase is a query as often as it was written.

    Queries are resampled with their patients, and candidates stay: the interval is for other queries in the same
    archive. Recall falls with `n_candidates`, so compare models on one set only.

    Args:
        images: L2-normalised features of the images.
        texts: L2-normalised features of the distinct texts.
        content: text of each image, as a position in `texts`.
        subject_ids: patient of each image.
        n_replicates: bootstrap resamples of patients; 0 gives no intervals.
        seed: seed of the resampling.

    Raises:
        ValueError: see `metrics.image_to_text_ranks` and `metrics.patient_weights`.
    """
    there = image_to_text_ranks(images, texts, content)
    back = text_to_image_ranks(images, texts, content)
    n, m = len(images), len(texts)

    # queries: every pair, or one pair per distinct text, which then shares its weight among its copies
    all_pairs, one_of_each = np.arange(n), np.unique(content, return_index=True)[1]
    parts = 1 / np.bincount(content)[content]  # (n,)
    rows = [
        ("image_to_text", "same text", m, there.same_text, all_pairs),
        ("image_to_text", "own pair", n, there.own_pair, all_pairs),
        ("text_to_image", "same text", n, back.same_text, all_pairs),
        ("text_to_image", "same text, each once", n, back.same_text, one_of_each),
        ("text_to_image", "own pair", n, back.own_pair, all_pairs),
    ]

    weights = metrics.patient_weights(subject_ids, n_replicates, np.random.default_rng(seed))
    patients = len(set(subject_ids))
    few = "; ".join(EvidenceRule().shortfalls(patients={"patients": patients}))
    table = []
    for direction, hit, n_candidates, ranks, queries in rows:
        row: dict[str, Any] = {"direction": direction, "hit": hit, "n_queries": len(queries)}
        row |= {"n_candidates": n_candidates, "patients": patients, "reason": few}
        once = parts if queries is one_of_each else None
        ends = _intervals(ranks, weights, once)
        table.append(row | rank_figures(ranks[queries]) | (dict.fromkeys(ends, np.nan) if few else ends))
    return pd.DataFrame(table, columns=list(COLUMNS))


def _intervals(
    ranks: Int[np.ndarray, "n"], weights: metrics.ReplicateWeights, parts: Float[np.ndarray, "n"] | None
) -> dict[str, float]:
    """Return the ends of recall's 95 % intervals; NaN without replicates."""
    ends: dict[str, float] = {}
    for depth, replicates in zip(DEPTHS, recall_replicates(ranks, weights, parts=parts).T, strict=True):
        low, high = interval_if_drawn(replicates)[:2]
        ends |= {f"recall_at_{depth}_low": low, f"recall_at_{depth}_high": high}
    return ends


def _reports(images: Images, chosen: pd.DataFrame, texts: pd.DataFrame) -> list[str]:
    """Return the text of each image, joined by id through the image store.

    Raises:
        ValueError: the images are not rows of a store, the cohort's rows are others, or `cohort.align` objects.
    """
    store = images.reader
    if not isinstance(store, ImageStore):
        raise ValueError(  # noqa: TRY004  (one kind of error for all that does not belong together)
            f"texts are joined to the rows of an image store; found {type(store).__name__}"
        )
    if list(chosen["image_id"]) != list(images.ids):
        raise ValueError(f"{len(images)} images and {len(chosen)} cohort rows are not the same ids in the same order")
    aligned = align(store.image_ids, texts, n_images=len(store))
    return [str(text) for text in aligned["text"].to_numpy()[images.rows]]
