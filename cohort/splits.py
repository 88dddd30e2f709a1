"""Splits by patient: all images of one person fall on one side."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from common.plain_values import comparable_ids


def split_by_patient(
    subject_ids: Sequence[str] | pd.Series, *, fractions: Mapping[str, float], seed: int
) -> "pd.Series[str]":
    """Return a split name for every row; no patient is in two splits.

    The sorted patients are shuffled by `seed` and cut at the cumulated fractions, so the result depends on the set of
    patients, not on the order or number of their rows.

    Args:
        subject_ids: Patient of each image, (n,).
        fractions: Split name to share of patients, e.g. {"train": 0.7, "validate": 0.1, "test": 0.2}; sums to 1.
        seed: Of the shuffle.

    Returns:
        Split names with the index of `subject_ids`.

    Raises:
        ValueError: Fractions that are not positive or do not sum to 1, blank patients, or a split left without any.
    """
    if not fractions or min(fractions.values()) <= 0 or not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-9):
        raise ValueError(f"split fractions: wanted positive shares that sum to 1, found {dict(fractions)}")
    subjects = pd.Series(subject_ids, dtype=str)
    if (subjects.isna() | subjects.str.strip().eq("")).any():
        raise ValueError("split by patient: some images have no subject_id; leave them out first, and count them")
    # "13" and "13.0" are one patient, who goes by the first spelling.
    keys = comparable_ids(subjects)
    subjects = keys.map(dict(zip(keys[::-1], subjects[::-1], strict=True))).astype(str)
    patients = np.sort(subjects.unique().astype(str))
    shuffled = np.random.default_rng(seed).permutation(patients)
    ends = np.rint(np.cumsum(list(fractions.values())) * len(patients)).astype(int)
    sizes = np.diff(ends, prepend=0)
    if sizes.min() == 0:
        counts = dict(zip(fractions, sizes.tolist(), strict=True))
        raise ValueError(f"split by patient: {len(patients)} patients are too few for {dict(fractions)}: {counts}")
    names = np.repeat(list(fractions), sizes)
    return subjects.map(dict(zip(shuffled, names, strict=True))).rename("split")
