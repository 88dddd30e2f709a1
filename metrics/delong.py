"""Standard errors of AUROCs without resampling: DeLong for independent images, Obuchowski for several per patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped
from scipy.special import ndtr, ndtri

from metrics.auroc import checked, one_class_reason
from metrics.resampling import patient_numbers


def auroc_covariance(
    y: Shaped[np.ndarray, "n"],
    scores: Real[np.ndarray, "n k"],
    *,
    subject_ids: Sequence[Any] | np.ndarray | None = None,
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k k"]]:
    """Return the AUROCs Â of k models on the same images, and the covariance matrix of these estimates.

        V10(i) = mean_j ([x_i > y_j] + ½[x_i = y_j]) of positive i,  V01(j) the same mean over positives, of negative j
        without patients:  cov = S10 / m + S01 / n,  S10 and S01 the covariance matrices of V10 and V01
        with patients:     cov = S10 / M + S01 / N + (S11 + S11ᵀ) / (M N)
            S10 = I10 / ((I10 - 1) M) Σ_k a_k a_kᵀ,  a_k = sum of V10 over the patient's M_k positives - M_k Â
            S01 = I01 / ((I01 - 1) N) Σ_k b_k b_kᵀ,  b_k likewise over the patient's N_k negatives
            S11 = I / (I - 1) Σ_k a_k b_kᵀ

    where I10, I01 and I patients have positives, negatives, either. With one image per patient both formulas agree.
    Sorting and binary search replace the loop over all pairs: O(n log n) per model.

    Args:
        y: labels, 0 or 1.
        scores: one column per model.
        subject_ids: patient of each image; None treats images as independent.

    Returns:
        NaN for the AUROCs if a class is absent, and for the covariance if a class has fewer than two patients (or
        images, without patients).

    Raises:
        ValueError: labels other than 0 and 1, NaN scores, lengths that differ, a missing patient.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988; Sun & Xu, IEEE Signal Process. Lett. 2014 (sorting);
    Obuchowski, Biometrics 1997 (clusters).
    """
    components = _components(y, scores, subject_ids)
    return components.auroc, components.covariance(np.eye(scores.shape[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeLongTest:
    """The difference of two AUROCs on the same images, and its normal test."""

    first: float
    """AUROC of the first model"""
    second: float
    difference: float
    """first - second"""
    error: float
    """Standard error of the difference"""
    low: float
    high: float
    z: float
    """difference / error"""
    p: float
    """Two-sided"""
    reason: str
    """Why there is no test, e.g. "no positives"; "" if there is one"""


def compare_delong(
    y: Shaped[np.ndarray, "n"],
    first: Real[np.ndarray, "n"],
    second: Real[np.ndarray, "n"],
    *,
    subject_ids: Sequence[Any] | np.ndarray | None = None,
    level: float = 0.95,
) -> DeLongTest:
    """Return the two AUROCs, their difference, its standard error, normal interval and two-sided z test.

    The error is computed from the differences of the models' components. Two models that rank all pairs alike thus have
    an error of exactly zero. There is then nothing to test, and `reason` says so.

    Args:
        y: labels, 0 or 1.
        first: scores of the first model.
        second: scores of the second model for the same images.
        subject_ids: patient of each image (Obuchowski's variance); None treats images as independent (DeLong's).
        level: of the interval.

    Raises:
        ValueError: labels other than 0 and 1, NaN scores, lengths that differ, a missing patient.

    Source: as `auroc_covariance`.
    """
    components = _components(y, np.stack([first, second], axis=1), subject_ids)
    difference = float(components.auroc[0] - components.auroc[1])
    error = float(np.sqrt(components.covariance(np.array([[1.0, -1.0]]))[0, 0]))

    # Why there is no test, if there is none.
    tested: dict[str, Any] = dict.fromkeys(("low", "high", "z", "p"), float("nan"))
    reason = one_class_reason(y)
    if not reason and np.isnan(error):
        reason = f"fewer than two {'images' if subject_ids is None else 'patients'} in a class"
    if not reason and error == 0:
        reason = "the models differ in no pair, or in every pair alike: the difference has no spread"

    if not reason:
        reach, z = float(ndtri((1 + level) / 2)) * error, difference / error
        tested = {"low": difference - reach, "high": difference + reach, "z": z, "p": float(2 * ndtr(-abs(z)))}

    return DeLongTest(
        first=float(components.auroc[0]),
        second=float(components.auroc[1]),
        difference=difference,
        error=error,
        reason=reason,
        **tested,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Components:
    """What each image contributes to the AUROCs, minus its expectation, summed by patient."""

    auroc: Float[np.ndarray, "k"]
    positives: Float[np.ndarray, "p k"]
    """a_k: sum of V10 over the patient's positives minus their number times Â"""
    negatives: Float[np.ndarray, "p k"]
    """b_k: likewise with V01 over the negatives"""
    has_positives: Bool[np.ndarray, "p"]
    has_negatives: Bool[np.ndarray, "p"]
    counts: tuple[int, int]
    """Images with positive and with negative labels"""

    def covariance(self, contrasts: Float[np.ndarray, "c k"]) -> Float[np.ndarray, "c c"]:
        """Return the covariance matrix of linear combinations of the AUROCs, NaN with fewer than two patients.

        The names are those of the formula in `auroc_covariance`.
        """
        i10, i01, both = int(self.has_positives.sum()), int(self.has_negatives.sum()), len(self.has_positives)
        (m, n), c = self.counts, len(contrasts)
        if min(i10, i01) < 2:
            return np.full((c, c), np.nan)

        a, b = self.positives @ contrasts.T, self.negatives @ contrasts.T  # (p k) @ (k c) -> (p c)
        s10 = i10 / (i10 - 1) / m * (a.T @ a)
        s01 = i01 / (i01 - 1) / n * (b.T @ b)
        s11 = both / (both - 1) * (a.T @ b)  # a patient with both classes ties the two together
        covariance: Float[np.ndarray, "c c"] = s10 / m + s01 / n + (s11 + s11.T) / (m * n)
        return covariance


def _components(
    y: Shaped[np.ndarray, "n"], scores: Real[np.ndarray, "n k"], subject_ids: Sequence[Any] | np.ndarray | None
) -> _Components:
    """Compute what each image contributes, model by model, and sum it by patient."""
    k = scores.shape[1]
    columns = [checked(y, column) for column in scores.T]
    positive = columns[0][0] if columns else y.astype(bool)
    patient, n_patients = (np.arange(len(y)), len(y)) if subject_ids is None else patient_numbers(subject_ids)
    if len(patient) != len(y):
        raise ValueError(f"{len(y)} labels and {len(patient)} patients: lengths differ")

    m, n = int(positive.sum()), int((~positive).sum())
    auroc, sums = np.full(k, np.nan), np.zeros((2, n_patients, k))
    for model in range(k if m and n else 0):
        s = columns[model][1]
        x, z = s[positive], s[~positive]
        # Each positive's share of negatives below it, and each negative's share of positives above it.
        v10, v01 = _wins(x, z) / n, 1 - _wins(z, x) / m  # (m,), (n,)
        auroc[model] = v10.mean()
        sums[0, :, model] = np.bincount(patient[positive], v10 - auroc[model], n_patients)
        sums[1, :, model] = np.bincount(patient[~positive], v01 - auroc[model], n_patients)

    return _Components(
        auroc=auroc,
        positives=sums[0],
        negatives=sums[1],
        has_positives=np.bincount(patient[positive], minlength=n_patients) > 0,
        has_negatives=np.bincount(patient[~positive], minlength=n_patients) > 0,
        counts=(m, n),
    )


def _wins(own: Real[np.ndarray, "m"], others: Real[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """Return how many of the others each score exceeds; equal scores count half."""
    ranked = np.sort(others)
    below: Float[np.ndarray, "m"] = (np.searchsorted(ranked, own, "left") + np.searchsorted(ranked, own, "right")) / 2
    return below
