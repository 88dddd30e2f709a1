"""Probes of understanding: of two sentences that differ in one word, does the true one match the film better?

The score of a question is the mean of two shares: among the films for which the first sentence is true, those that
prefer it; among the films for which the second is true, those that prefer that one. A tie counts half. A model that
ignores the film therefore scores exactly 0.5, however rare the finding is. A zero-shot AUROC can be 1 where this score
is 0.5: the AUROC compares films with each other, the probe compares sentences on one film.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

import metrics
import models
from metrics.evidence import (
    MEAN,
    MIN_N,
    MIN_PATIENTS,
    EvidenceRule,
    evidence_status,
    mean_of,
    not_evaluable,
)
from metrics.resampling import interval_if_drawn, mean_replicates
from zero_shot.features import image_features, phrase_features
from zero_shot.images import Images
from zero_shot.probing.minimal_pairs import Probe

CHANCE = 0.5
COLUMNS = (
    "probe",
    "task",
    "question",
    "first",
    "second",
    "n_first",
    "n_second",
    "patients",
    "right_on_first",
    "right_on_second",
    "score",
    "low",
    "high",
    "chance",
    "status",
    "reason",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """How intervals are made, and how many films a question needs."""

    n_replicates: int = 1000
    """Resamples of patients; 0: no intervals"""
    seed: int = 0
    """Seed of the resampling"""
    min_n: int = MIN_N
    """Films for each sentence below which a question is `small`: shown, but not in the mean"""
    min_patients: int = MIN_PATIENTS
    """Patients for each sentence, likewise"""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionImages:
    """Films for which one sentence of a question is true and the other is not."""

    is_first: Bool[np.ndarray, "n"]
    """The first sentence is true"""
    is_second: Bool[np.ndarray, "n"]
    """The second sentence is true"""


def ask(
    bundle: models.Bundle,
    images: Images,
    probes: Sequence[Probe],
    truth: pd.DataFrame,
    subject_ids: Sequence[str],
    *,
    batch_size: int = 64,
    bootstrap: Bootstrap | None = None,
) -> pd.DataFrame:
    """Return the scores of several probes; every image is encoded once.

    Args:
        bundle: the model, on the device to run on.
        images: the films, in the order of `truth`.
        probes: as from `load_probe`.
        truth: image_id and the columns of the probes' questions, in {1, 0, NaN}; a film with NaN is left out.
        subject_ids: patient of every film.
        batch_size: images per forward pass.
        bootstrap: how intervals are made.

    Returns:
        See `probe_table`.

    Raises:
        ValueError: ids that differ, a column that is missing, or as `image_features` and `phrase_features`.
    """
    # which films each question is about; refused before the images are encoded
    wanted = [(probe, films_of_questions(probe, truth, images.ids)) for probe in probes]
    encoded = image_features(bundle, images, batch_size=batch_size)  # (n, d)

    tables = []
    for probe, films in wanted:
        right = {
            name: is_right(preference(encoded, first - second), films[name])
            for name, (first, second) in sentence_features(bundle, probe).items()
        }
        tables.append(probe_table(probe, right, films, subject_ids, task="choose the sentence", bootstrap=bootstrap))
    return pd.concat(tables, ignore_index=True)


def films_of_questions(probe: Probe, truth: pd.DataFrame, image_ids: Sequence[str]) -> dict[str, QuestionImages]:
    """Return for each question the films for which its first and its second sentence are true.

    Raises:
        ValueError: the truth is of other images or in another order, lacks a column, or holds other values.
    """
    if list(truth["image_id"]) != list(image_ids):
        raise ValueError(f"{len(image_ids)} images and {len(truth)} rows of truth are not the same ids in one order")

    columns = list(dict.fromkeys(column for question in probe.questions.values() for column in question.columns))
    missing = [column for column in columns if column not in truth]
    if missing:
        raise ValueError(
            f"the probe {probe.name!r} asks about {', '.join(missing)}, which are not columns of the truth: ask "
            "fewer questions (`Probe.select`) or give another truth"
        )
    values = truth[columns].astype("float64")
    odd = [column for column in columns if not values[column].dropna().isin([0, 1]).all()]
    if odd:
        raise ValueError(f"the truth of {', '.join(odd)} must be 1, 0 or NaN: choose an uncertainty policy")

    def meets(condition: Mapping[str, int]) -> Bool[np.ndarray, "n"]:
        flags: Bool[np.ndarray, "n"] = np.all([values[name].eq(value) for name, value in condition.items()], axis=0)
        return flags

    films = {}
    for name, question in probe.questions.items():
        films[name] = QuestionImages(is_first=meets(question.first_if), is_second=meets(question.second_if))
        both = [image_ids[k] for k in np.flatnonzero(films[name].is_first & films[name].is_second).tolist()]
        if both:
            raise ValueError(
                f"{probe.name!r}, {name!r}: both sentences would be true for {len(both)} films, first {both[0]}: the "
                f"truth says {dict(question.first_if)} and {dict(question.second_if)}; set one of them to NaN"
            )
    return films


def sentence_features(
    bundle: models.Bundle, probe: Probe
) -> dict[str, tuple[Float[Tensor, "k d"], Float[Tensor, "k d"]]]:
    """Return for each question the L2-normalised features of its k first and its k second sentences."""
    firsts = [[pair.first for pair in question.pairs] for question in probe.questions.values()]
    seconds = [[pair.second for pair in question.pairs] for question in probe.questions.values()]
    encoded, rows = phrase_features(bundle, [*firsts, *seconds])
    of_first, of_second = rows[: len(firsts)], rows[len(firsts) :]
    return {
        name: (encoded[first], encoded[second])
        for name, first, second in zip(probe.questions, of_first, of_second, strict=True)
    }


def preference(images: Float[Tensor, "n d"], towards: Float[Tensor, "k d"]) -> Float[np.ndarray, "n k"]:
    """Return the sign of `images @ towards.T`: with first minus second, 1 where the first sentence matches better.

    The difference is taken before the product, so that sentences with the same feature tie exactly.
    """
    signs: Float[np.ndarray, "n k"] = torch.sign(images @ towards.T).double().numpy()
    return signs


def is_right(preferred: Float[np.ndarray, "n k"], films: QuestionImages) -> Float[np.ndarray, "n k"]:
    """Return 1 where a film prefers its true sentence, 0 where the other, 0.5 for a tie; NaN if neither is true."""
    truth = np.where(films.is_first, 1.0, np.where(films.is_second, -1.0, np.nan))
    right: Float[np.ndarray, "n k"] = (1 + preferred * truth[:, None]) / 2
    return right


def probe_table(
    probe: Probe,
    right: Mapping[str, Float[np.ndarray, "n k"]],
    films: Mapping[str, QuestionImages],
    subject_ids: Sequence[str],
    *,
    task: str,
    bootstrap: Bootstrap | None = None,
) -> pd.DataFrame:
    """Return one row per question, one per pair of its sentences, and the mean over questions with status `ok`.

    `score = (right_on_first + right_on_second) / 2`, see this module's first lines, with a 95 % percentile interval
    from one draw of patients. A question's own row, in which `first` and `second` are blank, gives each film the mean
    of its pairs. `status` is `ok`, `small`, `sparse` (no interval) or `undefined` (no score), and `reason` says why.

    Args:
        probe: the questions.
        right: question -> what `is_right` returned for its k pairs.
        films: question -> the films for which its sentences are true.
        subject_ids: patient of every film.
        task: name of the task in the table.
        bootstrap: how intervals are made.
    """
    settings = bootstrap or Bootstrap()
    subjects = np.asarray(subject_ids, dtype=str)

    # a line per question and per pair of sentences, each with two columns: films for the first sentence, and the second
    lines, values = [], []
    for name, question in probe.questions.items():
        texts = [("", ""), *((pair.first, pair.second) for pair in question.pairs)]
        for (first, second), own in zip(texts, [right[name].mean(axis=1), *right[name].T], strict=True):
            lines.append({"probe": probe.name, "task": task, "question": name, "first": first, "second": second})
            values += [np.where(flags, own, np.nan) for flags in (films[name].is_first, films[name].is_second)]

    # the shares on all films and in every replicate of one draw of patients: (1 + r, lines)
    draws = [metrics.unit_weights(len(subjects))]
    if settings.n_replicates:
        rng = np.random.default_rng(settings.seed)
        draws.append(metrics.patient_weights(subjects, settings.n_replicates, rng))
    shares = np.concatenate([mean_replicates(np.stack(values, axis=1), weights) for weights in draws])
    on_first, on_second = shares[:, ::2], shares[:, 1::2]
    scores = (on_first + on_second) / 2

    rows = [
        line
        | {"right_on_first": on_first[0, k], "right_on_second": on_second[0, k]}
        | _score_row(scores[:, k], films[str(line["question"])], subjects, settings)
        for k, line in enumerate(lines)
    ]
    rows.append({"probe": probe.name, "task": task, "question": MEAN} | _mean(rows, scores))
    table = pd.DataFrame(rows, columns=list(COLUMNS)).assign(chance=CHANCE)
    return table.astype(dict.fromkeys(("n_first", "n_second", "patients"), "Int64")).fillna({"first": "", "second": ""})


def _score_row(
    scores: Float[np.ndarray, "r"], films: QuestionImages, subjects: np.ndarray, settings: Bootstrap
) -> dict[str, Any]:
    """Return a question's counts, its score with interval, and its status."""
    kinds = {"the first": films.is_first, "the second": films.is_second}
    n_first, n_second = (int(flags.sum()) for flags in kinds.values())
    patients = len(set(subjects[films.is_first | films.is_second]))
    row: dict[str, Any] = {"n_first": n_first, "n_second": n_second, "patients": patients, "score": scores[0]}
    nobody = [f"no film of which {which} sentence is true" for which, flags in kinds.items() if not flags.any()]
    if nobody:
        return row | {"status": "undefined", "reason": not_evaluable(" and ".join(nobody))}

    rule = EvidenceRule(min_n=settings.min_n, min_patients=settings.min_patients)
    few = [
        reason
        for which, flags in kinds.items()
        for reason in rule.shortfalls(
            images={f"films of which {which} sentence is true": int(flags.sum())},
            patients={f"patients of which {which} sentence is true": len(set(subjects[flags]))},
        )
    ]
    low, high, _, sparse = interval_if_drawn(scores[1:])
    status, reason = evidence_status(few, sparse), "; ".join(filter(None, [sparse, *few]))
    return row | {"low": low, "high": high, "status": status, "reason": reason}


def _mean(rows: Sequence[dict[str, Any]], scores: Float[np.ndarray, "r k"]) -> dict[str, Any]:
    """Average the questions that are `ok`, in the estimate and within every replicate."""
    chosen = [k for k, row in enumerate(rows) if row["status"] == "ok" and not row["first"]]
    if not chosen:
        return {"status": "undefined", "reason": not_evaluable("no question has status ok")}

    means = scores[:, chosen].mean(axis=1)
    low, high, _, sparse = interval_if_drawn(means[1:])
    names = mean_of([rows[k]["question"] for k in chosen], "questions")
    row = {"score": means[0], "low": low, "high": high, "status": evidence_status([], sparse)}
    shares = {
        share: float(np.mean([rows[k][share] for k in chosen])) for share in ("right_on_first", "right_on_second")
    }
    return row | shares | {"reason": "; ".join(filter(None, [sparse, names]))}
