"""An archive read by its name: the door to every reader of `cohort.sources.READERS`."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from cohort._csv import some
from cohort.flow import Flow
from cohort.sources import READERS
from cohort.sources.mimic_layout import MimicLayout


def read_archive(name: str, root: Path | str | MimicLayout, **options: Any) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of an archive, one row per image, and the flow of what its reader left out.

    Args:
        name: One of `READERS`, or the archive's word in the cohort's column `dataset` ("mimic-cxr-jpg").
        root: Folder of the archive; for "csv" the table; for MIMIC-CXR also the layout of its parts.
        options: Options of that reader. All have `check_files`: leave out images whose file is missing.

    Raises:
        ValueError: No such archive; or a table that is not the archive's.
        FileNotFoundError: The archive is not there; the message says what was looked for and where to get it.
    """
    found = [reader for known, reader in READERS.items() if name in (known, reader.dataset)]
    if not found:
        raise ValueError(f"archive: wanted one of {some(READERS, len(READERS))}, found {name!r}")
    module, _, function = found[0].function.partition(":")
    frame, flow = getattr(import_module(f"cohort.sources.{module}"), function)(root, **options)
    return frame, flow
