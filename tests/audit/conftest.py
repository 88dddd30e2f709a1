"""A cohort whose every metric is known in closed form."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Scores s = mu y + delta_g y + shift_g + u_patient + e; with it the truth that the audit has to find."""

    predictions: pd.DataFrame
    truth: pd.DataFrame
    groups: pd.DataFrame
    findings: list[str]
    mu: float
    delta: dict[str, float]
    shift: dict[str, float]
    sigma: float

    def auroc(self, group: str) -> float:
        return float(norm.cdf((self.mu + self.delta.get(group, 0.0)) / (np.sqrt(2) * self.sigma)))

    def tpr(self, group: str, threshold: float) -> float:
        moved = threshold - self.mu - self.delta.get(group, 0.0) - self.shift.get(group, 0.0)
        return float(1 - norm.cdf(moved / self.sigma))

    def fpr(self, group: str, threshold: float) -> float:
        return float(1 - norm.cdf((threshold - self.shift.get(group, 0.0)) / self.sigma))


def _make(
    *,
    seed: int = 0,
    patients: int = 200,
    findings: int = 3,
    prevalence: float = 0.25,
    mu: float = 1.4,
    delta: dict[str, float] | None = None,
    shift: dict[str, float] | None = None,
    sigma_patient: float = 0.6,
    sigma_image: float = 0.8,
    images: int = 3,
) -> Cohort:
    rng = np.random.default_rng(seed)
    delta, shift = delta or {}, shift or {}
    subject = np.repeat(np.arange(patients), rng.integers(1, images + 1, patients))
    n = len(subject)
    sex = rng.choice(["F", "M"], patients)[subject]
    age = rng.choice(["0-18", "18-40", "40-80", "80+"], patients, p=[0.1, 0.3, 0.4, 0.2])[subject]
    names = [f"finding {i}" for i in range(findings)]
    y = (rng.random((n, findings)) < prevalence).astype(float)
    by_sex = {group: np.array([planted.get(s, 0.0) for s in sex]) for group, planted in (("d", delta), ("s", shift))}
    noise = sigma_patient * rng.normal(size=(patients, findings))[subject] + sigma_image * rng.normal(size=y.shape)
    scores = (mu + by_sex["d"][:, None]) * y + by_sex["s"][:, None] + noise
    ids = [f"image-{i:05d}" for i in range(n)]

    def frame(values: np.ndarray) -> pd.DataFrame:
        return pd.concat([pd.DataFrame({"image_id": ids}), pd.DataFrame(values, columns=names)], axis=1)

    return Cohort(
        predictions=frame(scores),
        truth=frame(y),
        groups=pd.DataFrame({"image_id": ids, "subject_id": subject.astype(str), "sex": sex, "age": age}),
        findings=names,
        mu=mu,
        delta=delta,
        shift=shift,
        sigma=float(np.hypot(sigma_patient, sigma_image)),
    )


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    return _make
