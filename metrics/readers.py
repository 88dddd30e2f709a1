"""A model's decisions compared with those of several radiologists, by finding and on average, with paired intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Real

from metrics.auroc import one_class_reason
from metrics.evidence import mean_of, not_evaluable, too_few_for_interval
from metrics.rates import confusion
from metrics.resampling import Interval, ReplicateWeights, percentile_interval, unit_weights
from metrics.share_intervals import enough_patients

Measure = Literal["mcc", "f1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number and its interval over resampled patients."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderComparison:
    """The model and the average reader, for one finding or for the mean over findings."""

    n: int
    """Labelled images that at least one reader read; for the mean, image-finding pairs"""
    n_pos: int
    """Those of them with the finding"""
    model: Estimate
    """Mean over readers of the model on the images that the reader read; the plain model if all read all"""
    readers: Estimate
    """Mean over readers"""
    difference: Estimate
    """Model minus readers, subtracted within each replicate; positive if the model is better"""
    by_reader: tuple[float, ...]
    """The value of each reader"""
    reason: str
    """Why it is not evaluable or has no interval, "" if it has; for the mean, the findings that it averages"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStudy:
    """The result of `compare_with_readers`."""

    measure: Measure
    """What was compared"""
    by_finding: dict[str, ReaderComparison]
    """In the order of the findings"""
    mean: ReaderComparison
    """Mean over the evaluable findings, taken within each replicate"""


def compare_with_readers(
    labels: Real[np.ndarray, "n c"],
    decisions: Bool[np.ndarray, "n c"],
    readers: Real[np.ndarray, "q n c"],
    weights: ReplicateWeights,
    *,
    findings: Sequence[str],
    measure: Measure = "mcc",
) -> ReaderStudy:
    """Compare the model at its thresholds with the mean of q readers, finding by finding and on average.

        model_c      = mean over readers of M(labels, decisions), on the images that the reader read
        readers_c    = mean over readers of M(labels, reader), on the same images
        difference_c = model_c - readers_c

    A finding is not evaluable if it has no positives, or if M is undefined for the model or for one reader: a mean over
    fewer readers could not be compared with the other findings. With too few patients (`too_few_for_interval`) it has
    no intervals, and is not in the mean. Patients are resampled and readers are not, so the
    intervals hold for these readers, not for radiologists in general.

    Args:
        labels: the reference standard, 1, 0, or NaN if there is none; it must not come from one of these readers.
        decisions: the model's, at thresholds chosen on other images (see `fit_thresholds`).
        readers: 1, 0, or NaN if a reader did not read the image.
        weights: resampled patients of the same n images; use the same weights to compare two models.
        findings: the names of the columns. All enter the mean: leave out those of `evidence.NOT_IN_MEAN`.
        measure: `Confusion.mcc` or `Confusion.f1`.

    Raises:
        ValueError: names or weights that do not fit the arrays, or a value that is not 0 or 1.

    Source: Tiu et al., Nat. Biomed. Eng. 2022 (CheXzero), comparison with three radiologists.
    """
    _check(labels, decisions, readers, weights, findings)
    columns = [(labels[:, c], decisions[:, c], readers[:, :, c]) for c in range(len(findings))]

    # The estimate by reader, and the replicates already averaged over readers. The first axis is the finding.
    once = unit_weights(len(labels))
    points = np.stack([_measured(*column, once, measure)[:, :, 0] for column in columns])  # (c 2 q)
    draws = np.stack([_measured(*column, weights, measure).mean(axis=1) for column in columns])  # (c 2 r)

    # Images with a label that at least one reader read.
    seen = ~np.isnan(labels) & ~np.isnan(readers).all(axis=0)
    n, n_pos = seen.sum(axis=0), (seen & (labels == 1)).sum(axis=0)
    reasons = [_reason(labels[:, c], readers[:, :, c], points[c]) for c in range(len(findings))]
    patients = [len(np.unique(weights.unit[column])) for column in seen.T]
    reasons = [reason or too_few_for_interval(few) for reason, few in zip(reasons, patients, strict=True)]
    by_finding = {
        finding: _comparison(points[c], draws[c], (int(n[c]), int(n_pos[c]), patients[c]), reasons[c])
        for c, finding in enumerate(findings)
    }

    # The mean over the evaluable findings keeps the readers apart, so that its `by_reader` is theirs.
    chosen = np.array([reason == "" for reason in reasons])
    if chosen.any():
        named = mean_of(np.array(findings)[chosen].tolist())
        pooled = points[chosen].mean(axis=0), draws[chosen].mean(axis=0)
    else:
        named = not_evaluable("no finding is")
        pooled = np.full_like(points[0], np.nan), np.full_like(draws[0], np.nan)

    fewest = min((few for few, used in zip(patients, chosen, strict=True) if used), default=0)
    mean = _comparison(*pooled, (int(n[chosen].sum()), int(n_pos[chosen].sum()), fewest), named)
    return ReaderStudy(measure=measure, by_finding=by_finding, mean=mean)


def _measured(
    y: Real[np.ndarray, "n"],
    decisions: Bool[np.ndarray, "n"],
    readers: Real[np.ndarray, "q n"],
    weights: ReplicateWeights,
    measure: Measure,
) -> Float[np.ndarray, "2 q r"]:
    """Return the measure of the model and of each reader, in each replicate, on the images that the reader read."""
    values = np.empty((2, len(readers), weights.n_replicates))
    for q, reader in enumerate(readers):
        read = ~np.isnan(y) & ~np.isnan(reader)
        drawn, everybody = weights.rows(read), np.zeros(int(read.sum()), dtype=np.int64)
        for side, called in enumerate((decisions, reader == 1)):
            counts = confusion(y[read], called[read], everybody, 1, drawn)
            value = counts.mcc() if measure == "mcc" else counts.f1()
            # Without positives F1 is 0 whatever was decided, so it measures nothing.
            values[side, q] = np.where(counts.true_positives + counts.false_negatives > 0, value, np.nan)[:, 0]
    return values


def _comparison(
    points: Float[np.ndarray, "2 q"], draws: Float[np.ndarray, "2 r"], evidence: tuple[int, int, int], reason: str
) -> ReaderComparison:
    """Return the comparison from values by reader, and replicates already averaged over readers.

    `evidence` is images, positive images, and patients.
    """
    n, n_pos, patients = evidence
    model, readers = points.mean(axis=1)
    of_model, of_readers, of_difference = (
        enough_patients(percentile_interval(replicates), patients) for replicates in (*draws, draws[0] - draws[1])
    )
    return ReaderComparison(
        n=n,
        n_pos=n_pos,
        model=Estimate(value=float(model), interval=of_model),
        readers=Estimate(value=float(readers), interval=of_readers),
        difference=Estimate(value=float(model - readers), interval=of_difference),
        by_reader=tuple(points[1].tolist()),
        reason=reason,
    )


def _reason(y: Real[np.ndarray, "n"], readers: Real[np.ndarray, "q n"], points: Float[np.ndarray, "2 q"]) -> str:
    """Return why the first undefined value of a finding is undefined; readers are counted from 1."""
    undefined = np.argwhere(np.isnan(points.T))
    if not len(undefined):
        return ""
    q, side = undefined[0]
    read = ~np.isnan(y) & ~np.isnan(readers[q])
    if not read.any():
        return not_evaluable(f"reader {q + 1} read no labelled image")
    one_class = one_class_reason(y[read])
    if one_class:
        return not_evaluable(f"{one_class} among the images of reader {q + 1}")
    return not_evaluable(f"{'the model' if side == 0 else f'reader {q + 1}'} decided the same for all images")


def _check(
    labels: Real[np.ndarray, "n c"],
    decisions: Bool[np.ndarray, "n c"],
    readers: Real[np.ndarray, "q n c"],
    weights: ReplicateWeights,
    findings: Sequence[str],
) -> None:
    shape = (weights.n_images, len(set(findings)))
    if not labels.shape == decisions.shape == readers.shape[1:] == shape or len(findings) != shape[1]:
        raise ValueError(
            f"labels {labels.shape}, decisions {decisions.shape}, readers {readers.shape}, weights for "
            f"{weights.n_images} images and findings {list(findings)} do not fit"
        )
    if len(readers) == 0:
        raise ValueError("a comparison needs at least one reader; found none")
    for what, array in (("labels", labels), ("readers' decisions", readers)):
        odd = array[~np.isnan(array) & ~np.isin(array, (0, 1))]
        if odd.size:
            raise ValueError(f"{what} must be 0, 1 or NaN; found {odd[0]:g} and {odd.size - 1} more that are not")
