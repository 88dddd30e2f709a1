"""CheXpert: 223,648 films of 64,740 patients with 14 findings and their uncertainty; reports only in CheXpert Plus.

Counts    train.csv 223,414 images, labels by software; valid.csv 234 images of 200 studies (patients 64541 to 64740),
          labels by radiologists; CHEXPERT DEMO.xlsx 65,401 patients
Files     "CheXpert-v1.0 batch 1 (validate & csv)" to "batch 4 (train 3)", side by side as Stanford distributes them;
          or CheXpert-v1.0/ or the small copy CheXpert-v1.0-small/ with train.csv, valid.csv, train/, valid/; in or
          above it CHEXPERT DEMO.xlsx, a download of its own; train_cheXbert.csv if another labeller is asked for
Licence   Stanford University Dataset Research Use Agreement; no redistribution
Cite      Irvin et al., arXiv 1901.07031; the demographics: Gichoya et al., Lancet Digit Health 2022
Access    https://stanfordmlgroup.github.io/competitions/chexpert/ and https://stanfordaimi.azurewebsites.net/
Labels    1 positive, 0 negative, -1 uncertain, blank not mentioned, per study, by the exact 14 names
Ages      `Age` of the CSV, which belongs to the study; 0 stands for missing. Insurance is not recorded
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd

from cohort._csv import read_strings
from cohort.cohort_table import listed
from cohort.flow import Flow
from cohort.labels import to_labels
from cohort.names import FINDINGS
from cohort.sources.archive_files import (
    ArchiveFiles,
    archive_root,
    keep_existing,
    needed_table,
    source_of,
    table_below,
)
from cohort.sources.chexpert_demographics import DEMO, add_race_and_ethnicity, read_demo
from cohort.sources.repeated import one_row_per_image
from cohort.sources.words import add_ages, add_sex, add_views, without

ARCHIVE = ArchiveFiles(
    name="CheXpert", dataset="chexpert", access="https://stanfordmlgroup.github.io/competitions/chexpert/"
)
SPLITS = {"train": "train", "valid": "validate"}
"""First folder of an image's path to our split."""

_PATIENT = re.compile(r"patient\d+")
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")


def read_chexpert(
    root: Path | str, *, labeller: Literal["chexpert", "chexbert"] = "chexpert", check_files: bool = True
) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of CheXpert's train and validation images, in the order of the tables, and its flow.

    `image_id` is "patient00001/study1/view1_frontal", the same for the original files, the small copy, CheXpert Plus
    and the test set, so that an image is recognised whatever copy it comes from. `ethnicity` is an extra column.

    Args:
        root: Folder of train.csv, or one above.
        labeller: Who labelled the training images: the archive's own software or CheXbert (train_cheXbert.csv).
        check_files: Leave out images whose file is missing.

    Raises:
        FileNotFoundError: No such folder, no table, or none of the images.
        ValueError: A table lacks a column, or has a label that is none of 1, 0, -1, blank.

    Source: Irvin et al., CheXpert, AAAI 2019, arXiv 1901.07031.
    """
    folder = archive_root(root, ARCHIVE)
    train = needed_table(folder, "train.csv" if labeller == "chexpert" else "train_cheXbert.csv", archive=ARCHIVE)
    tables = [path for path in (train, table_below(train.parent, "valid.csv", depth=0)) if path is not None]
    patients = _folders_of_patients(train.parent)
    frame = pd.concat([_read_table(path, train.parent, patients) for path in tables], ignore_index=True)
    flow = Flow()
    flow.start(frame, f"listed in {' and '.join(path.name for path in tables)}")
    frame = one_row_per_image(frame, flow)
    if check_files:
        frame = keep_existing(frame, flow, archive=ARCHIVE)
    frame = add_views(frame, view_words(frame.pop("Frontal/Lateral"), frame.pop("AP/PA")), flow)
    frame = add_sex(frame, frame.pop("Sex"), flow)
    frame = add_ages(frame, ages_without_zero(frame.pop("Age")), flow)
    frame = without(frame, "insurance", flow=flow)
    demo = table_below(folder, DEMO) or table_below(train.parent.parent, DEMO, depth=0)
    if demo is None:
        frame = without(frame, "race", "ethnicity", flow=flow, why=f"no {DEMO} was found")
    else:
        frame = add_race_and_ethnicity(frame, read_demo(demo), flow)
    return listed(frame, dataset=ARCHIVE.dataset, source=source_of(folder)), flow


def ids_of(paths: pd.Series) -> pd.DataFrame:
    """Return `image_id`, `subject_id`, `study_id` and the archive's `split_official` of CheXpert's image paths.

    A path is "train/patient00001/study1/view1_frontal.jpg" behind any folders. Patients' numbers do not repeat between
    train, valid and test, so the ids do without that folder.

    Raises:
        ValueError: A path of another form.
    """
    parts = paths.str.extract(r"(?:^|/)(train|valid|test)/(patient\d+)/(study\d+)/([^/]+)\.[A-Za-z]+$")
    strange = paths[parts[0].isna()]
    if len(strange):
        raise ValueError(
            f"CheXpert: wanted paths such as train/patient00001/study1/view1_frontal.jpg, found {strange.iloc[0]!r}"
        )
    study = parts[1] + "/" + parts[2]
    return pd.DataFrame(
        {"image_id": study + "/" + parts[3], "subject_id": parts[1], "study_id": study, "split_official": parts[0]}
    )


def view_words(frontal_or_lateral: pd.Series, ap_or_pa: pd.Series) -> pd.Series:
    """Return one word for the view: that of a frontal film ("AP", "PA", ...), "Frontal" if it has none, "Lateral"."""
    return ap_or_pa.where(frontal_or_lateral.eq("Frontal") & ap_or_pa.ne(""), frontal_or_lateral)


def ages_without_zero(texts: pd.Series) -> pd.Series:
    """Return the ages with 0 blank: the archive has adults only, and 0 where the age is missing."""
    return texts.mask(texts.str.strip().isin(["0", "0.0"]), "")


def _folders_of_patients(beside: Path) -> dict[str, str]:
    """Return the folder above each patient's, for one folder of the archive or the four that Stanford distributes.

    The tables lie in "CheXpert-v1.0 batch 1 (validate & csv)", the training images in its siblings "CheXpert-v1.0 batch
    2 (train 1)" and so on, without a folder "train". Patients' numbers do not repeat between train and valid.
    """
    siblings = sorted(path for path in beside.absolute().parent.iterdir() if path.name.lower().startswith("chexpert"))
    found: dict[str, str] = {}
    for folder in (beside, *siblings):
        for place in (folder, *(folder / split for split in SPLITS)):
            if place.is_dir():
                names = (entry.name for entry in os.scandir(place) if _PATIENT.fullmatch(entry.name))
                found = {**dict.fromkeys(names, str(place)), **found}
    return found


def _read_table(path: Path, folder: Path, patients: Mapping[str, str]) -> pd.DataFrame:
    """Return a table's images; `folder` is that of the tables, `patients` the folder above each patient's."""
    table = read_strings(path, columns=[*_COLUMNS, *FINDINGS], what=ARCHIVE.name)
    ids = ids_of(table["Path"])
    # The first folder of the path is the archive's name, which a copy may not keep.
    above = ids["subject_id"].map(patients).fillna(f"{folder}/" + ids["split_official"])
    below = table["Path"].str.extract(r"(patient\d+/.*)$")[0]
    frame = ids.assign(split=ids["split_official"].map(SPLITS).fillna("test"), path=above + "/" + below)
    labels = {finding: to_labels(table[finding], what=f"{path}, {finding}") for finding in FINDINGS}
    return frame.assign(**labels, **{name: table[name] for name in _COLUMNS[1:]})
