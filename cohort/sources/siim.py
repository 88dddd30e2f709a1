"""SIIM-ACR Pneumothorax: 12,047 films of ChestX-ray14 with outlines of pneumothorax, in DICOM.

Counts    2,669 images with pneumothorax, 9,378 without; 12,954 rows, as an image can have several outlines
Files     train-rle.csv (columns `ImageId` and `EncodedPixels` behind a blank; the second stage's stage_2_train.csv is
          read too), dicom-images-train/STUDY/SERIES/IMAGE.dcm
Licence   terms of the Kaggle competition; the images are NIH's
Cite      Filice et al., J Digit Imaging 2020;33:490-496; Wang et al., CVPR 2017
Access    https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation
Labels    -1 for an image without outline, else run lengths: Pneumothorax 0 or 1. Nothing is known of other findings
Exposure  all images are in ChestX-ray14, but which one is which was never published: any training on NIH counts as
          exposure. Nor are the patients known: every image is its own
"""

from pathlib import Path

import pandas as pd

from cohort._csv import read_strings, some
from cohort.cohort_table import listed
from cohort.flow import Flow
from cohort.sources.archive_files import ArchiveFiles, add_paths, archive_root, image_files, needed_table, source_of
from cohort.sources.label_map import add_own_labels
from cohort.sources.repeated import DISAGREE
from cohort.sources.rsna import add_header_fields
from cohort.sources.words import without

ARCHIVE = ArchiveFiles(
    name="SIIM-ACR Pneumothorax",
    dataset="siim",
    access="https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation",
)
TABLES = ("train-rle.csv", "stage_2_train.csv")
NO_OUTLINE = "-1"


def read_siim(root: Path | str, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of SIIM-ACR's training images, in the order of their first row, and its flow.

    `outlines` is the number of outlined areas of an image. An image that is outlined and marked as normal at once is
    excluded and has no labels.

    Args:
        root: Folder of the table and images, or one above.
        check_files: Leave out images whose file is missing.

    Raises:
        FileNotFoundError: No such folder, no table, or none of the images.
        ValueError: The table lacks a column.

    Source: Filice et al., J Digit Imaging 2020;33:490-496.
    """
    folder = archive_root(root, ARCHIVE)
    path = needed_table(folder, *TABLES, archive=ARCHIVE)
    frame = _read_outlines(path)
    flow = Flow()
    flow.start(frame, f"listed in {path.name}")
    flow.note(frame, "no patient ids: every image counts as a patient of its own", rows=len(frame))
    files = image_files(folder, [".dcm"])
    names = frame["image_id"] + ".dcm"
    frame = add_paths(frame, names, files, root=folder, archive=ARCHIVE, flow=flow, check=check_files)
    frame = add_header_fields(frame, flow)
    frame = without(frame.assign(split=""), "race", "insurance", flow=flow)
    own = pd.DataFrame({"Pneumothorax": frame["outlines"].ne("0").astype("float64")})
    own = own.where(frame["status_reason"].eq(""))
    frame = add_own_labels(frame, own, "siim.csv")
    return listed(frame, dataset=ARCHIVE.dataset, source=source_of(folder)), flow


def _read_outlines(path: Path) -> pd.DataFrame:
    """Return one row per image with the number of its outlines; one without any has a single row of "-1"."""
    table = read_strings(path, what=ARCHIVE.name).rename(columns=str.strip)
    missing = [name for name in ("ImageId", "EncodedPixels") if name not in table]
    if missing:
        raise ValueError(f"{ARCHIVE.name}: {path} lacks the column {some(missing)}; found {some(table.columns)}")
    outlined = table["EncodedPixels"].str.strip().ne(NO_OUTLINE)
    by_image = outlined.groupby(table["ImageId"].str.strip(), sort=False)
    counts = by_image.sum()
    reasons = by_image.nunique().gt(1).map({True: DISAGREE, False: ""})
    frame = pd.DataFrame({"outlines": counts.astype(str), "status_reason": reasons})
    frame = frame.rename_axis("image_id").reset_index()
    return frame.assign(subject_id=frame["image_id"], study_id=frame["image_id"])
