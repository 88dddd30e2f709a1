"""CheXpert's test set: 668 images of 500 studies, scored by CheXzero on the first view of each.

Counts    500 studies of patients 64741 and above; CheXzero takes */*/view1_*.jpg, 500 images
Files     test/patient64741/study1/view1_frontal.jpg and so on; labels in groundtruth.csv of
          rajpurkarlab/cheXpert-test-set-labels, in the folder or one of the two above
Licence   images: Stanford University Dataset Research Use Agreement; the labels were published by the authors
Cite      Irvin et al., arXiv 1901.07031; Saporta et al., Nat Mach Intell 2022
Access    https://stanfordaimi.azurewebsites.net/datasets/23c56a0d-15de-405b-87c8-99c30138950c
Labels    1 or 0, the majority of radiologists; joined by the name of the study and of the column, never by position:
          the repository's files put Lung Opacity and Lung Lesion in different orders
"""

from pathlib import Path

import numpy as np
import pandas as pd

from cohort.cohort_table import listed
from cohort.flow import Flow
from cohort.labels import read_labels
from cohort.names import FINDINGS
from cohort.sources.archive_files import ArchiveFiles, archive_root, source_of, table_below

ARCHIVE = ArchiveFiles(
    name="CheXpert test set",
    dataset="chexpert-test",
    access="https://stanfordaimi.azurewebsites.net/datasets/23c56a0d-15de-405b-87c8-99c30138950c",
)
N_STUDIES = 500
TRUTH = "groundtruth.csv"
_FIRST_VIEW = "view1"


def read_chexpert_test(root: Path | str, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of `**/*view1*.jpg` below `folder`, sorted by path, and its flow.

    `image_id` is "patient64741/study1/view1_frontal", whatever folder above the patients is named, and `study_id` its
    first two parts, which is how the published ground truth names a study. Whether a frontal view is PA or AP is not
    known from the file.

    Args:
        root: The folder of the patients, or one above.
        check_files: Refuse another number of first views than 500. No table lists the images, so only their number
            shows that some are missing.

    Raises:
        FileNotFoundError: No such folder, or no JPEG of a first view in it.
        ValueError: `check_files` and not 500 images, an image outside a patient's and a study's folder, or a ground
            truth that cannot be read.

    Source: rajpurkarlab/CheXzero@5c341db, run_preprocess.py and data_process.py.
    """
    folder = archive_root(root, ARCHIVE)
    images = sorted(path.relative_to(folder) for path in folder.rglob("*.jpg"))
    first_views = [image for image in images if _FIRST_VIEW in str(image)]
    if not first_views:
        raise FileNotFoundError(f"{ARCHIVE.name}: wanted */*/view1_*.jpg below {folder}, found none")
    if check_files and len(first_views) != N_STUDIES:
        raise ValueError(
            f"{ARCHIVE.name}: wanted {N_STUDIES} first views below {folder}, found {len(first_views)}; "
            "give --allow_count if this is meant"
        )
    everything = _table(folder, images)
    flow = Flow()
    flow.start(everything, f"JPEG files below {folder}")
    frame = flow.keep(everything, everything["image_id"].str.contains(_FIRST_VIEW), "not the first view of its study")
    frame = _add_labels(frame, folder, flow)
    return listed(frame, dataset=ARCHIVE.dataset, source=source_of(folder)), flow


def _table(folder: Path, images: list[Path]) -> pd.DataFrame:
    paths = pd.Series([image.as_posix() for image in images])
    parts = paths.str.extract(r"(?:^|/)(patient\d+)/(study\d+)/(?:.*/)?([^/]+)\.[A-Za-z]+$")
    strange = paths[parts[0].isna()]
    if len(strange):
        raise ValueError(
            f"{ARCHIVE.name}: wanted paths such as patient64741/study1/view1_frontal.jpg below {folder}, "
            f"found {strange.iloc[0]!r}"
        )
    study = parts[0] + "/" + parts[1]
    frame = pd.DataFrame(
        {
            "image_id": study + "/" + parts[2],
            "subject_id": parts[0],
            "study_id": study,
            "path": [str(folder / image) for image in images],
            "view": ["FRONTAL" if "frontal" in image.name else "LATERAL" for image in images],
            "split": "test",
            "age_years": np.nan,
        }
    )
    return frame.assign(sex="", race="", insurance="")


def _add_labels(frame: pd.DataFrame, folder: Path, flow: Flow) -> pd.DataFrame:
    above = (table_below(place, TRUTH, depth=0) for place in folder.absolute().parents[:2])
    path = table_below(folder, TRUTH) or next(filter(None, above), None)
    if path is None:
        flow.note(frame, f"no {TRUTH} was found: no labels", rows=len(frame))
        return frame.assign(**dict.fromkeys(FINDINGS, float("nan")))
    truth = read_labels(path, id_column="Study")
    # "CheXpert-v1.0/test/patient64741/study1": a study is the last two parts.
    truth.index = pd.Index(["/".join(str(name).split("/")[-2:]) for name in truth.index], name="study_id")
    flow.note(frame, f"not in {path.name}: no labels", rows=int((~frame["study_id"].isin(truth.index)).sum()))
    return frame.join(truth, on="study_id")
