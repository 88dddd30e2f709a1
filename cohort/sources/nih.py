"""NIH ChestX-ray14: 112,120 frontal films of 30,805 patients, 14 findings mined from reports that are not published.

Counts    86,524 images train and validate, 25,596 test, by official lists that part the patients; 67,310 PA, 44,810 AP;
          ages 0 to 95, 5,402 images of children; no race, no insurance, no reports
Files     Data_Entry_2017_v2020.csv (or the first edition, Data_Entry_2017.csv), train_val_list.txt, test_list.txt,
          images_001/images/*.png to images_012/, 1024 x 1024, mostly 8-bit grey, some RGBA
Licence   no restrictions on use; link to the download site, cite the paper, name the NIH Clinical Center
Cite      Wang et al., CVPR 2017, arXiv 1705.02315
Access    https://nihcc.app.box.com/v/ChestXray-NIHCC
Labels    found by software in the report: what is not named is 0, there is no "uncertain". Lung Lesion is Mass or
          Nodule; Pleural_Thickening implies Pleural Other; Infiltration, Emphysema, Fibrosis and Hernia are none of the
          14 and stay in `own_*`
Ages      of the edition that is read. A quarter of them differ by a year between the editions, and the first has
          impossible ones (up to 414 years); labels differ in 0.16 % of the rows. Use the edition of the results that
          you compare with
"""

from pathlib import Path
from typing import Literal

import pandas as pd

from cohort._csv import read_strings
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
from cohort.sources.label_map import add_own_labels, listed_labels
from cohort.sources.repeated import one_row_per_image
from cohort.sources.words import add_ages, add_sex, add_views, whole_number, without

ARCHIVE = ArchiveFiles(name="NIH ChestX-ray14", dataset="nih", access="https://nihcc.app.box.com/v/ChestXray-NIHCC")
LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "No Finding",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
"""Every word that "Finding Labels" can hold."""

EDITIONS = {"2020": "Data_Entry_2017_v2020.csv", "2017": "Data_Entry_2017.csv"}
_LISTS = {"train_val_list.txt": ("train", "train_val"), "test_list.txt": ("test", "test")}
_COLUMNS = {
    "Image Index": "image_id",
    "Finding Labels": "raw_labels",
    "Follow-up #": "follow_up",
    "Patient ID": "subject_id",
    "Patient Age": "raw_age",
    "Patient Gender": "raw_sex",
    "View Position": "raw_view",
}


def read_nih(
    root: Path | str, *, edition: Literal["2020", "2017"] | None = None, check_files: bool = True
) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of ChestX-ray14, one row per image in the table's order, and its flow.

    `image_id` is the file name, `subject_id` the patient number without leading zeros, `study_id` "patient_follow-up".
    `split` is train or test by the official lists, which know no validation set; `split_official` has their own names.

    Args:
        root: The archive's folder, or one above.
        edition: Whose ages and labels; None takes the 2020 edition, or the first one if it is alone.
        check_files: Leave out images whose file is missing.

    Raises:
        FileNotFoundError: No such folder, no table, or none of the images.
        ValueError: A table lacks a column, or has a label that is none of `LABELS`.

    Source: Wang et al., ChestX-ray8, CVPR 2017; the files' own README.
    """
    folder = archive_root(root, ARCHIVE)
    names = list(EDITIONS.values()) if edition is None else [EDITIONS[edition]]
    path = needed_table(folder, *names, archive=ARCHIVE)
    flow = Flow()
    frame = _read_entries(path)
    flow.start(frame, f"listed in {path.name}")
    frame = one_row_per_image(frame, flow)
    files = image_files(folder, [".png"])
    frame = add_paths(frame, frame["image_id"], files, root=folder, archive=ARCHIVE, flow=flow, check=check_files)
    frame = add_views(frame, frame["raw_view"], flow)
    frame = add_sex(frame, frame["raw_sex"], flow)
    frame = add_ages(frame, frame.pop("raw_age"), flow)
    frame = without(frame, "race", "insurance", flow=flow)
    frame = _add_split(frame, folder, flow)
    frame = _add_labels(frame, path)
    return listed(frame, dataset=ARCHIVE.dataset, source=source_of(folder)), flow


def _read_entries(path: Path) -> pd.DataFrame:
    table = read_strings(path, columns=list(_COLUMNS), what=ARCHIVE.name)
    if not isinstance(table.index, pd.RangeIndex):
        # Rows that end with a comma their header lacks are one field too long: pandas takes the first for a row name.
        names = table.columns
        table = table.reset_index().iloc[:, : len(names)].set_axis(names, axis=1)
    frame = table[list(_COLUMNS)].rename(columns=_COLUMNS)
    frame["subject_id"] = whole_number(frame["subject_id"])
    frame["study_id"] = frame["subject_id"] + "_" + whole_number(frame.pop("follow_up"))
    return frame


def _add_split(frame: pd.DataFrame, folder: Path, flow: Flow) -> pd.DataFrame:
    split, official = (pd.Series("", index=frame.index) for _ in range(2))
    for name, (ours, theirs) in _LISTS.items():
        path = table_below(folder, name)
        if path is None:
            flow.note(frame, f"no {name}: no official split for its images")
            continue
        members = frame["image_id"].isin(path.read_text(encoding="utf-8").split())
        split, official = split.mask(members, ours), official.mask(members, theirs)
    flow.note(frame, "in none of the official lists: no split", rows=int(split.eq("").sum()))
    return frame.assign(split=split, split_official=official)


def _add_labels(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    lists = frame["raw_labels"].str.split("|", regex=False)
    strange = sorted({label for labels in lists for label in labels} - set(LABELS))
    if strange:
        raise ValueError(f"{ARCHIVE.name}: {path}: wanted the labels {list(LABELS)}, found {strange} too")
    own = listed_labels(lists, LABELS)
    return add_own_labels(frame, own, "nih.csv")
