"""CheXpert Plus: CheXpert's films once more, with their reports and more demographics.

Counts    223,228 images, 187,711 reports, 64,725 patients; the table has 223,462 rows. Findings are written in about a
          quarter of the reports, an impression in nearly all
Files     df_chexpert_plus_240401.csv; PNG/ or DICOM/ with train/ and valid/; chexbert_labels/report_fixed.json
Licence   Stanford University Dataset Research Use Agreement; no redistribution
Cite      Chambon et al., arXiv 2405.19538
Access    https://stanfordaimi.azurewebsites.net/datasets/5158c524-d3ab-4e02-96e9-6ee9efc110a1
Labels    by CheXbert from the whole report, one JSON object per line; without that file the labels stay blank, as the
          table has none
Unsure    the names of the label files and of `insurance_type` are second-hand: both are used if present, and what is
          absent is noted in the flow
"""

import json
from pathlib import Path

import pandas as pd

from cohort._csv import read_strings
from cohort.cohort_table import listed
from cohort.flow import Flow
from cohort.names import FINDINGS
from cohort.sources.archive_files import ArchiveFiles, archive_root, keep_existing, needed_table, source_of, table_below
from cohort.sources.chexpert import SPLITS, ages_without_zero, ids_of, view_words
from cohort.sources.chexpert_demographics import add_race_and_ethnicity
from cohort.sources.composed_report import compose
from cohort.sources.repeated import one_row_per_image, one_row_per_key
from cohort.sources.words import add_ages, add_sex, add_views, without
from common.plain_values import NOT_SAID, one_spelling

ARCHIVE = ArchiveFiles(
    name="CheXpert Plus",
    dataset="chexpert-plus",
    access="https://stanfordaimi.azurewebsites.net/datasets/5158c524-d3ab-4e02-96e9-6ee9efc110a1",
)
TABLE = "df_chexpert_plus_240401.csv"
SECTIONS = {
    "HISTORY": "section_history",
    "COMPARISON": "section_comparison",
    "TECHNIQUE": "section_technique",
    "FINDINGS": "section_findings",
    "IMPRESSION": "section_impression",
}
"""Heading in the composed report to the archive's column."""

_COLUMNS = ("path_to_image", "frontal_lateral", "ap_pa", "deid_patient_id", "age", "sex", "race", "ethnicity", "split")
_FOLDERS = ("", "PNG", "DICOM", "JPG")
_ENDINGS = (".png", ".jpg", ".dcm")


def read_chexpert_plus(root: Path | str, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of CheXpert Plus, in the order of its table, and its flow.

    `report` is composed of the archive's own sections (`cohort.sources.composed_report`), because the column with the
    whole report has no uniform headings. Ids are those of `read_chexpert`.

    Args:
        root: Folder of the table, or one above.
        check_files: Leave out images whose file is missing.

    Raises:
        FileNotFoundError: No such folder, no table, or none of the images.
        ValueError: The table lacks a column, or the label file cannot be read.

    Source: Chambon et al., CheXpert Plus, arXiv 2405.19538.
    """
    folder = archive_root(root, ARCHIVE)
    path = needed_table(folder, TABLE, archive=ARCHIVE)
    table = read_strings(path, columns=[*_COLUMNS, *SECTIONS.values()], what=ARCHIVE.name)

    # One row per image; the ids are parts of its path.
    ids = ids_of(table["path_to_image"])
    table = table.assign(**ids)
    flow = Flow()
    flow.start(table, f"listed in {path.name}")
    table = one_row_per_image(table, flow)

    frame = table[[*ids, "status_reason"]].copy()
    frame["split"] = frame["split_official"].map(SPLITS).fillna("test")
    frame["path"] = _paths(table["path_to_image"], path.parent)
    frame["report"] = compose({heading: table[column] for heading, column in SECTIONS.items()})

    # What is known of each image and patient.
    frame = _add_labels(frame, folder, flow)
    frame = add_views(frame, view_words(table["frontal_lateral"], table["ap_pa"]), flow)
    frame = add_sex(frame, table["sex"], flow)
    frame = add_ages(frame, ages_without_zero(table["age"]), flow)
    records = table[["race", "ethnicity"]].assign(subject_id=frame["subject_id"])
    frame = add_race_and_ethnicity(frame, records, flow)
    frame = _add_insurance(frame, table, flow)

    if check_files:
        frame = keep_existing(frame, flow, archive=ARCHIVE)
    return listed(frame, dataset=ARCHIVE.dataset, source=source_of(folder)), flow


def _paths(names: pd.Series, folder: Path) -> pd.Series:
    """Return the images' paths under the folder and with the ending that the first image is found under.

    The table always says .jpg; the downloads are PNG or DICOM.
    """
    stems = names.str.replace(r"\.[A-Za-z]+$", "", regex=True)
    layouts = [(folder / below, ending) for below in _FOLDERS for ending in _ENDINGS]
    probed = stems.head(20)
    found = next((one for one in layouts if any((one[0] / f"{stem}{one[1]}").is_file() for stem in probed)), layouts[0])
    return f"{found[0]}/" + stems + found[1]


def _add_insurance(frame: pd.DataFrame, table: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    if "insurance_type" not in table:
        return without(frame, "insurance", flow=flow, why="the table has no column insurance_type")
    words = table["insurance_type"].str.strip()
    insurance = one_spelling(words.mask(words.str.lower().isin(NOT_SAID), ""))
    flow.note(frame, "insurance unknown", rows=int(insurance.eq("").sum()))
    return frame.assign(insurance=insurance, raw_insurance=words)


def _add_labels(frame: pd.DataFrame, folder: Path, flow: Flow) -> pd.DataFrame:
    path = table_below(folder, "report_fixed.json")
    if path is None:
        flow.note(frame, "no chexbert_labels/report_fixed.json: no labels", rows=len(frame))
        return frame.assign(**dict.fromkeys(FINDINGS, float("nan")))
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        labels = pd.DataFrame(rows)[["path_to_image", *FINDINGS]]
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(
            f"{ARCHIVE.name}: {path}: wanted one JSON object per line with path_to_image and the 14 findings ({error})"
        ) from error
    labels = labels.assign(image_id=ids_of(labels["path_to_image"])["image_id"]).drop(columns="path_to_image")
    labels = one_row_per_key(labels, ["image_id"], images=frame, flow=flow, name=path.name)
    joined = frame.merge(labels, on="image_id", how="left", validate="one_to_one", indicator="labelled")
    flow.note(joined, f"not in {path.name}: no labels", rows=int(joined["labelled"].eq("left_only").sum()))
    return joined.drop(columns="labelled").astype(dict.fromkeys(FINDINGS, "float64"))
