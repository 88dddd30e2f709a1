"""MIMIC-CXR as JPEG or DICOM files, with its reports and the demographics of MIMIC-IV.

Counts    377,110 images, 227,835 studies, 65,379 patients of one Boston emergency department, 2011 to 2016; 368,960
          train, 2,991 validate, 5,159 test images; 82 % of the reports have an impression, 12.5 % only
          findings, 5 % neither
Files     MIMIC-CXR-JPG: files/p10/p10000032/s50414267/*.jpg, mimic-cxr-2.0.0-{metadata,split,chexpert,negbio}.csv.gz
          MIMIC-CXR: the same folders with *.dcm, reports files/p10/p10000032/s50414267.txt, cxr-record-list.csv.gz
          MIMIC-IV: hosp/{patients,admissions}.csv.gz (core/ in version 1)
Licence   PhysioNet Credentialed Health Data License 1.5.0; no sharing
Cite      Johnson et al., arXiv 1901.07042; doi 10.13026/jsn5-t979; MIMIC-IV: Johnson et al., Sci Data 2023;10:1
Access    https://physionet.org/content/mimic-cxr-jpg/, /mimic-cxr/ and /mimiciv/
Labels    1 positive, 0 negative, -1 uncertain, blank not mentioned; per study, by one of two programs
Pixels    the JPEG files were histogram-equalised, the DICOM files were not: their statistics differ
DICOM     view, date and time are read from MIMIC-CXR-JPG's metadata table if that is found, since it spares opening
          every file; else from the headers. Split and labels come only with MIMIC-CXR-JPG's tables
"""

import os
from pathlib import Path
from typing import Literal

import pandas as pd

from cohort._csv import read_strings
from cohort.cohort_table import listed
from cohort.flow import Flow
from cohort.labels import to_labels
from cohort.names import FINDINGS
from cohort.sources.dicom_headers import note_unreadable, read_headers
from cohort.sources.mimic_iv import add_demographics
from cohort.sources.mimic_layout import MimicLayout, Suffix, needed_mimic
from cohort.sources.repeated import one_row_per_image, one_row_per_key
from cohort.sources.words import add_views

NAMES = {"jpg": ("MIMIC-CXR-JPG", "mimic-cxr-jpg"), "dcm": ("MIMIC-CXR", "mimic-cxr")}
"""Suffix of the images to the archive's name and its word in the column `dataset`."""

_METADATA_COLUMNS = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime")


def read_mimic_jpg(root: Path | str | MimicLayout, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return `read_mimic` of MIMIC-CXR-JPG: the layout that is given, or the one found below the folder `root`."""
    return read_mimic(_layout(root, "jpg"), check_files=check_files)


def read_mimic_dicom(root: Path | str | MimicLayout, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return `read_mimic` of MIMIC-CXR, the DICOM files: the layout that is given, or the one found below `root`."""
    return read_mimic(_layout(root, "dcm"), check_files=check_files)


def _layout(root: Path | str | MimicLayout, suffix: Suffix) -> MimicLayout:
    return root if isinstance(root, MimicLayout) else needed_mimic(root, suffix=suffix)


def read_mimic(
    layout: MimicLayout, *, labeller: Literal["chexpert", "negbio"] = "chexpert", check_files: bool = True
) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of MIMIC-CXR, one row per image sorted by patient, study and image, and its flow.

    Joins: metadata with split on dicom_id; with labels on (subject_id, study_id), as labels are per study; with
    MIMIC-IV patients on subject_id (`cohort.demographics.ages`), its admissions' race on subject_id
    (`cohort.demographics.race`) and their insurance by time (`cohort.demographics.insurance`).

    Beyond the cohort's columns come `report_path`, "" where there is no report; `split_official`; `age_reason`, why an
    age is missing; `age_top_coded`; `insurance_link`, how the admission was found; and the archive's own words in
    `raw_view`, `raw_sex`, `raw_race` and `raw_insurance`.

    Only images whose file is missing and rows that repeat an image are left out. Images without report, labels or
    demographics stay, and the flow notes how many they are. A part of the archive that is absent is noted too.

    Args:
        layout: Where the parts are: `find_mimic` or `layout_at`; its `suffix` says whether images are JPEG or DICOM.
        labeller: Whose labels; both were made from the same reports by software.
        check_files: Look whether each image and report exists. Without it all are taken to exist.

    Raises:
        FileNotFoundError: The folder of images is not there, or holds none of the images listed.
        ValueError: A table lacks a column, or has a label that is none of 1, 0, -1, blank.

    Source:
        Johnson et al., MIMIC-CXR-JPG, arXiv 1901.07042.
    """
    name, dataset = NAMES[layout.suffix]
    if not layout.images_dir.is_dir():
        raise FileNotFoundError(
            f"{name}: wanted images in {layout.images_dir}, found no such folder, though {layout.metadata} is "
            "there; were the images downloaded?"
        )

    # One row per image, from the metadata (JPG) or from the list of records (DICOM).
    flow = Flow()
    frame = _read_records(layout) if _is_record_list(layout) else _read_metadata(layout)
    flow.start(frame, f"listed in {layout.metadata.name}")
    frame = _with_paths(one_row_per_image(frame, flow), layout)

    if check_files:
        frame = flow.keep(frame, _exists(frame["path"]), "image file not in the archive")
        if frame.empty:
            raise FileNotFoundError(
                f"{name}: {layout.images_dir} holds none of the {flow.steps[0].images} images that "
                f"{layout.metadata} lists; do the two belong together?"
            )

    # What the other tables know of each image, study and patient.
    if _is_record_list(layout):
        frame = _add_header_fields(frame, flow)
    frame = add_views(frame, frame["raw_view"], flow)
    frame = _add_reports(frame, layout, flow, check_files=check_files)
    frame = _add_split(frame, layout, flow)
    frame = _add_labels(frame, layout, flow, labeller=labeller)
    frame = add_demographics(frame, layout, flow)
    frame = listed(frame.drop(columns=["StudyDate", "StudyTime"]), dataset=dataset, source=layout.source)
    return frame, flow


def _is_record_list(layout: MimicLayout) -> bool:
    return layout.metadata.name.startswith("cxr-record-list")


def _read_metadata(layout: MimicLayout) -> pd.DataFrame:
    frame = read_strings(layout.metadata, columns=_METADATA_COLUMNS, only=True, what="MIMIC-CXR-JPG metadata")
    return frame.rename(columns={"dicom_id": "image_id", "ViewPosition": "raw_view"})


def _read_records(layout: MimicLayout) -> pd.DataFrame:
    columns = ["subject_id", "study_id", "dicom_id"]
    frame = read_strings(layout.metadata, columns=columns, only=True, what="MIMIC-CXR record list")
    return frame.rename(columns={"dicom_id": "image_id"})


def _with_paths(frame: pd.DataFrame, layout: MimicLayout) -> pd.DataFrame:
    frame = frame.sort_values(["subject_id", "study_id", "image_id"], ignore_index=True)
    folder = "" if layout.flat else _study_folder(frame) + "/"
    frame["path"] = f"{layout.images_dir}{os.sep}" + folder + frame["image_id"] + f".{layout.suffix}"
    return frame


def _add_header_fields(frame: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """Return the images with what the record list lacks, from the DICOM headers, named as in the metadata table."""
    headers = read_headers(frame["path"], ["ViewPosition", "StudyDate", "StudyTime"])
    note_unreadable(frame, headers, flow)
    return frame.assign(
        raw_view=headers["ViewPosition"], StudyDate=headers["StudyDate"], StudyTime=headers["StudyTime"]
    )


def _study_folder(frame: pd.DataFrame) -> pd.Series:
    """Return "p10/p10000032/s50414267" for every image."""
    subject = frame["subject_id"]
    return "p" + subject.str[:2] + "/p" + subject + "/s" + frame["study_id"]


def _exists(paths: pd.Series) -> "pd.Series[bool]":
    return paths.map({path: os.path.isfile(path) for path in paths.unique()}).astype(bool)  # noqa: PTH113


def _add_reports(frame: pd.DataFrame, layout: MimicLayout, flow: Flow, *, check_files: bool) -> pd.DataFrame:
    if layout.reports_dir is None:
        flow.note(frame, "no folder of MIMIC-CXR reports was found: no image has a text", rows=len(frame))
        return frame.assign(report_path="")
    paths = f"{layout.reports_dir}{os.sep}" + _study_folder(frame) + ".txt"
    if not check_files:
        return frame.assign(report_path=paths)
    there = _exists(paths)
    flow.note(frame, "no report file", rows=int((~there).sum()))
    return frame.assign(report_path=paths.where(there, ""))


def _add_split(frame: pd.DataFrame, layout: MimicLayout, flow: Flow) -> pd.DataFrame:
    path = layout.beside("split")
    if path is None:
        flow.note(frame, f"no split table beside {layout.metadata.name}: no official split", rows=len(frame))
        return frame.assign(split="", split_official="")
    splits = read_strings(path, columns=["dicom_id", "split"], only=True, what="MIMIC-CXR-JPG split")
    splits = one_row_per_key(splits, ["dicom_id"], images=frame, flow=flow, name=path.name)
    official = frame["image_id"].map(splits.set_index("dicom_id")["split"]).fillna("")
    flow.note(frame, f"not in {path.name}: no official split", rows=int(official.eq("").sum()))
    return frame.assign(split=official, split_official=official)


def _add_labels(frame: pd.DataFrame, layout: MimicLayout, flow: Flow, *, labeller: str) -> pd.DataFrame:
    path = layout.beside(labeller)
    if path is None:
        flow.note(frame, f"no {labeller} table beside {layout.metadata.name}: no labels", rows=len(frame))
        return frame.assign(**dict.fromkeys(FINDINGS, float("nan")))
    key = ["subject_id", "study_id"]
    table = read_strings(path, columns=[*key, *FINDINGS], only=True, what=f"MIMIC-CXR-JPG {labeller} labels")
    table = one_row_per_key(table, key, images=frame, flow=flow, name=path.name)
    for finding in FINDINGS:
        table[finding] = to_labels(table[finding], what=f"{path}, {finding}")
    joined = frame.merge(table, on=key, how="left", validate="many_to_one", indicator="labelled")
    flow.note(joined, f"study not in {path.name}: no labels", rows=int(joined["labelled"].eq("left_only").sum()))
    return joined.drop(columns="labelled")
