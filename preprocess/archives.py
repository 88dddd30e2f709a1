"""The archive that the settings name, as a cohort table in row order, with its flow."""

from pathlib import Path
from typing import Any

import pandas as pd

from cohort import Flow
from cohort.sources.by_name import read_archive
from cohort.sources.mapping import ColumnMapping, read_mapping
from cohort.sources.mimic_layout import MimicLayout, Suffix, layout_at, needed_mimic
from preprocess.preprocess_config import MIMIC, PreprocessConfig


def list_images(config: PreprocessConfig, archive: Path | MimicLayout | None = None) -> tuple[pd.DataFrame, Flow]:
    """Return one row per image, sorted by path, and the flow of what the reader left out.

    Beyond the cohort's columns there is `report_path` or `report`, see `PreprocessConfig.texts`.

    Args:
        config: Resolved settings.
        archive: What `find_archive` returned; None: it is found here.

    Raises:
        FileNotFoundError: No archive, folder or table where the settings say.
        ValueError: A table that is empty or lacks columns.
    """
    frame, flow = read_archive(config.dataset_type, archive or find_archive(config), **_options(config))
    if config.texts == "column" and "report" not in frame:
        frame = _without_reports(frame, config)

    # By parts of the path, as folders are listed: all images of a patient, then of a study, follow each other.
    order = frame["path"].map(lambda path: Path(path).parts).sort_values(kind="stable").index
    return frame.loc[order].reset_index(drop=True), flow


def find_archive(config: PreprocessConfig) -> Path | MimicLayout:
    """Return where the archive is: its folder, its table, or the parts of MIMIC-CXR.

    Raises:
        FileNotFoundError: No archive where the settings say; the message says how to get one.
    """
    if config.dataset_type in MIMIC:
        return _mimic_layout(config)
    if config.csv_path is not None and config.dataset_type == "csv":
        return config.csv_path
    return config.chest_x_ray_path or config.archive_root


def _options(config: PreprocessConfig) -> dict[str, Any]:
    """Return the options of the archive's reader."""
    # Files are looked for later, one by one, so that each one missing keeps its line in the cohort table.
    options: dict[str, Any] = {"check_files": False}
    if config.dataset_type == "chexpert-test":
        options["check_files"] = not config.allow_count
    elif config.dataset_type == "nih":
        options["edition"] = config.nih_edition
    elif config.csv_path is not None and config.dataset_type == "csv":
        options["mapping"] = column_mapping(config)
        options["image_root"] = config.chest_x_ray_path or config.csv_path.parent
    return options


def column_mapping(config: PreprocessConfig) -> ColumnMapping:
    """Return the column mapping of --dataset_type csv, from its file or its flags."""
    return config.columns if config.csv_mapping is None else read_mapping(config.csv_mapping)


def _mimic_layout(config: PreprocessConfig) -> MimicLayout:
    suffix: Suffix = "dcm" if config.dataset_type == "mimic-dicom" else "jpg"
    if config.chest_x_ray_path is None:
        layout = needed_mimic(config.archive_root, suffix=suffix)
    else:
        layout = layout_at(
            config.chest_x_ray_path,
            radiology_reports_path=config.radiology_reports_path,
            mimiciv_path=config.mimiciv_path,
            suffix=suffix,
        )

    if layout.reports_dir is None and config.require_text:
        raise FileNotFoundError(
            "--radiology_reports_path: wanted the reports of MIMIC-CXR (p10/p10000032/s50414267.txt and the like), "
            f"found none beside the images in {layout.images_dir}; they are a download of their own, whose folder "
            "files this flag names; --no_require_text packs the images without them, for scoring"
        )
    return layout


def _without_reports(frame: pd.DataFrame, config: PreprocessConfig) -> pd.DataFrame:
    if config.require_text:
        raise ValueError(
            f"{config.csv_path}: wanted a column with reports or captions, found no {column_mapping(config).report!r}; "
            "name it with --columns.report, or pack images without texts with --no_require_text"
        )
    return frame.assign(report="")
