"""Hashes by which specifications and labels are recognised."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd


def hash_of(evaluation: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a specification's `evaluation` block, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(evaluation, sort_keys=True, allow_nan=False).encode()).hexdigest()


def labels_fingerprint(truth: pd.DataFrame) -> str:
    """Return the SHA-256 of a table of labels as it would be written."""
    return hashlib.sha256(truth.to_csv(index=False).encode()).hexdigest()
