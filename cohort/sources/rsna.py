"""RSNA Pneumonia Detection Challenge: 26,684 films of ChestX-ray14, read again by radiologists, in DICOM.

Counts    6,012 images with an opacity that may be pneumonia, 20,672 without; 3,000 more without labels (test)
Files     stage_2_train_labels.csv (a row per box: 30,227), stage_2_detailed_class_info.csv, stage_2_train_images/*.dcm;
          pneumonia-challenge-dataset-mappings_2018.json says which image of ChestX-ray14 each one is
Licence   terms of the Kaggle competition; the images are NIH's
Cite      Shih et al., Radiol AI 2019, doi 10.1148/ryai.2019180041; Wang et al., CVPR 2017
Access    https://www.rsna.org/artificial-intelligence/ai-image-challenge/rsna-pneumonia-detection-challenge-2018
Labels    three classes: Lung Opacity, No Lung Opacity / Not Normal, Normal. The first is Lung Opacity and, as the
          challenge meant it, Pneumonia; the last is No Finding
Ids       "patientId" names an image. Without the mapping every image would be a patient of its own, and nothing would
          show that it is in NIH's training set
Exposure  all images are in ChestX-ray14: 21,804 of the 30,000 in its train and validation list, 8,196 in its test list
"""

import json
from pathlib import Path

import pandas as pd

from cohort._csv import read_strings, some
from cohort.cohort_table import listed
from cohort.flow import Flow
from cohort.sources.archive_files import (
    ArchiveFiles,
    add_paths,
    archive_root,
    image_files,
    needed_table,
    source_of,
    table_below,
)
from cohort.sources.dicom_headers import note_unreadable, read_headers
from cohort.sources.label_map import add_own_labels
from cohort.sources.repeated import DISAGREE
from cohort.sources.words import add_ages, add_sex, add_views, whole_number, without

ARCHIVE = ArchiveFiles(
    name="RSNA Pneumonia",
    dataset="rsna",
    access="https://www.rsna.org/artificial-intelligence/ai-image-challenge/rsna-pneumonia-detection-challenge-2018",
)
BOXES = "stage_2_train_labels.csv"
CLASSES_TABLE = "stage_2_detailed_class_info.csv"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
CLASSES = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")


def read_rsna(root: Path | str, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of the challenge's training images, in the order of its table, and its flow.

    An image with two classes or none, or with a class that contradicts its Target, is excluded and has no labels.

    `origin_image_id` is the file name in ChestX-ray14 and `subject_id` its patient, where the mapping is present; else
    `subject_id` is the image's own id and the flow says so.

    Args:
        root: Folder of the tables and images, or one above.
        check_files: Leave out images whose file is missing.

    Raises:
        FileNotFoundError: No such folder, no table, or none of the images.
        ValueError: A table lacks a column, or has a class of another name.

    Source: Shih et al., Radiology: AI 2019;1:e180041.
    """
    folder = archive_root(root, ARCHIVE)
    frame = _read_classes(folder)
    flow = Flow()
    frame = _add_patients(frame, table_below(folder, MAPPING))
    flow.start(frame, f"listed in {BOXES}")
    unmapped = int(frame["origin_image_id"].eq("").sum())
    flow.note(frame, f"not in {MAPPING}: the patient is not known, the image counts as one", rows=unmapped)
    files = image_files(folder, [".dcm"])
    names = frame["image_id"] + ".dcm"
    frame = add_paths(frame, names, files, root=folder, archive=ARCHIVE, flow=flow, check=check_files)
    frame = add_header_fields(frame, flow)
    frame = without(frame.assign(split=""), "race", "insurance", flow=flow)
    own = pd.DataFrame({name: frame["class"].eq(name).astype("float64") for name in CLASSES})
    own = own.where(frame["status_reason"].eq(""))
    frame = add_own_labels(frame.drop(columns="class"), own, "rsna.csv")
    return listed(frame, dataset=ARCHIVE.dataset, source=source_of(folder)), flow


def add_header_fields(frame: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """Return the images with view, sex and age of their DICOM headers."""
    headers = read_headers(frame["path"], ["PatientAge", "PatientSex", "ViewPosition"])
    note_unreadable(frame, headers, flow)
    frame = add_views(frame, headers["ViewPosition"], flow)
    frame = add_sex(frame, headers["PatientSex"], flow)
    return add_ages(frame, headers["PatientAge"], flow)


def _read_classes(folder: Path) -> pd.DataFrame:
    """Return `image_id`, `class` and `status_reason`, one row per image; both tables have one row per box."""
    path = needed_table(folder, BOXES, archive=ARCHIVE)
    targets = read_strings(path, columns=["patientId", "Target"], only=True, what=ARCHIVE.name).drop_duplicates()
    details = needed_table(folder, CLASSES_TABLE, archive=ARCHIVE)
    classes = read_strings(details, columns=["patientId", "class"], only=True, what=ARCHIVE.name).drop_duplicates()
    joined = targets.merge(classes, on="patientId", how="left").fillna("")
    strange = sorted(set(joined["class"]) - {*CLASSES, ""})
    if strange:
        raise ValueError(f"{ARCHIVE.name}: {details}: wanted the classes {some(CLASSES)}, found {some(strange)} too")
    # An image named twice by now has two classes or two targets.
    torn = joined["patientId"].duplicated(keep=False) | joined["class"].eq("")
    torn |= joined["class"].eq(CLASSES[0]) != whole_number(joined["Target"]).eq("1")
    joined = joined.assign(status_reason=torn.map({True: DISAGREE, False: ""}))
    return joined.rename(columns={"patientId": "image_id"}).drop(columns="Target").drop_duplicates("image_id")


def _add_patients(frame: pd.DataFrame, path: Path | None) -> pd.DataFrame:
    names = {} if path is None else _mapping(path)
    origin = frame["image_id"].map(lambda image_id: names.get(image_id, "")).astype(str)
    patient = whole_number(origin.str.split("_").str[0])
    subject = patient.where(origin.ne(""), frame["image_id"])
    return frame.assign(origin_image_id=origin, subject_id=subject, study_id=frame["image_id"])


def _mapping(path: Path) -> dict[str, str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {entry["subset_img_id"]: entry["img_id"] for entry in entries}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{ARCHIVE.name}: {path}: wanted a list of objects with subset_img_id and img_id ({error!r})"
        ) from error
