"""VinDr-CXR (adults) and VinDr-PCXR (children under 10): films from Vietnam, labelled by radiologists, in DICOM.

Counts    VinDr-CXR 18,000 images: 15,000 train, each read by 3 of 17 radiologists, and 3,000 test by consensus of 5.
          VinDr-PCXR 9,125 images: 7,728 train, 1,397 test, one radiologist each
Files     train/*.dicom and test/*.dicom; image_labels_train.csv and image_labels_test.csv, in annotations/ (CXR) or
          beside them (PCXR)
Licence   PhysioNet Credentialed (CXR) and Restricted (PCXR) Health Data License 1.5.0; no sharing
Cite      Nguyen et al., Sci Data 2022;9:429, doi 10.13026/3akn-b287; Pham et al., Sci Data 2023,
          doi 10.1038/s41597-023-02102-5
Access    https://physionet.org/content/vindr-cxr/ and https://physionet.org/content/vindr-pcxr/
Labels    1 or 0. On the training images of VinDr-CXR the majority of the three readers decides. "Other disease" of its
          test table and "Other diseases" of its training table are one label, the latter. The spellings of PCXR
          (Brocho-pneumonia, Diagphramatic hernia) are the archive's. PCXR labels no cardiomegaly
Age, sex  in the DICOM headers; about 13,000 images of VinDr-CXR have no age. There is no patient id, so an image is
          its own patient: splits and intervals cannot know better
View      all PA by the papers' selection
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cohort._csv import read_strings, some
from cohort.cohort_table import listed
from cohort.flow import Flow
from cohort.labels import to_labels
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
from cohort.sources.repeated import DISAGREE, REPEATS, disagreeing, one_row_per_image
from cohort.sources.words import add_ages, add_sex, without

CXR = ArchiveFiles(name="VinDr-CXR", dataset="vindr-cxr", access="https://physionet.org/content/vindr-cxr/")
PCXR = ArchiveFiles(name="VinDr-PCXR", dataset="vindr-pcxr", access="https://physionet.org/content/vindr-pcxr/")
CXR_LABELS = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Clavicle fracture",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift",
    "Nodule/Mass",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "Rib fracture",
    "Other lesion",
    "COPD",
    "Lung tumor",
    "Pneumonia",
    "Tuberculosis",
    "Other diseases",
    "No finding",
)
"""22 findings with boxes, then 6 judgements of the whole image."""

READER = ("rad_id", "rad_ID")
"""Who read the image, as the two archives spell it; the consensus on the test images of VinDr-CXR has no reader."""

PCXR_LABELS = (
    "No finding",
    "Bronchitis",
    "Brocho-pneumonia",
    "Other disease",
    "Bronchiolitis",
    "Situs inversus",
    "Pneumonia",
    "Pleuro-pneumonia",
    "Diagphramatic hernia",
    "Tuberculosis",
    "Congenital emphysema",
    "CPAM",
    "Hyaline membrane disease",
    "Mediastinal tumor",
    "Lung tumor",
)


def read_vindr_cxr(root: Path | str, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of VinDr-CXR, training images first, and its flow.

    `readers` tells how many radiologists labelled the image, where the table has one row for each.

    Args:
        root: Folder of `annotations/`, `train/` and `test/`, or one above.
        check_files: Leave out images whose file is missing.

    Raises:
        FileNotFoundError: No such folder, no table, or none of the images.
        ValueError: A table lacks a column, or has a label that is none of 1, 0, blank.

    Source: Nguyen et al., VinDr-CXR, Sci Data 2022;9:429.
    """
    spellings = {"Other disease": "Other diseases"}
    adults = _Edition(archive=CXR, labels=CXR_LABELS, table="vindr_cxr.csv", spellings=spellings)
    return _read(root, adults, check=check_files)


def read_vindr_pcxr(root: Path | str, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of VinDr-PCXR, training images first, and its flow; see `read_vindr_cxr`.

    Source: Pham et al., PediCXR, Sci Data 2023, doi 10.1038/s41597-023-02102-5.
    """
    children = _Edition(archive=PCXR, labels=PCXR_LABELS, table="vindr_pcxr.csv", spellings={})
    return _read(root, children, check=check_files)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edition:
    """Where the two archives differ."""

    archive: ArchiveFiles
    labels: tuple[str, ...]
    table: str
    spellings: Mapping[str, str]
    """Column as it is spelt in some table -> label."""


def _read(root: Path | str, edition: _Edition, *, check: bool) -> tuple[pd.DataFrame, Flow]:
    folder = archive_root(root, edition.archive)
    train = needed_table(folder, "image_labels_train.csv", archive=edition.archive)
    tables = {"train": train, "test": table_below(train.parent, "image_labels_test.csv", depth=0)}
    parts = [_votes(path, edition).assign(split=split) for split, path in tables.items() if path is not None]
    frame = pd.concat(parts, ignore_index=True)
    frame = frame.assign(subject_id=frame["image_id"], study_id=frame["image_id"], split_official=frame["split"])
    flow = Flow()
    flow.start(frame, f"listed in {' and '.join(path.name for path in tables.values() if path)}")
    flow.note(frame, f"{REPEATS} and reader", rows=int(frame.pop("repeats").sum()), fault=True)
    frame = one_row_per_image(frame, flow)
    flow.note(frame, "no patient ids: every image counts as a patient of its own", rows=len(frame))
    files = image_files(folder, [".dicom", ".dcm"])
    files.index = files.index.str.rsplit(".", n=1).str[0]
    frame = add_paths(frame, frame["image_id"], files, root=folder, archive=edition.archive, flow=flow, check=check)
    frame = _add_demographics(frame.assign(view="PA", raw_view=""), flow)
    own = frame[list(edition.labels)]
    frame = add_own_labels(frame.drop(columns=list(edition.labels)), own, edition.table)
    return listed(frame, dataset=edition.archive.dataset, source=source_of(folder)), flow


def _votes(path: Path, edition: _Edition) -> pd.DataFrame:
    """Return one row per image: its labels by majority of the readers, how many there were, and rows to complain of."""
    table = read_strings(path, columns=["image_id"], what=edition.archive.name).rename(columns=dict(edition.spellings))
    missing = [label for label in edition.labels if label not in table]
    if missing:
        raise ValueError(f"{edition.archive.name}: {path} lacks the labels {some(missing)}; found {some(table, 40)}")
    key = ["image_id", *(name for name in READER if name in table)]
    votes = pd.DataFrame({label: to_labels(table[label], what=f"{path}, {label}") for label in edition.labels})
    readings = pd.concat([table[key], votes], axis=1)
    torn = table.loc[disagreeing(readings, key), "image_id"]
    first = ~table.duplicated(key)
    by_image = votes[first].groupby(table.loc[first, "image_id"], sort=False)
    # Three readers cannot be of two minds in equal parts; should an even number be, the finding counts as absent.
    labels = by_image.mean().gt(0.5).astype("float64").where(by_image.count().gt(0))
    repeats = (~first).groupby(table["image_id"]).sum()
    counted = labels.assign(readers=by_image.size().astype(str), repeats=repeats).reset_index()
    return counted.assign(status_reason=counted["image_id"].isin(torn).map({True: DISAGREE, False: ""}))


def _add_demographics(frame: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    headers = read_headers(frame["path"], ["PatientAge", "PatientSex"])
    note_unreadable(frame, headers, flow)
    frame = add_sex(frame, headers["PatientSex"], flow)
    frame = add_ages(frame, headers["PatientAge"], flow)
    return without(frame, "race", "insurance", flow=flow)
