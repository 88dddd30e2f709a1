"""Scores whose miscalibration is known."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit, logit

from metrics import ReplicateWeights, patient_weights


def _sample(
    seed: int, n: int = 400, shift: float = 0.0, slope: float = 1.0, patients: int | None = None
) -> tuple[np.ndarray, np.ndarray, ReplicateWeights]:
    rng = np.random.default_rng(seed)
    s = expit(rng.normal(size=n) * 1.2 - 1)
    y = (rng.random(n) < expit(shift + slope * logit(s))).astype(int)
    return y, s, patient_weights(rng.integers(0, patients or n // 4, n), 30, rng)


@pytest.fixture(scope="session")
def sample() -> Callable[..., tuple[np.ndarray, np.ndarray, ReplicateWeights]]:
    """Return labels, scores whose log-odds are wrong by a shift and a slope, and a draw of their patients."""
    return _sample
