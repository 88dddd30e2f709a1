import numpy as np
import pytest

from cohort.cohort_table import read_cohort, write_cohort
from cohort.names import FINDINGS
from cohort.sources.nih import LABELS, read_nih

MEANING = {
    "Atelectasis": ["Atelectasis"],
    "Cardiomegaly": ["Cardiomegaly"],
    "Consolidation": ["Consolidation"],
    "Edema": ["Edema"],
    "Lung Lesion": ["Mass", "Nodule"],
    "No Finding": ["No Finding"],
    "Pleural Effusion": ["Effusion"],
    "Pneumonia": ["Pneumonia"],
    "Pneumothorax": ["Pneumothorax"],
}
"""What absence means absence for; Pleural Other is looked at apart."""


@pytest.fixture
def nih(miniature):
    return miniature("nih")[0]


def test_every_image_has_its_own_row_of_the_table(nih, lines_of):
    frame, flow = read_nih(nih)
    entries = lines_of(nih / "Data_Entry_2017_v2020.csv")
    assert frame["image_id"].tolist() == [entry["Image Index"] for entry in entries]
    assert frame["subject_id"].tolist() == [entry["Patient ID"] for entry in entries]
    assert frame["study_id"].tolist() == [f"{entry['Patient ID']}_{entry['Follow-up #']}" for entry in entries]
    assert frame["age_years"].tolist() == [float(entry["Patient Age"]) for entry in entries]
    assert frame["sex"].tolist() == [entry["Patient Gender"] for entry in entries]
    assert frame["view"].tolist() == [entry["View Position"] for entry in entries]
    assert frame["raw_labels"].tolist() == [entry["Finding Labels"] for entry in entries]
    for path, name in zip(frame["path"], frame["image_id"], strict=True):
        assert next(nih.glob(f"images_0*/images/{name}")).samefile(path)
    assert set(frame["dataset"]) == {"nih"}
    assert set(frame["source"]) == {"phantom"}
    assert set(frame["race"]) | set(frame["insurance"]) == {""}
    assert flow.steps[0].rows == len(entries)


def test_labels_are_whole_words_and_absence_is_absence_only_where_the_archive_looks(nih, lines_of):
    frame, _ = read_nih(nih)
    for row, entry in zip(frame.to_dict("records"), lines_of(nih / "Data_Entry_2017_v2020.csv"), strict=True):
        said = entry["Finding Labels"].split("|")
        for finding in FINDINGS:
            if finding in MEANING:
                assert row[finding] == float(any(word in said for word in MEANING[finding])), (finding, said)
            elif finding == "Pleural Other":
                assert row[finding] == 1.0 if "Pleural_Thickening" in said else np.isnan(row[finding])
            else:
                assert np.isnan(row[finding]), finding
        assert [row[f"own_{label}"] for label in LABELS] == [int(label in said) for label in LABELS]
    assert {"Infiltration", "Effusion"} <= {word for words in frame["raw_labels"] for word in words.split("|")}


def test_the_official_lists_are_the_split(nih):
    frame, _ = read_nih(nih)
    test = (nih / "test_list.txt").read_text().split()
    assert frame.loc[frame["split"].eq("test"), "image_id"].tolist() == test
    assert set(frame["split"]) == {"train", "test"}
    assert set(frame["split_official"]) == {"train_val", "test"}


@pytest.mark.parametrize("header_ends_with_a_comma", [True, False])
def test_the_first_edition_has_other_ages_padded_ids_and_a_comma_too_many(copied, noted, header_ends_with_a_comma):
    root = copied("nih")
    if not header_ends_with_a_comma:
        text = (root / "Data_Entry_2017.csv").read_text()
        (root / "Data_Entry_2017.csv").write_text(text.replace("y],\n", "y]\n", 1))
    first, flow = read_nih(root, edition="2017")
    later, _ = read_nih(root)
    for column in ("image_id", "subject_id", "study_id", "sex", "view", "path", "Edema", "split"):
        assert first[column].tolist() == later[column].tolist(), column
    assert first["age_years"][0] == pytest.approx(13 / 12)
    assert np.isnan(first["age_years"][1])
    assert first["age_years"].tolist()[2:] == later["age_years"].tolist()[2:]
    assert noted(flow, "no age: over 120") == [1]
    (root / "Data_Entry_2017_v2020.csv").unlink()
    assert read_nih(root)[0]["age_years"].equals(first["age_years"]), "the first edition is taken where it is alone"


def test_a_cohort_with_own_labels_survives_writing(nih, tmp_path):
    frame, _ = read_nih(nih)
    write_cohort(frame, tmp_path / "cohort.csv")
    again = read_cohort(tmp_path / "cohort.csv")
    assert again["own_Infiltration"].tolist() == frame["own_Infiltration"].astype(str).tolist()
    assert again["Edema"].equals(frame["Edema"])


def test_files_and_rows_without_each_other_are_counted(copied, noted):
    root = copied("nih")
    gone, *_ = sorted((root / "images_001/images").glob("*.png"))
    gone.rename(gone.with_name("99999999_000.png"))
    frame, flow = read_nih(root)
    assert gone.name not in set(frame["image_id"])
    assert noted(flow, "image file not in the archive") == [1]
    assert noted(flow, "image files that no table lists") == [1]
    unchecked, flow = read_nih(root, check_files=False)
    assert len(unchecked) == len(frame) + 1
    assert unchecked.set_index("image_id").loc[gone.name, "path"] == str(root / gone.name)
    assert noted(flow, "image file not in the archive") == []


def test_without_the_lists_there_is_no_split(copied, noted):
    root = copied("nih")
    (root / "test_list.txt").unlink()
    frame, flow = read_nih(root)
    assert set(frame["split"]) == {"train", ""}
    assert noted(flow, "no test_list.txt") == [None]
    assert noted(flow, "in none of the official lists") == [int(frame["split"].eq("").sum())]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Patient Gender", "Sex", "lacks the column 'Patient Gender'"),
        ("No Finding", "Nothing", r"found \['Nothing'\] too"),
    ],
)
def test_a_table_that_is_not_as_published_is_named(copied, edit, old, new, message):
    root = copied("nih")
    edit(root / "Data_Entry_2017_v2020.csv", old, new)
    with pytest.raises(ValueError, match=message):
        read_nih(root)


def test_an_archive_that_is_not_there_says_where_to_get_it(tmp_path, copied):
    with pytest.raises(FileNotFoundError, match=r"wanted its folder, found none at .*nowhere.*nihcc\.app\.box\.com"):
        read_nih(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"wanted Data_Entry_2017_v2020.csv or Data_Entry_2017.csv in"):
        read_nih(tmp_path)
    root = copied("nih")
    for path in root.rglob("*.png"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"not one of the \d+ images that the tables list is there"):
        read_nih(root)
