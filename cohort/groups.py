"""Group specifications: "age:0,18,40,60,80,+", "sex", "race*sex" become a group name for every image.

A missing value is the group "unknown", which is not "Other". Age bins contain their lower edge and not their upper
one, and "+" leaves the last bin open at the top: with 0,18,+ a person of exactly 18 years is in "18+".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from cohort._csv import some
from common.plain_values import one_spelling

UNKNOWN = "unknown"
OUTSIDE = "outside"
"""Group of an age below the first edge, or above the last one when it is not followed by "+"."""

_COLUMNS = {"age": "age_years"}
_EXAMPLES = "'age:0,18,40,60,80,+', 'sex', 'race', 'race*sex'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One attribute of a group specification."""

    attribute: str
    """Word of the specification: "age", "sex", "race", "insurance", or any column of the cohort table."""
    edges: tuple[float, ...] = ()
    """Increasing edges of right-open bins, in the column's unit (years); empty for a column of names."""
    top_open: bool = False
    """Whether the last edge begins a bin without end ("+")."""

    @property
    def column(self) -> str:
        """Column of the cohort table."""
        return _COLUMNS.get(self.attribute, self.attribute)

    @property
    def bins(self) -> tuple[str, ...]:
        """Names of the bins from the lowest: ("0-18", "18-40", "40+")."""
        texts = [f"{edge:g}" for edge in self.edges]
        closed = tuple(f"{low}-{high}" for low, high in pairwise(texts))
        return (*closed, f"{texts[-1]}+") if self.top_open else closed


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """A partition of the cohort by one attribute or by the crossing of several."""

    name: str
    """Attributes joined by "*": "age", "race*sex". Names the column in result tables."""
    factors: tuple[Factor, ...]
    """At least one."""


def parse_groups(text: str) -> GroupSpec:
    """Return the group specification that `text` describes.

    >>> parse_groups("age:0,18,+*sex").name
    'age*sex'

    Raises:
        ValueError: An empty attribute, the same one twice, edges that are no increasing numbers, or a bare "age".
    """
    factors = tuple(_parse_factor(part.strip(), text) for part in text.split("*"))
    attributes = [factor.attribute for factor in factors]
    if len(set(attributes)) < len(attributes):
        raise ValueError(f"groups {text!r}: an attribute is there twice; examples: {_EXAMPLES}")
    return GroupSpec(name="*".join(attributes), factors=factors)


def _parse_factor(part: str, text: str) -> Factor:
    attribute, colon, tail = part.partition(":")
    attribute = attribute.strip()
    if not attribute:
        raise ValueError(f"groups {text!r}: an attribute is empty; examples: {_EXAMPLES}")
    if not colon:
        if attribute in _COLUMNS:
            raise ValueError(f"groups {text!r}: {attribute} needs edges; examples: {_EXAMPLES}")
        return Factor(attribute=attribute)
    words = [word.strip() for word in tail.split(",")]
    top_open = words[-1] == "+"
    try:
        edges = tuple(float(word) for word in (words[:-1] if top_open else words))
    except ValueError as error:
        raise ValueError(f"groups {text!r}: the edges {tail!r} are no numbers; examples: {_EXAMPLES}") from error
    increasing = all(low < high for low, high in pairwise(edges))
    if not increasing or not np.isfinite(edges).all() or len(edges) < (1 if top_open else 2):
        raise ValueError(f"groups {text!r}: wanted increasing edges, found {tail!r}; examples: {_EXAMPLES}")
    return Factor(attribute=attribute, edges=edges, top_open=top_open)


def assign(frame: pd.DataFrame, spec: GroupSpec) -> "pd.Series[str]":
    """Return the group name of every row of `frame`, under `frame`'s index.

    Names of a crossing are joined by " x ": "Black x F", "unknown x M".

    Raises:
        ValueError: The cohort table lacks a column of the specification.
    """
    parts = [_assign_factor(frame, factor) for factor in spec.factors]
    names = parts[0]
    for part in parts[1:]:
        names = names + " x " + part
    return names.rename(spec.name)


def _assign_factor(frame: pd.DataFrame, factor: Factor) -> pd.Series:
    if factor.column not in frame:
        raise ValueError(f"groups: the cohort table has no column {factor.column!r}; found {some(frame.columns, 30)}")
    values = frame[factor.column]
    if not factor.edges:
        names = one_spelling(values.astype("object").where(values.notna(), "").astype(str))
        return names.mask(names.eq(""), UNKNOWN)
    ages = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    place = np.searchsorted(np.asarray(factor.edges), ages, side="right") - 1
    # Below the first edge the place is -1 already, and the last label is OUTSIDE.
    labels = np.array([*factor.bins, OUTSIDE], dtype=object)
    names = pd.Series(labels[np.where(place < len(factor.bins), place, -1)], index=frame.index, dtype=str)
    return names.mask(np.isnan(ages), UNKNOWN)


def group_table(frame: pd.DataFrame, specs: Sequence[GroupSpec]) -> pd.DataFrame:
    """Return `image_id`, `subject_id` and one column of group names per specification: what the audit asks for."""
    columns = {spec.name: assign(frame, spec) for spec in specs}
    if len(columns) < len(specs):
        raise ValueError(f"groups: two specifications have the same name: {some(spec.name for spec in specs)}")
    return pd.DataFrame({"image_id": frame["image_id"], "subject_id": frame["subject_id"], **columns})
