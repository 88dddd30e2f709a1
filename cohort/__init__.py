"""Who was imaged: the cohort table, labels, groups and splits, and the readers of what preprocessing writes.

The public names load on first use, so that `python run_train.py -h` does not wait for pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cohort.names import COLUMNS, FINDINGS, FRONTAL_VIEWS, VIEWS

if TYPE_CHECKING:
    from cohort.exposure import Exposure, check_exposure, image_hashes
    from cohort.flow import Flow
    from cohort.groups import GroupSpec, assign, group_table, parse_groups
    from cohort.labels import apply_uncertainty, read_labels
    from cohort.splits import split_by_patient
    from cohort.store import ImageStore, open_images
    from cohort.table import read_cohort, validate, write_cohort
    from cohort.texts import align, read_texts
    from cohort.trained_on import TRAINED_ON, read_trained_on, write_trained_on

__all__ = [
    "COLUMNS",
    "FINDINGS",
    "FRONTAL_VIEWS",
    "TRAINED_ON",
    "VIEWS",
    "Exposure",
    "Flow",
    "GroupSpec",
    "ImageStore",
    "align",
    "apply_uncertainty",
    "assign",
    "check_exposure",
    "group_table",
    "image_hashes",
    "open_images",
    "parse_groups",
    "read_cohort",
    "read_labels",
    "read_texts",
    "read_trained_on",
    "split_by_patient",
    "validate",
    "write_cohort",
    "write_trained_on",
]

_HOMES = {
    "TRAINED_ON": "trained_on",
    "Exposure": "exposure",
    "Flow": "flow",
    "GroupSpec": "groups",
    "ImageStore": "store",
    "align": "texts",
    "apply_uncertainty": "labels",
    "assign": "groups",
    "check_exposure": "exposure",
    "group_table": "groups",
    "image_hashes": "exposure",
    "open_images": "store",
    "parse_groups": "groups",
    "read_cohort": "table",
    "read_labels": "labels",
    "read_texts": "texts",
    "read_trained_on": "trained_on",
    "split_by_patient": "splits",
    "validate": "table",
    "write_cohort": "table",
    "write_trained_on": "trained_on",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cohort' has no attribute {name!r}")
    return getattr(import_module(f"cohort.{_HOMES[name]}"), name)
