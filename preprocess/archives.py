"""The archive that the settings name, as a cohort table in row order, with its flow."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from cohort import Flow
from cohort.sources.chexpert import read_chexpert
from cohort.sources.chexpert_plus import read_chexpert_plus
from cohort.sources.chexpert_test import read_chexpert_test
from cohort.sources.csv_table import read_mapping, read_table
from cohort.sources.mimic import find_mimic, how_to_get_mimic, layout_at, read_mimic
from cohort.sources.mimic_layout import Suffix
from cohort.sources.nih import read_nih
from cohort.sources.openi import read_openi
from cohort.sources.padchest import read_padchest
from cohort.sources.rsna import read_rsna
from cohort.sources.siim import read_siim
from cohort.sources.vindr import read_vindr_cxr, read_vindr_pcxr
from preprocess.preprocess_config import PreprocessConfig

READERS: Mapping[str, Callable[..., tuple[pd.DataFrame, Flow]]] = {
    "chexpert": read_chexpert,
    "chexpert-plus": read_chexpert_plus,
    "nih": read_nih,
    "padchest": read_padchest,
    "vindr-cxr": read_vindr_cxr,
    "vindr-pcxr": read_vindr_pcxr,
    "openi": read_openi,
    "rsna": read_rsna,
    "siim": read_siim,
}
"""Archives that lie in one folder, by `--dataset_type`."""


def read_archive(config: PreprocessConfig) -> tuple[pd.DataFrame, Flow]:
    """Return one row per image, sorted by path, and the flow of what the reader left out.

    Beyond the cohort's columns there is `report_path` or `report`, see `PreprocessConfig.texts`.

    Raises:
        FileNotFoundError: No archive, folder or table where the settings say; the message says how to get one.
        ValueError: A table that is empty or lacks columns.
    """
    if config.dataset_type == "chexpert-test" and config.chest_x_ray_path is not None:
        return read_chexpert_test(config.chest_x_ray_path, any_count=config.allow_count)
    if config.dataset_type == "csv" and config.csv_path is not None:
        frame, flow = _read_csv(config.csv_path, config)
    elif config.dataset_type in READERS:
        # Files are looked for later, one by one, so that each one missing keeps its line in the cohort table.
        options = {"edition": config.nih_edition} if config.dataset_type == "nih" else {}
        root = config.chest_x_ray_path or config.archive_root
        frame, flow = READERS[config.dataset_type](root, check_files=False, **options)
    else:
        frame, flow = _read_mimic(config)
    # By parts of the path, as folders are listed: all images of a patient, then of a study, follow each other.
    order = frame["path"].map(lambda path: Path(path).parts).sort_values(kind="stable").index
    return frame.loc[order].reset_index(drop=True), flow


def _read_mimic(config: PreprocessConfig) -> tuple[pd.DataFrame, Flow]:
    suffix: Suffix = "dcm" if config.dataset_type == "mimic-dicom" else "jpg"
    if config.chest_x_ray_path is None:
        layout = find_mimic(config.archive_root, suffix=suffix)
        if layout is None:
            raise FileNotFoundError(how_to_get_mimic(config.archive_root))
    else:
        layout = layout_at(
            config.chest_x_ray_path,
            radiology_reports_path=config.radiology_reports_path,
            mimiciv_path=config.mimiciv_path,
            suffix=suffix,
        )
    if layout.reports_dir is None:
        raise FileNotFoundError(
            f"MIMIC-CXR: the images are in {layout.images_dir}, but no reports (p10/p10000032/s50414267.txt and the "
            "like) were found. They are a download of their own, MIMIC-CXR; name its folder files as "
            "--radiology_reports_path."
        )
    return read_mimic(layout, check_files=False)


def _read_csv(csv_path: Path, config: PreprocessConfig) -> tuple[pd.DataFrame, Flow]:
    mapping = config.columns if config.csv_mapping is None else read_mapping(config.csv_mapping)
    frame, flow = read_table(
        csv_path, mapping=mapping, image_root=config.chest_x_ray_path or csv_path.parent, check_files=False
    )
    if "report" not in frame:
        if config.require_text:
            raise ValueError(
                f"{csv_path}: wanted a column with reports or captions, found no {mapping.report!r}. Name it with "
                "--columns.report, or pack images without texts with --no_require_text."
            )
        frame = frame.assign(report="")
    return frame, flow
