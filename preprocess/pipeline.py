"""From an archive to the image store, the texts and the cohort table: what can fail fast comes first."""

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from atomic import write_whole
from cohort import FRONTAL_VIEWS, Flow, write_cohort
from preprocess.archives import read_archive
from preprocess.config import Outputs, PreprocessConfig
from preprocess.outputs import write_impressions, write_paths
from preprocess.pack import JobFailedError, PackSpec, available_workers, pack_images
from preprocess.reports import (
    NO_USABLE_TEXT,
    StudyText,
    TextRule,
    caption_rule,
    chexzero_rule,
    official_rule,
    text_of_report,
    texts_of_files,
)
from preprocess.selection import Selection

_MISSING = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run did."""

    n_listed: int
    """Images that the archive lists."""
    n_packed: int
    """Rows of the image store."""
    n_failed: int
    """Images that are there but could not be read."""
    seconds: float
    """Wall-clock time."""
    outputs: Outputs
    """The files written."""
    flow: Flow = field(repr=False)
    """Every exclusion, counted."""


def run(config: PreprocessConfig) -> Summary:
    """Write the image store and its tables, all of them or none.

    The order is: read the archive's tables, choose views, parse the reports, look for the image files, decode. An
    image that drops out keeps its line in the cohort table, with the reason, and has no row in the store.

    Raises:
        FileNotFoundError: Nothing where the settings point.
        ValueError: An archive that cannot be understood.
        JobFailedError: No image is left, or more than `max_failed_share` of them cannot be read.
        OSError: The disk is full or fails.
    """
    started = perf_counter()
    config = config.resolved()
    listed, flow = read_archive(config)
    selection = Selection(listed, flow)
    if config.has_texts:
        _choose_views(selection, config)
        _choose_texts(selection, config)
    _find_files(selection)
    _refuse_nothing(selection, config)
    n_failed = _write(selection, config)
    return Summary(
        n_listed=len(listed),
        n_packed=len(selection.kept),
        n_failed=n_failed,
        seconds=perf_counter() - started,
        outputs=config.outputs,
        flow=flow,
    )


def _choose_views(selection: Selection, config: PreprocessConfig) -> None:
    if config.views == "all":
        return
    views = selection.kept["view"]
    reasons = np.where(views.eq("UNKNOWN"), "view is unknown", np.where(views.isin(FRONTAL_VIEWS), "", "not frontal"))
    selection.leave_out(reasons.tolist(), rule="not frontal")


def _choose_texts(selection: Selection, config: PreprocessConfig) -> None:
    kept, rule = selection.kept, _text_rule(config)
    texts: list[StudyText]
    if config.dataset_type == "csv":
        texts = [text_of_report(report, rule) for report in kept["report"]]
        filenames = kept["image_id"].tolist()
    else:
        by_file = texts_of_files(kept["report_path"], rule)
        texts = [by_file[path] for path in kept["report_path"]]
        filenames = [Path(path).name for path in kept["report_path"]]
    selection.kept = kept.assign(
        filename=filenames, text=[text.text for text in texts], section_used=[text.section_used for text in texts]
    )
    if config.require_text:
        details = [text.detail for text in texts]
        selection.leave_out([text.reason for text in texts], rule=NO_USABLE_TEXT, details=details)
    else:
        n_without = sum(bool(text.reason) for text in texts)
        selection.flow.note(selection.kept, "without text, packed all the same", rows=n_without)


def _text_rule(config: PreprocessConfig) -> TextRule:
    if config.text_rule == "chexzero":
        return chexzero_rule(keep_no_impression=config.compat == "chexzero")
    return (caption_rule if config.dataset_type == "csv" else official_rule)(config.section)


def _find_files(selection: Selection) -> None:
    sizes = [_file_size(path) for path in selection.kept["path"]]
    selection.kept = selection.kept.assign(file_bytes=sizes)
    missing = ["image file is missing" if size == _MISSING else "" for size in sizes]
    selection.leave_out(missing, rule="image file is missing")


def _file_size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING


def _refuse_nothing(selection: Selection, config: PreprocessConfig) -> None:
    if selection.kept.empty:
        views = " With --views all, laterals and unknown views are kept." if config.views == "frontal" else ""
        raise JobFailedError(f"no image is left to pack.{views}\n{selection.flow}")


def _write(selection: Selection, config: PreprocessConfig) -> int:
    """Write all outputs under temporary names, then rename them together, the image store last."""
    paths, with_ids = config.outputs, config.compat != "chexzero"
    with ExitStack() as stack:
        n_failed = _pack(selection, stack.enter_context(write_whole(paths.images)), config)
        if config.has_texts:
            write_impressions(selection.kept, stack.enter_context(write_whole(paths.texts)), with_ids=with_ids)
        write_paths(selection.kept, stack.enter_context(write_whole(paths.paths)), with_ids=with_ids)
        write_cohort(selection.cohort(), stack.enter_context(write_whole(paths.cohort)))
        selection.flow.write(stack.enter_context(write_whole(paths.flow)))
    return n_failed


def _pack(selection: Selection, path: Path, config: PreprocessConfig) -> int:
    kept = selection.kept
    outcomes = pack_images(
        path,
        image_ids=kept["image_id"].tolist(),
        image_paths=kept["path"].tolist(),
        spec=PackSpec(
            resolution=config.resolution,
            dtype=config.dtype,
            sixteen_bit="high_byte" if config.compat == "chexzero" else "window",
            with_ids=config.compat != "chexzero",
        ),
        fingerprint=_fingerprint(kept),
        workers=available_workers() if config.workers == "auto" else config.workers,
        tolerated_failures=int(config.max_failed_share * len(kept)),
    )
    selection.leave_out(
        [failure.reason if failure else "" for failure in outcomes],
        rule="image cannot be read",
        details=[failure.detail if failure else "" for failure in outcomes],
        status="failed",
    )
    return sum(failure is not None for failure in outcomes)


def _fingerprint(kept: pd.DataFrame) -> str:
    """Return the sha256 of ids and file sizes in row order: equal wherever the archive lies."""
    digest = hashlib.sha256()
    for image_id, study_id, size in zip(kept["image_id"], kept["study_id"], kept["file_bytes"], strict=True):
        digest.update(f"{image_id}\t{study_id}\t{size}\n".encode())
    return digest.hexdigest()
