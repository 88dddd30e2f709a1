"""Repeated ids in every table of every archive: counted, never the end of the job, and never a guess."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cohort.flow import Flow
from cohort.sources.chexpert import read_chexpert
from cohort.sources.chexpert_plus import read_chexpert_plus
from cohort.sources.mimic import read_mimic_dicom, read_mimic_jpg
from cohort.sources.nih import read_nih
from cohort.sources.openi import read_openi
from cohort.sources.padchest import read_padchest
from cohort.sources.repeated import DISAGREE, REPEATS, disagreeing, one_row_per_image
from cohort.sources.rsna import read_rsna
from cohort.sources.siim import read_siim
from cohort.sources.vindr import read_vindr_cxr, read_vindr_pcxr

PADCHEST = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
IMAGE_TABLES = {
    "mimic-dicom": (read_mimic_dicom, "mimic-cxr/2.1.0/cxr-record-list.csv.gz", "dicom_id", {"study_id": "59999999"}),
    "chexpert": (read_chexpert, "CheXpert-v1.0-small/train.csv", "Path", {"Age": "99"}),
    "chexpert-plus": (read_chexpert_plus, "df_chexpert_plus_240401.csv", "path_to_image", {"age": "99"}),
    "nih": (read_nih, "Data_Entry_2017_v2020.csv", "Image Index", {"Patient ID": "999"}),
    "padchest": (read_padchest, PADCHEST, "ImageID", {"PatientID": "999"}),
    "vindr-cxr": (read_vindr_cxr, "annotations/image_labels_train.csv", "image_id", {"Cardiomegaly": None}),
    "vindr-pcxr": (read_vindr_pcxr, "image_labels_train.csv", "image_id", {"Pneumonia": None}),
}
"""Archive -> its reader, the table of its images, the column with their ids, and a change (None: the other of 0 and 1)."""


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    reader = csv.DictReader(io.StringIO(content.decode()))
    rows = list(reader)
    return list(reader.fieldnames), rows


def add_row(path: Path, **changes: str | None) -> dict[str, str]:
    """Write the table's second row once more at its end, changed, and return the row as it was."""
    names, rows = read_rows(path)
    changed = {
        name: ("0" if rows[1][name] == "1" else "1") if value is None else value for name, value in changes.items()
    }
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*rows, rows[1] | changed])
    content = buffer.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return rows[1]


def its_image(row: dict[str, str], column: str) -> str:
    name = row[column]
    return "/".join(name.removesuffix(".jpg").split("/")[-3:]) if "/" in name else name


@pytest.mark.parametrize("archive", IMAGE_TABLES)
def test_a_row_written_twice_is_counted_and_changes_nothing_else(copied, archive):
    read, table, _, _ = IMAGE_TABLES[archive]
    root = copied(archive)
    expected, flow = read(root)
    assert sum(flow.faults.values()) == 0
    add_row(root / table)
    frame, flow = read(root)
    pd.testing.assert_frame_equal(frame, expected)
    (reason,) = flow.faults
    assert reason.startswith(REPEATS)
    assert flow.faults[reason] == 1


@pytest.mark.parametrize("archive", IMAGE_TABLES)
def test_an_image_whose_rows_disagree_keeps_its_line_but_is_excluded(copied, archive):
    read, table, column, change = IMAGE_TABLES[archive]
    root = copied(archive)
    before, _ = read(root)
    image_id = its_image(add_row(root / table, **change), column)
    frame, flow = read(root)
    assert frame["image_id"].tolist() == before["image_id"].tolist()
    named = frame["image_id"].eq(image_id)
    assert named.sum() == 1
    assert frame["status"].tolist() == ["excluded" if one else "listed" for one in named]
    assert frame["status_reason"].tolist() == [DISAGREE if one else "" for one in named]
    assert frame.loc[named, "split"].tolist() == [""]
    assert sum(flow.faults.values()) == 1
    others = before.columns.drop(["readers"], errors="ignore")
    pd.testing.assert_frame_equal(frame.loc[~named, others], before.loc[~named, others])


def test_an_image_in_train_and_test_of_vindr_is_in_neither(copied):
    root = copied("vindr-cxr") / "annotations"
    names, rows = read_rows(root / "image_labels_test.csv")
    train = read_rows(root / "image_labels_train.csv")[1][0]["image_id"]
    with (root / "image_labels_test.csv").open("a", newline="") as file:
        csv.DictWriter(file, names).writerow(rows[0] | {"image_id": train})
    frame = read_vindr_cxr(root.parent)[0].set_index("image_id")
    assert frame.loc[train, ["status_reason", "split"]].tolist() == [DISAGREE, ""]


def test_what_two_tables_of_rsna_say_against_each_other_costs_the_image_only(copied, edit):
    root = copied("rsna")
    expected = read_rsna(root)[0]
    edit(root / "stage_2_detailed_class_info.csv", ",No Lung Opacity / Not Normal", ",Lung Opacity")
    frame = read_rsna(root)[0]
    wrong = frame["status_reason"].eq(DISAGREE)
    assert wrong.tolist() == expected["own_No Lung Opacity / Not Normal"].eq(1.0).tolist()
    assert wrong.any()
    assert not wrong.all()
    assert frame.loc[wrong, ["Pneumonia", "No Finding", "own_Normal"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(frame[~wrong], expected[~wrong])


def test_an_image_of_siim_that_is_outlined_and_normal_at_once_has_no_label(copied):
    root = copied("siim")
    table = root / "train-rle.csv"
    name = next(line.split(",")[0] for line in table.read_text().splitlines() if line.endswith("-1"))
    table.write_text(f"{table.read_text()}{name}, 1 2\n")
    frame = read_siim(root)[0].set_index("image_id")
    assert frame.loc[name, ["status", "status_reason"]].tolist() == ["excluded", DISAGREE]
    assert np.isnan(frame.loc[name, "Pneumothorax"])
    assert frame["status"].eq("listed").sum() == len(frame) - 1


JOINED = {
    "split": ("mimic-cxr-2.0.0-split.csv.gz", {"split": "test"}, "split", ""),
    "labels": ("mimic-cxr-2.0.0-chexpert.csv.gz", {"Edema": "1.0"}, "Cardiomegaly", np.nan),
    "patients": ("patients.csv.gz", {"gender": "F"}, "sex", ""),
}


@pytest.mark.parametrize("case", JOINED)
def test_a_table_that_is_joined_says_nothing_where_its_rows_disagree(archive, tmp_path, case):
    """Row 2 of each table is about another image: a2, b1 and b1."""
    name, change, column, unknown = JOINED[case]
    root = archive(tmp_path)
    before = read_mimic_jpg(root)[0].set_index("image_id")
    table = next(root.rglob(name))
    add_row(table)
    frame, flow = read_mimic_jpg(root)
    pd.testing.assert_frame_equal(frame.set_index("image_id"), before)
    assert flow.faults == {f"{name}: row repeats another one": 1}
    add_row(table, **change)
    frame, flow = read_mimic_jpg(root)
    assert flow.faults == {f"{name}: rows with the same id disagree, none is used": 3}
    image_id = {"split": "a2"}.get(case, "b1")
    expected = before[column].copy()
    expected[image_id] = unknown
    pd.testing.assert_series_equal(frame.set_index("image_id")[column], expected)


def test_a_damaged_report_of_open_i_is_counted_and_only_if_all_are_damaged_is_that_an_error(copied, noted):
    import tarfile  # noqa: PLC0415

    root = copied("openi")
    with tarfile.open(root / "NLMCXR_reports.tgz") as archive:
        archive.extractall(root, filter="data")
    (root / "NLMCXR_reports.tgz").unlink()
    whole = read_openi(root)[0]
    reports = sorted((root / "ecgen-radiology").glob("*.xml"))
    reports[0].write_bytes(reports[0].read_bytes()[:200])
    reports[1].write_bytes(reports[1].read_bytes().replace(b"<uId", b"<!-- \xff\xfe --><uId"))
    frame, flow = read_openi(root)
    assert flow.faults == {"report file is damaged: its images are not listed": 2}
    assert 0 < len(frame) < len(whole)
    assert noted(flow, "image files that no table lists") == [len(whole) - len(frame)]
    for report in reports:
        report.write_bytes(b"")
    with pytest.raises(ValueError, match=r"Open-i: \d+ is no XML .* unpack the archive again"):
        read_openi(root)


def test_a_report_archive_cut_short_is_named(copied):
    root = copied("openi")
    path = root / "NLMCXR_reports.tgz"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ValueError, match=r"Open-i: .*NLMCXR_reports.tgz is damaged .*download it again"):
        read_openi(root)


def test_an_image_that_two_reports_of_open_i_claim_is_excluded(copied):
    import tarfile  # noqa: PLC0415

    root = copied("openi")
    with tarfile.open(root / "NLMCXR_reports.tgz") as archive:
        archive.extractall(root, filter="data")
    (root / "NLMCXR_reports.tgz").unlink()
    first, second = read_openi(root)[0].drop_duplicates("study_id")["image_id"][:2]
    path = next(one for one in (root / "ecgen-radiology").glob("*.xml") if second.encode() in one.read_bytes())
    path.write_bytes(path.read_bytes().replace(second.encode(), first.encode()))
    frame = read_openi(root)[0].set_index("image_id")
    assert frame.loc[first, "status_reason"] == DISAGREE
    assert second not in frame.index


def test_rows_disagree_if_and_only_if_they_differ_in_some_column():
    table = pd.DataFrame({"a": list("xxyyzx"), "b": list("112233"), "c": [np.nan, np.nan, 1.0, 2.0, 3.0, np.nan]})
    expected = [
        any(
            (x.a, x.b) == (y.a, y.b) and not (x.c == y.c or (np.isnan(x.c) and np.isnan(y.c)))
            for y in table.itertuples()
        )
        for x in table.itertuples()
    ]
    assert disagreeing(table, ["a", "b"]).tolist() == expected == [False, False, True, True, False, False]


def test_rows_that_name_no_image_or_no_patient_are_left_out_as_faults():
    frame = pd.DataFrame({"image_id": ["i", " ", "j", "i"], "subject_id": ["1", "1", "", "1"], "study_id": "s"})
    flow = Flow()
    flow.start(frame, "listed")
    assert one_row_per_image(frame, flow)["image_id"].tolist() == ["i"]
    assert flow.faults == {"row without an image id": 1, "row without a patient id": 1, REPEATS: 1}
