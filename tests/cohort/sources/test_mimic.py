import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cohort.cohort_table import read_cohort, write_cohort
from cohort.names import FINDINGS
from cohort.sources.mimic import read_mimic
from cohort.sources.mimic_layout import find_mimic, how_to_get_mimic, layout_at


def cohort_of(root, **options):
    layout = find_mimic(root)
    assert layout is not None
    frame, flow = read_mimic(layout, **options)
    return frame.set_index("image_id"), flow


def noted(flow, words):
    table = flow.to_frame()
    return table.loc[table["reason"].str.contains(words, regex=False), "rows"].tolist()


def edit(path, old, new):
    """Replace text in a compressed table."""
    text = gzip.decompress(path.read_bytes()).decode()
    assert old in text
    path.write_bytes(gzip.compress(text.replace(old, new).encode()))


def test_every_column_of_the_miniature_is_what_a_reader_finds_by_hand(tmp_path, archive):
    frame, _ = cohort_of(archive(tmp_path))
    assert frame.index.tolist() == ["a1", "a2", "b1", "c1", "d1"]
    assert frame["subject_id"].tolist() == ["10000032", "10000032", "10000764", "11000011", "11000022"]
    assert frame["view"].tolist() == ["PA", "LATERAL", "AP", "UNKNOWN", "OTHER"]
    assert frame["raw_view"].tolist() == ["PA", "LATERAL", "AP", "", "STRANGE"]
    assert frame["split"].tolist() == ["train", "train", "validate", "test", ""]
    assert frame["split_official"].equals(frame["split"])
    np.testing.assert_array_equal(frame["age_years"], [52, 52, 93, 16, np.nan])
    assert frame["age_top_coded"].tolist() == ["", "", "yes", "", ""]
    assert frame["sex"].tolist() == ["F", "F", "M", "F", ""]
    assert frame["race"].tolist() == ["White", "White", "conflict", "", ""]
    assert frame["raw_race"].tolist()[2:] == ["BLACK/AFRICAN AMERICAN | WHITE", "MARTIAN", ""]
    assert frame["insurance"].tolist() == ["Other", "Other", "", "", ""]
    assert frame["raw_insurance"].tolist() == ["Other", "Other", "", "Barter", ""]
    assert frame["insurance_link"].tolist() == ["emergency", "emergency", "admission", "admission", ""]
    assert frame.loc["b1", ["Cardiomegaly", "Consolidation", "Pleural Effusion", "Support Devices"]].tolist() == [
        1,
        -1,
        0,
        1,
    ]
    assert frame.loc["a2", "No Finding"] == 1, "labels belong to the study"
    assert frame.loc[["c1", "d1"], list(FINDINGS)].isna().all(axis=None)
    assert set(frame["dataset"]) == {"mimic-cxr-jpg"}
    assert set(frame["source"]) == {"real"}
    assert frame["h5_row"].isna().all()
    for path in frame["path"]:
        assert Path(path).read_text() == "no real picture"
    assert [path.rsplit("/", 2)[-2:] for path in frame["report_path"][:1]] == [["p10000032", "s50000001.txt"]]
    assert frame.loc["d1", "report_path"] == ""


def test_the_images_of_one_study_share_the_insurance_of_its_first(tmp_path, archive):
    root = archive(tmp_path)
    edit(next(root.rglob("*metadata.csv.gz")), "213016.0", "223016.0")  # By then the patient is admitted.
    frame, _ = cohort_of(root)
    assert frame["insurance_link"].tolist()[:2] == ["emergency", "emergency"]


def test_the_flow_names_everything_that_is_missing(tmp_path, archive):
    _, flow = cohort_of(archive(tmp_path))
    for words in (
        "'STRANGE' is not in view.csv",
        "no report file",
        "no official split",
        "no labels",
        "no age: no MIMIC-IV patient",
        "age top-coded",
        "no sex",
        "'MARTIAN', which is not in race_mimic_v2.csv",
        "race in conflict",
        "'Barter', which is not in insurance_mimic.csv",
    ):
        assert noted(flow, words) == [1], words
    assert noted(flow, "race unknown (by race_mimic_v2.csv)") == [2]
    assert noted(flow, "insurance unknown") == [3]
    assert flow.to_frame()["images"].eq(5).all()


def test_the_table_survives_writing_and_reading(tmp_path, archive):
    frame, _ = cohort_of(archive(tmp_path))
    write_cohort(frame.reset_index(), tmp_path / "cohort.csv")
    back = read_cohort(tmp_path / "cohort.csv").set_index("image_id")
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)


def test_the_order_of_rows_in_the_tables_does_not_matter(tmp_path, archive):
    expected, _ = cohort_of(archive(tmp_path / "a"))
    archive(tmp_path / "b")
    for path in (tmp_path / "b").rglob("*.csv.gz"):
        header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        path.write_bytes(gzip.compress("\n".join([header, *reversed(lines)]).encode()))
    other, _ = cohort_of(tmp_path / "b")
    unplaced = ["path", "report_path"]
    pd.testing.assert_frame_equal(other.drop(columns=unplaced), expected.drop(columns=unplaced))


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"jpg": "mimic-cxr-jpg/2.0.0", "cxr": "mimic-cxr/2.0.0", "hosp": "mimiciv/2.2/hosp"},
        {
            "jpg": "physionet.org/files/mimic-cxr-jpg/2.1.0",
            "cxr": "physionet.org/files/mimic-cxr/2.1.0",
            "hosp": "physionet.org/files/mimiciv/3.1/hosp",
        },
        {"jpg": "MIMIC-CXR-JPG", "cxr": "mimic-cxr-reports", "hosp": "mimic-iv-3.1/hosp"},
        {"jpg": ".", "cxr": ".", "hosp": "hosp"},
    ],
)
def test_the_usual_places_are_found(tmp_path, archive, layout):
    found = find_mimic(archive(tmp_path / "data", **layout))
    assert found is not None
    frame, _ = read_mimic(found)
    assert frame["report_path"].ne("").sum() == 4
    assert frame["sex"].ne("").sum() == 4
    assert found.source == "real"
    assert str(found.images_dir) in str(found)


def test_files_directly_below_the_archive_and_all_in_one_folder_are_found(tmp_path, archive):
    root = archive(tmp_path / "a", jpg="jpg")
    shutil.move(root / "jpg/files/p10", root / "jpg/p10")
    shutil.move(root / "jpg/files/p11", root / "jpg/p11")
    frame, _ = cohort_of(root)
    assert "jpg/p10/p10000032/s50000001/a1.jpg" in frame.loc["a1", "path"]

    root = archive(tmp_path / "b", jpg="jpg")
    dicom = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
    for kind in ("metadata", "split"):
        edit(root / f"jpg/mimic-cxr-2.0.0-{kind}.csv.gz", "a1,", f"{dicom},")
    shutil.rmtree(root / "jpg/files")
    (root / "jpg/files").mkdir()
    (root / f"jpg/files/{dicom}.jpg").write_text("flat")
    frame, flow = cohort_of(root)
    assert frame.index.tolist() == [dicom]
    assert noted(flow, "image file not in the archive") == [4]


def test_a_real_archive_comes_before_a_simulated_one_and_the_newest_first(tmp_path, archive):
    archive(tmp_path / "phantom")
    (tmp_path / "phantom/scenario.json").write_text("{}")
    simulated = find_mimic(tmp_path)
    assert simulated is not None
    assert simulated.source == "phantom"
    for version in ("2.0.0", "2.1.0", "2.0.10"):
        archive(tmp_path, jpg=f"mimic-cxr-jpg/{version}", cxr="", hosp="")
    real = find_mimic(tmp_path)
    assert real is not None
    assert (real.source, real.metadata.parent.name) == ("real", "2.1.0")
    assert (real.patients, real.reports_dir) == (None, None), "nothing is borrowed from simulated patients"
    inside = find_mimic(tmp_path / "phantom")
    assert inside is not None
    assert inside.source == "phantom"


def test_the_phantom_is_marked_in_every_row(tmp_path, archive):
    (archive(tmp_path) / "scenario.json").write_text("{}")
    frame, _ = cohort_of(tmp_path)
    assert set(frame["source"]) == {"phantom"}


def test_without_reports_and_mimic_iv_the_images_remain(tmp_path, archive):
    frame, flow = cohort_of(archive(tmp_path, cxr="", hosp=""))
    assert len(frame) == 5
    assert frame["age_years"].isna().all()
    for column in ("sex", "race", "insurance", "raw_race", "report_path"):
        assert set(frame[column]) == {""}, column
    for words in ("no folder of MIMIC-CXR reports", "no MIMIC-IV patients table", "no MIMIC-IV admissions table"):
        assert noted(flow, words) == [5], words


def test_the_first_release_of_mimic_iv_is_read_by_its_own_words(tmp_path, archive):
    root = archive(tmp_path, hosp="mimiciv/1.0/core")
    admissions = root / "mimiciv/1.0/core/admissions.csv.gz"
    edit(admissions, "marital_status,race", "marital_status,ethnicity")
    edit(admissions, "MARTIAN", "HISPANIC/LATINO")
    frame, flow = cohort_of(root)
    assert frame.loc["c1", "race"] == "Hispanic"
    assert noted(flow, "race unknown (by race_mimic_v1.csv)") == [1]


def test_missing_split_and_label_tables_are_noted(tmp_path, archive):
    root = archive(tmp_path)
    (root / "mimic-cxr-jpg/2.1.0/mimic-cxr-2.0.0-split.csv.gz").unlink()
    (root / "mimic-cxr-jpg/2.1.0/mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    frame, flow = cohort_of(root)
    assert set(frame["split"]) == {""}
    assert frame[list(FINDINGS)].isna().all(axis=None)
    assert noted(flow, "no split table") == [5]
    assert noted(flow, "no chexpert table") == [5]
    frame, _ = cohort_of(root, labeller="negbio")
    assert frame.loc["b1", "Cardiomegaly"] == 1


def test_unpacked_tables_are_read_too(tmp_path, archive):
    root = archive(tmp_path)
    for path in list(root.rglob("*.csv.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    frame, _ = cohort_of(root)
    assert frame["sex"].ne("").sum() == 4


def test_missing_images_are_left_out_and_counted(tmp_path, archive):
    root = archive(tmp_path)
    shutil.rmtree(root / "mimic-cxr-jpg/2.1.0/files/p11")
    frame, flow = cohort_of(root)
    assert frame.index.tolist() == ["a1", "a2", "b1"]
    assert noted(flow, "image file not in the archive") == [2]
    trusting, flow = cohort_of(root, check_files=False)
    assert len(trusting) == 5
    assert noted(flow, "image file") == []
    assert trusting.loc["d1", "report_path"].endswith("p11/p11000022/s50000004.txt")


def test_an_archive_without_images_is_an_error(tmp_path, archive):
    root = archive(tmp_path)
    layout = find_mimic(root)
    assert layout is not None
    with pytest.raises(FileNotFoundError, match=r"wanted images in .*gone, found no such folder"):
        read_mimic(replace(layout, images_dir=root / "gone"))
    (root / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds none of the 5 images"):
        read_mimic(replace(layout, images_dir=root / "empty"))


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("metadata", "ViewPosition", "View", "lacks the column 'ViewPosition'; found 'dicom_id'"),
        ("split", "a2,50000001,10000032,train", "a2,50000001,10000032,test", "patients are in more than one split"),
        ("chexpert", "Fracture", "Fractures", "lacks the column 'Fracture'"),
        ("chexpert", ",1.0,-1.0", ",maybe,-1.0", "Cardiomegaly holds 'maybe'; wanted 1, 0, -1 or nothing"),
        ("patients", "anchor_age", "age", "lacks the column 'anchor_age'"),
        ("admissions", "race", "colour", r"wanted a column 'race' \(v2 and later\) or 'ethnicity' \(v1\)"),
        ("admissions", "insurance", "payer", "lacks the column 'insurance'"),
    ],
)
def test_a_table_that_is_not_as_published_is_named(tmp_path, archive, table, old, new, message):
    root = archive(tmp_path)
    edit(next(root.rglob(f"*{table}.csv.gz")), old, new)
    with pytest.raises(ValueError, match=message):
        cohort_of(root)


def test_nothing_is_found_where_there_is_nothing(tmp_path):
    assert find_mimic(tmp_path) is None
    assert find_mimic(tmp_path / "nowhere") is None
    text = how_to_get_mimic("data")
    assert "python make_phantom.py --out_dir data/phantom" in text
    assert "https://physionet.org/content/mimic-cxr-jpg/2.1.0/" in text
    assert "below data/." in text


def test_folders_can_be_named_as_with_chexzeros_flags(tmp_path, archive):
    root = archive(tmp_path)
    files = root / "mimic-cxr-jpg/2.1.0/files"
    layout = layout_at(
        files, radiology_reports_path=f"{root}/mimic-cxr/2.1.0/files/", mimiciv_path=root / "mimiciv/3.1"
    )
    assert layout == find_mimic(root)
    bare = layout_at(files.parent)
    assert (bare.images_dir, bare.reports_dir, bare.patients) == (files, None, None)


def test_reports_among_dicom_files_do_not_pass_for_the_images(tmp_path, archive):
    """MIMIC-CXR itself has the same folders of studies, with .dcm files inside and the reports beside them."""
    root = archive(tmp_path, jpg="b/jpg", cxr="a/dicom")
    for report in list((root / "a/dicom/files").rglob("s*.txt")):
        report.with_suffix("").mkdir()
        (report.with_suffix("") / "x.dcm").write_text("DICOM")
    named = layout_at(root / "b/jpg/files", radiology_reports_path=root / "a/dicom")
    for layout in (named, find_mimic(root)):
        assert layout is not None
        assert (layout.images_dir, layout.reports_dir) == (root / "b/jpg/files", root / "a/dicom/files")


def test_named_folders_that_hold_something_else_are_refused(tmp_path, archive):
    root = archive(tmp_path)
    files = root / "mimic-cxr-jpg/2.1.0/files"
    empty = tmp_path / "empty/below"
    empty.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="chest_x_ray_path: wanted a folder, found none at nowhere"):
        layout_at("nowhere")
    with pytest.raises(FileNotFoundError, match=r"wanted mimic-cxr-2.0.0-metadata.csv.gz in .*--dataset_type csv"):
        layout_at(empty)
    with pytest.raises(FileNotFoundError, match="radiology_reports_path: wanted p10/"):
        layout_at(files, radiology_reports_path=empty)
    with pytest.raises(FileNotFoundError, match=r"mimiciv_path: wanted hosp/patients\.csv\.gz"):
        layout_at(files, mimiciv_path=empty)


def test_patients_meet_though_a_spreadsheet_made_their_ids_fractions(tmp_path, archive):
    root = archive(tmp_path)
    expected, _ = cohort_of(root)
    for name in ("patients.csv.gz", "admissions.csv.gz"):
        edit(next(root.rglob(name)), "10000032,", "10000032.0,")
    found, _ = cohort_of(root)
    pd.testing.assert_frame_equal(found, expected)
    assert found.loc["a1", ["sex", "race"]].tolist() == ["F", "White"]
