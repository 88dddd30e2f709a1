"""Who was imaged: the cohort table, labels, groups and splits, and the readers of what preprocessing writes.

The public names load on first use, so that `python run_train.py -h` does not wait for pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cohort.names import COLUMNS, FINDINGS, FRONTAL_VIEWS, VIEWS

if TYPE_CHECKING:
    from cohort.flow import Flow
    from cohort.groups import GroupSpec, assign, group_table, parse_groups
    from cohort.labels import apply_uncertainty, read_labels
    from cohort.splits import split_by_patient
    from cohort.store import ImageStore, open_images
    from cohort.table import read_cohort, validate, write_cohort
    from cohort.texts import align, read_texts

__all__ = [
    "COLUMNS",
    "FINDINGS",
    "FRONTAL_VIEWS",
    "VIEWS",
    "Flow",
    "GroupSpec",
    "ImageStore",
    "align",
    "apply_uncertainty",
    "assign",
    "group_table",
    "open_images",
    "parse_groups",
    "read_cohort",
    "read_labels",
    "read_texts",
    "split_by_patient",
    "validate",
    "write_cohort",
]

_HOMES = {
    "Flow": "flow",
    "GroupSpec": "groups",
    "ImageStore": "store",
    "align": "texts",
    "apply_uncertainty": "labels",
    "assign": "groups",
    "group_table": "groups",
    "open_images": "store",
    "parse_groups": "groups",
    "read_cohort": "table",
    "read_labels": "labels",
    "read_texts": "texts",
    "split_by_patient": "splits",
    "validate": "table",
    "write_cohort": "table",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cohort' has no attribute {name!r}")
    return getattr(import_module(f"cohort.{_HOMES[name]}"), name)
