"""From an archive to the image store, the texts and the cohort table: what can fail fast comes first."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from cohort import FRONTAL_VIEWS, Flow, write_cohort
from common.atomic import write_csv, write_whole
from preprocess.archives import find_archive, list_images
from preprocess.contact_sheet import write_contact_sheet
from preprocess.output_tables import write_impressions, write_paths
from preprocess.packing.block import JobFailedError, PackSpec
from preprocess.packing.engines import Engine, available_workers, in_processes, in_this_process, on_cluster
from preprocess.packing.journal import ImageToPack
from preprocess.packing.pack import NewStore, pack_images
from preprocess.preprocess_config import Outputs, PreprocessConfig
from preprocess.selection import Selection
from preprocess.source_files import MISSING, UNLISTED, look_up, unlisted
from preprocess.text.edits import TextEdits
from preprocess.text.report_files import (
    NO_USABLE_TEXT,
    StudyText,
    TextRule,
    caption_rule,
    chexzero_rule,
    note_fallbacks,
    report_rule,
    text_of_report,
    texts_of_files,
)
from preprocess.text.sections import split_any_layout, split_sections
from preprocess.text.text_statistics import text_statistics
from preprocess.written_by import Settings, deciding_settings, record, refuse_other_settings

_CONTACT_SHEET_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run did."""

    n_listed: int
    """Images that the archive lists."""
    n_packed: int
    """Rows of the image store."""
    n_failed: int
    """Images that are there but could not be read."""
    n_decoded: int
    """Images that this run opened; the others were packed before."""
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
        ValueError: An archive that cannot be understood, or outputs that other settings wrote.
        JobFailedError: No image is left, more than `max_failed_share` of them are missing or cannot be read, or
            `strict` and a fault.
        OSError: The disk is full or fails.
    """
    started = perf_counter()
    config = config.resolved()

    # Every reason to leave an image out that needs no pixels.
    archive = find_archive(config)
    settings = deciding_settings(config, archive if isinstance(archive, Path) else archive.images_dir)
    if not config.overwrite:
        refuse_other_settings(config.written, settings)
    listed, flow = list_images(config, archive)
    selection = Selection(listed, flow)
    if config.dataset_type != "chexpert-test":  # Its views are chosen by its reader.
        _choose_views(selection, config)
    n_wanted = len(selection.kept)
    studies = _choose_texts(selection, config) if config.has_texts else {}
    _find_files(selection, listed, config)
    _refuse_nothing(selection, config)
    _refuse_faults(selection, config)
    tolerated = _refuse_lost(selection, n_wanted, config)

    packed = _write(selection, studies, config, settings, tolerated)
    return Summary(
        n_listed=len(listed),
        n_packed=len(selection.kept),
        n_failed=sum(bool(entry.reason) for entry in packed.entries.values()),
        n_decoded=packed.n_decoded,
        seconds=perf_counter() - started,
        outputs=config.outputs,
        flow=flow,
    )


def _choose_views(selection: Selection, config: PreprocessConfig) -> None:
    if config.views == "all":
        return
    views = selection.kept["view"]
    reasons = np.where(views.eq("UNKNOWN"), "view is unknown", np.where(views.isin(FRONTAL_VIEWS), "", "not frontal"))
    selection.leave_out(reasons.tolist(), rule="not frontal", by_choice=("view is unknown", "not frontal"))


def _choose_texts(selection: Selection, config: PreprocessConfig) -> dict[str, StudyText]:
    """Give every image the text of its study, leave out those without, and return the texts by study."""
    kept, rule = selection.kept, _text_rule(config)
    texts: list[StudyText]

    if config.texts == "column":
        texts = [text_of_report(report, rule) for report in kept["report"]]
        filenames = kept["image_id"].tolist()
    else:
        by_file = texts_of_files(kept["report_path"], rule)
        texts = [by_file[path] for path in kept["report_path"]]
        filenames = [Path(path).name for path in kept["report_path"]]

    note_fallbacks(kept, texts, wanted=config.section, flow=selection.flow)
    selection.kept = kept.assign(
        filename=filenames, text=[text.text for text in texts], section_used=[text.section_used for text in texts]
    )

    if config.require_text:
        details = [text.detail for text in texts]
        reasons = [text.reason for text in texts]
        selection.leave_out(reasons, rule=NO_USABLE_TEXT, details=details, by_choice=(NO_USABLE_TEXT,))
    else:
        n_without = sum(bool(text.reason) for text in texts)
        selection.flow.note(selection.kept, "without text, packed all the same", rows=n_without)
    return dict(zip(kept["study_id"].where(kept["study_id"].ne(""), kept["image_id"]), texts, strict=True))


def _text_rule(config: PreprocessConfig) -> TextRule:
    if config.text_rule == "chexzero":
        return chexzero_rule(keep_no_impression=config.compat == "chexzero", captions=config.texts == "column")
    edits = TextEdits(prior_references=config.prior_references, deidentification_marks=config.deidentification_marks)
    split = split_sections if config.text_rule == "official" else split_any_layout
    return (caption_rule if config.texts == "column" else report_rule)(config.section, edits, split=split)


def _find_files(selection: Selection, listed: pd.DataFrame, config: PreprocessConfig) -> None:
    states = look_up(selection.kept["path"].tolist(), follow_links=config.follow_links)
    selection.kept = selection.kept.assign(
        n_bytes=[state.n_bytes for state in states],
        modified_ns=[state.modified_ns for state in states],
        changed_ns=[state.changed_ns for state in states],
    )
    selection.leave_out([state.reason for state in states], rule=MISSING)
    if config.dataset_type == "chexpert-test":  # Its list are the files themselves.
        return
    n_unlisted = sum(1 for _ in unlisted(listed["path"].tolist(), whole_tree=config.dataset_type != "csv"))
    selection.flow.note(selection.kept, UNLISTED, rows=n_unlisted)
    selection.faults.update({UNLISTED: n_unlisted} if n_unlisted else {})


def _refuse_nothing(selection: Selection, config: PreprocessConfig) -> None:
    if selection.kept.empty:
        views = " With --views all, laterals and unknown views are kept." if config.views == "frontal" else ""
        tried = "".join(f"\n{reason}: {', '.join(paths)}, ..." for reason, paths in _lost_files(selection).items())
        raise JobFailedError(f"no image is left to pack.{views}\n{selection.flow}{tried}")


def _refuse_lost(selection: Selection, n_wanted: int, config: PreprocessConfig) -> int:
    """Refuse an archive of which too many files are missing, and return how many images may still fail."""
    tolerated = int(config.max_failed_share * n_wanted)
    if selection.n_lost > tolerated:
        counts = "; ".join(
            f"{reason} ({selection.faults[reason]:,}, such as {paths[0]})"
            for reason, paths in _lost_files(selection).items()
        )
        raise JobFailedError(
            f"--max_failed_share: wanted at most {tolerated:,} of {n_wanted:,} images without their files, found "
            f"{selection.n_lost:,}: {counts}; if only a part of the archive is here, give a higher share"
        )
    return tolerated - selection.n_lost


def _lost_files(selection: Selection) -> dict[str, list[str]]:
    return {reason: paths for reason, paths in selection.examples.items() if reason in selection.faults}


def _refuse_faults(selection: Selection, config: PreprocessConfig) -> None:
    if config.strict and selection.faults:
        counts = "; ".join(f"{reason} ({count:,})" for reason, count in sorted(selection.faults.items()))
        raise JobFailedError(
            f"--strict: wanted an archive without faults, found {counts}; nothing was changed; rows that are packed "
            "wait for the same command, with repaired files or without --strict"
        )


def _write(
    selection: Selection,
    studies: Mapping[str, StudyText],
    config: PreprocessConfig,
    settings: Settings,
    tolerated_failures: int,
) -> NewStore:
    """Pack the images, write the tables whole or not at all, and put the image store in its place last."""
    paths, with_ids = config.outputs, config.compat != "chexzero"
    with _pack(selection.kept, config, tolerated_failures) as packed, ExitStack() as stack:
        _take_outcomes(selection, packed)
        _refuse_faults(selection, config)
        if config.has_texts:
            write_impressions(selection.kept, stack.enter_context(write_whole(paths.texts)), with_ids=with_ids)
            write_csv(stack.enter_context(write_whole(paths.text_statistics)), text_statistics(studies.values()))
        write_paths(selection.kept, stack.enter_context(write_whole(paths.paths)), with_ids=with_ids)
        write_cohort(selection.cohort(), stack.enter_context(write_whole(paths.cohort)))
        selection.flow.write(stack.enter_context(write_whole(paths.flow)))
        if config.contact_sheet_images:
            _draw_contact_sheet(selection.kept, packed, stack.enter_context(write_whole(paths.contact_sheet)), config)
        # Before the files get their names: if the job dies in between, the same settings may finish it.
        record(config.written, settings)
    return packed


def _draw_contact_sheet(kept: pd.DataFrame, packed: NewStore, path: Path, config: PreprocessConfig) -> None:
    rng = np.random.default_rng(_CONTACT_SHEET_SEED)
    rows = rng.choice(len(kept), min(config.contact_sheet_images, len(kept)), replace=False)
    shown = kept.loc[rows]
    texts = shown["text"].tolist() if config.has_texts else [""] * len(rows)
    titles = [f"{row}: {image_id}" for row, image_id in zip(rows, shown["image_id"], strict=True)]
    write_contact_sheet(path, [packed.read(int(row)) for row in rows], titles, texts)


def _pack(kept: pd.DataFrame, config: PreprocessConfig, tolerated_failures: int) -> AbstractContextManager[NewStore]:
    compat = config.compat == "chexzero"
    return pack_images(
        config.outputs.images,
        [ImageToPack(*fields) for fields in zip(*(kept[name].tolist() for name in ImageToPack._fields), strict=True)],
        spec=PackSpec(
            resolution=config.resolution,
            exact=config.exact,
            sixteen_bit="high_byte" if compat else "window",
            dtype=config.dtype,
            with_ids=not compat,
        ),
        engine=_engine(config),
        overwrite=config.overwrite,
        tolerated_failures=tolerated_failures,
    )


def _engine(config: PreprocessConfig) -> Engine:
    if config.scheduler is not None:
        return on_cluster(config.scheduler)
    workers = available_workers() if config.workers == "auto" else config.workers
    return in_this_process if workers == 1 else in_processes(workers)


def _take_outcomes(selection: Selection, packed: NewStore) -> None:
    """Leave out the images that could not be read, put the others in row order, and note what is odd about them."""
    entries = [packed.entries[image_id] for image_id in selection.kept["image_id"]]
    selection.leave_out(
        [entry.reason for entry in entries],
        rule="image cannot be read",
        details=[entry.detail for entry in entries],
        status="failed",
    )
    selection.kept = selection.kept.set_index("image_id", drop=False).loc[packed.rows].reset_index(drop=True)
    selection.flag({entry.image_id: entry.flags for entry in entries if entry.flags})
