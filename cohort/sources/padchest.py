"""PadChest: 160,868 films of more than 67,000 patients of one Spanish hospital, 2009 to 2017, with Spanish reports.

Counts    39,053 images labelled by physicians (the usual set for zero-shot scoring), the others by a network; no
          official split; children are included
Files     PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv, 36 columns after an unnamed one; images 0/*.png to
          54/*.png, 16-bit grey of which often 12 bits are used
Licence   BIMCV research use, on request; no redistribution
Cite      Bustos et al., Medical Image Analysis 2020, arXiv 1901.07441
Access    https://bimcv.cipf.es/bimcv-projects/padchest/
Labels    a list per image out of about 190 terms, kept as `own_labels`, "term|term", in the archive's order. A term
          that is not listed is absent; a row without any list has no labels, which is not the same as "normal". What
          the terms mean among the 14 is in cohort/tables/labels/padchest.csv; terms that only hint at a finding
          ("infiltrates", "heart insufficiency") stay out of it
Ages      year of the study minus year of birth, so up to a year too high. Public code subtracts from 2017 instead
Reports   Spanish, stemmed and without punctuation: a text model for English has no use for them
"""

import ast
from pathlib import Path

import pandas as pd

from cohort._csv import read_strings
from cohort.cohort_table import listed
from cohort.flow import Flow
from cohort.sources.archive_files import ArchiveFiles, add_paths, archive_root, image_files, needed_table, source_of
from cohort.sources.label_map import add_findings, listed_labels, read_label_map
from cohort.sources.repeated import one_row_per_image
from cohort.sources.words import add_ages, add_sex, add_views, whole_number, without
from cohort.value_tables import TABLES

ARCHIVE = ArchiveFiles(name="PadChest", dataset="padchest", access="https://bimcv.cipf.es/bimcv-projects/padchest/")
TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
UNREADABLE = TABLES / "exclusions" / "padchest.csv"
"""Images whose files are damaged or absent in the distribution, as listed by torchxrayvision@f4087a0."""

_COLUMNS = {
    "ImageID": "image_id",
    "PatientID": "subject_id",
    "StudyID": "study_id",
    "StudyDate_DICOM": "study_date",
    "PatientBirth": "birth_year",
    "PatientSex_DICOM": "raw_sex",
    "ViewPosition_DICOM": "view_position",
    "Projection": "projection",
    "Pediatric": "pediatric",
    "Report": "report",
    "MethodLabel": "label_method",
    "Labels": "list",
}


def read_padchest(root: Path | str, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of PadChest, one row per image in the table's order, and its flow.

    Extra columns are `report`, `own_labels`, `label_method` (Physician or the network's name) and `pediatric`.

    Args:
        root: Folder of the table and the images, or one above.
        check_files: Leave out images whose file is missing.

    Raises:
        FileNotFoundError: No such folder, no table, or none of the images.
        ValueError: The table lacks a column.

    Source: Bustos et al., PadChest, arXiv 1901.07441, table 2 for the columns.
    """
    folder = archive_root(root, ARCHIVE)
    path = needed_table(folder, TABLE, archive=ARCHIVE)
    frame = read_strings(path, columns=list(_COLUMNS), only=True, what=ARCHIVE.name).rename(columns=_COLUMNS)
    flow = Flow()
    flow.start(frame, f"listed in {path.name}")
    unreadable = read_strings(UNREADABLE, columns=["ImageID"], what="PadChest's unreadable images")["ImageID"]
    frame = flow.keep(frame, ~frame["image_id"].isin(unreadable), "known to be unreadable (exclusions/padchest.csv)")
    frame = one_row_per_image(frame, flow)
    files = image_files(folder, [".png"])
    frame = add_paths(frame, frame["image_id"], files, root=folder, archive=ARCHIVE, flow=flow, check=check_files)
    projection, position = frame.pop("projection"), frame.pop("view_position")
    frame = add_views(frame, projection.where(projection.ne(""), position), flow)
    frame = add_sex(frame, frame["raw_sex"], flow)
    frame = add_ages(frame, _ages(frame.pop("study_date"), frame.pop("birth_year")), flow)
    frame = without(frame, "race", "insurance", flow=flow)
    frame = _add_labels(frame.assign(split=""), flow)
    return listed(frame, dataset=ARCHIVE.dataset, source=source_of(folder)), flow


def _ages(study_date: pd.Series, birth_year: pd.Series) -> pd.Series:
    """Return the difference of years as text, "" where one of them is missing."""
    year = pd.to_numeric(whole_number(study_date).str.slice(0, 4), errors="coerce")
    born = pd.to_numeric(whole_number(birth_year), errors="coerce")
    return (year - born).map("{:g}".format).replace("nan", "")


def _add_labels(frame: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    texts = frame.pop("list")
    lists = texts.map({text: _terms(text) for text in texts.unique()})
    flow.note(frame, "no list of labels, or an empty one: no labels", rows=int(lists.isna().sum()))
    table = read_label_map("padchest.csv")
    frame = add_findings(frame, listed_labels(lists, table.labels), table)
    return frame.assign(own_labels=lists.map("|".join, na_action="ignore").fillna(""))


def _terms(text: str) -> list[str] | None:
    """Return the terms of a Python list, in lower case and stripped; None where there is no list or nothing in it."""
    try:
        terms = ast.literal_eval(text) if text else None
    except (ValueError, SyntaxError):
        return None
    if not isinstance(terms, list):
        return None
    return list(dict.fromkeys(term for term in (str(one).strip().lower() for one in terms) if term)) or None
