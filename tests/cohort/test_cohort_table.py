import numpy as np
import pandas as pd
import pytest

import cohort
from cohort.cohort_table import COLUMNS, FINDINGS, listed, read_cohort, validate, write_cohort


def a_cohort(n: int = 3) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(n)],
            "subject_id": [f"00{row}" for row in range(n)],
            "study_id": [f"s{row}" for row in range(n)],
            "path": "a/b.jpg",
            "view": "PA",
            "split": "train",
            "age_years": np.linspace(0.5, 90, n),
            "sex": "F",
            "race": "",
            "insurance": "None",
            **dict.fromkeys(FINDINGS, float("nan")),
            "Edema": [1.0, 0.0, -1.0][:n] + [float("nan")] * max(0, n - 3),
            "raw_race": "NA",
        }
    )
    return listed(frame, dataset="test", source="real")


def test_a_patient_in_two_splits_is_refused_however_its_id_is_written():
    frame = a_cohort().assign(subject_id=["13", "p13", "14"], split=["train", "test", "test"])
    with pytest.raises(ValueError, match=r"1 patients are in more than one split: 'p13'"):
        validate(frame)


def test_hundreds_of_images_of_one_patient_are_refused_and_a_few_are_not():
    few, many = a_cohort(99), a_cohort(100)
    listed(few.assign(subject_id="test"), dataset="test", source="real")
    with pytest.raises(ValueError, match=r"wanted the patient of each image as subject_id, found 'test' for all 100"):
        listed(many.assign(subject_id="test"), dataset="test", source="real")


@pytest.mark.parametrize("name", ["cohort.csv", "cohort.csv.gz"])
def test_a_cohort_comes_back_as_it_was_written(tmp_path, name):
    frame = a_cohort()
    frame["h5_row"] = pd.array([2, pd.NA, 0], dtype="Int64")
    write_cohort(frame, tmp_path / name)
    back = read_cohort(tmp_path / name)
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)
    assert back["subject_id"].tolist() == ["000", "001", "002"]
    assert back["insurance"].tolist() == ["None"] * 3, "a word, not a missing value"
    assert back["h5_row"].dtype == "Int64"
    assert back["Edema"].dtype == "float64"


def test_labels_are_written_as_the_design_says(tmp_path):
    write_cohort(a_cohort(), tmp_path / "cohort.csv")
    lines = (tmp_path / "cohort.csv").read_text().splitlines()
    assert lines[0].startswith(",".join(COLUMNS))
    edema = COLUMNS.index("Edema")
    assert [line.split(",")[edema] for line in lines[1:]] == ["1", "0", "-1"]
    assert {line.split(",")[COLUMNS.index("Fracture")] for line in lines[1:]} == {""}


def test_the_same_table_gives_the_same_compressed_bytes(tmp_path):
    for folder in ("a", "b"):
        write_cohort(a_cohort(), tmp_path / folder / "cohort.csv.gz")
    compressed = (tmp_path / "a/cohort.csv.gz").read_bytes()
    assert compressed == (tmp_path / "b/cohort.csv.gz").read_bytes()
    assert compressed[4:8] == bytes(4), "the time stamp of the gzip header"


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("image_id", ["x", "x", "y"], "1 ids occur more than once: 'x'"),
        ("image_id", ["", "x", "y"], "1 of 3 ids are blank"),
        ("subject_id", ["", "1", "2"], "1 of 3 images have no subject_id: 'i0'"),
        ("view", ["PA", "pa", "frontal"], "2 of 3 images have a view that is none of 'PA', 'AP'"),
        ("source", ["real", "real", "dream"], "a source that is none of"),
        ("sex", ["F", "male", ""], "a sex that is none of 'F', 'M', ''"),
        ("Edema", [0.5, 0.0, 1.0], "a label of 'Edema' that is none of 1, 0, -1, blank: 'i0'"),
        ("age_years", [-1.0, 5.0, 121.0], "2 of 3 images have an age outside 0 to 120 years: 'i0', 'i2'"),
        ("h5_row", pd.array([1, 1, pd.NA], dtype="Int64"), "an h5_row that another image has too: 'i0', 'i1'"),
        ("h5_row", pd.array([-1, 1, pd.NA], dtype="Int64"), "a negative h5_row: 'i0'"),
    ],
)
def test_what_breaks_a_rule_is_named(column, values, message):
    frame = a_cohort()
    frame[column] = values
    with pytest.raises(ValueError, match=message):
        validate(frame)


def test_a_patient_in_two_splits_is_refused():
    frame = a_cohort().assign(subject_id=["7", "7", "8"], split=["train", "test", "test"])
    with pytest.raises(ValueError, match="1 patients are in more than one split: '7'"):
        validate(frame)
    validate(frame.assign(split=["train", "", "test"]))


def test_nothing_is_written_when_the_table_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="no subject_id"):
        write_cohort(a_cohort().assign(subject_id=""), tmp_path / "cohort.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; wanted a CSV with a header"),
        ("image_id,path\n", "lacks the columns 'subject_id', 'study_id'"),
        (",".join(COLUMNS) + "\n", "has a header but no rows"),
        ('image_id\n"a', "lacks the columns|cannot be read"),
    ],
)
def test_a_file_that_is_no_cohort_says_why(tmp_path, text, message):
    (tmp_path / "cohort.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_cohort(tmp_path / "cohort.csv")


def test_a_missing_file_says_which(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"wanted the file .*nowhere.csv, found none"):
        read_cohort(tmp_path / "nowhere.csv")


def test_a_broken_gzip_says_so(tmp_path):
    (tmp_path / "cohort.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="cannot be read as UTF-8 CSV"):
        read_cohort(tmp_path / "cohort.csv.gz")


@pytest.mark.parametrize(("column", "value"), [("age_years", "old"), ("Edema", "yes"), ("h5_row", "first")])
def test_a_number_that_is_none_is_named(tmp_path, column, value):
    write_cohort(a_cohort(), tmp_path / "cohort.csv")
    lines = (tmp_path / "cohort.csv").read_text().splitlines()
    fields = lines[1].split(",")
    fields[COLUMNS.index(column)] = value
    (tmp_path / "cohort.csv").write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]))
    with pytest.raises(ValueError, match=f"column '{column}' holds what is no number: '{value}'"):
        read_cohort(tmp_path / "cohort.csv")


def test_a_fraction_is_no_row_number(tmp_path):
    write_cohort(a_cohort(1), tmp_path / "cohort.csv")
    path = tmp_path / "cohort.csv"
    path.write_text(path.read_text().replace(",,listed", ",1.5,listed"))
    with pytest.raises(ValueError, match="'h5_row' has fractions"):
        read_cohort(path)


def test_every_public_name_of_the_package_can_be_had():
    assert all(getattr(cohort, name) is not None for name in cohort.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        cohort.nonsense  # noqa: B018


def test_findings_are_the_fourteen_of_chexpert_in_the_order_of_chexzero():
    assert len(FINDINGS) == 14
    assert list(FINDINGS) == sorted(FINDINGS)
