import json
import os

import numpy as np
import pytest
from openpyxl import Workbook, load_workbook

from cohort.names import FINDINGS
from cohort.sources.chexpert import read_chexpert
from cohort.sources.chexpert_plus import read_chexpert_plus
from cohort.sources.chexpert_test import read_chexpert_test
from cohort.value_tables import TABLES, read_value_table
from preprocess.text.sections import choose_text, section_text, split_sections

SMALL = "CheXpert-v1.0-small"


def number(text):
    return float(text) if text else np.nan


@pytest.fixture
def chexpert(miniature):
    return miniature("chexpert")[0]


def test_every_image_has_its_own_row_of_the_tables(chexpert, lines_of):
    frame, _ = read_chexpert(chexpert)
    entries = lines_of(chexpert / SMALL / "train.csv") + lines_of(chexpert / SMALL / "valid.csv")
    assert len(frame) == len(entries) > 15
    for row, entry in zip(frame.to_dict("records"), entries, strict=True):
        _, folder, patient, study, name = entry["Path"].split("/")
        assert row["image_id"] == f"{patient}/{study}/{name.removesuffix('.jpg')}"
        assert (row["subject_id"], row["study_id"]) == (patient, f"{patient}/{study}")
        assert (row["split_official"], row["split"]) == (folder, {"train": "train", "valid": "validate"}[folder])
        assert row["path"] == str(chexpert / entry["Path"])
        assert row["sex"] == entry["Sex"][0]
        assert row["view"] == (entry["AP/PA"] if entry["Frontal/Lateral"] == "Frontal" else "LATERAL")
        assert np.isnan(row["age_years"]) if entry["Age"] == "0" else row["age_years"] == float(entry["Age"])
        np.testing.assert_array_equal([row[f] for f in FINDINGS], [number(entry[f]) for f in FINDINGS])
    assert {-1.0, 0.0, 1.0} <= set(frame[list(FINDINGS)].stack())
    assert frame["age_years"].isna().any()


def test_race_and_ethnicity_come_from_the_spreadsheet_as_excel_would_show_it(chexpert):
    frame, _ = read_chexpert(chexpert)
    header, *rows = load_workbook(chexpert / "CHEXPERT DEMO.xlsx").active.iter_rows(values_only=True)
    assert header == ("PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY")
    races = read_value_table("race_chexpert.csv").groups
    for patient, _, _, race, ethnicity in rows:
        mine = frame[frame["subject_id"] == patient]
        assert set(mine["raw_race"]) == {race or ""}
        assert set(mine["raw_ethnicity"]) == {ethnicity or ""}
        assert set(mine["race"]) == {races[(race or "").casefold()]}
        told = {"Hispanic/Latino": "Hispanic", "Hispanic": "Hispanic"}.get(ethnicity)
        if told:
            assert set(mine["ethnicity"]) == {told}
    assert len(set(frame["race"])) >= 3


def test_the_race_table_is_the_published_list_of_words():
    table = read_value_table("race_chexpert.csv")
    lines = (TABLES / "race_chexpert.csv").read_text().splitlines()[1:]
    assert len(table.groups) == 24, "23 words and nothing"
    assert sum(int(line.rsplit(",", 1)[1] or 0) for line in lines) == 221_006
    assert table.groups["white, hispanic"] == "White"
    assert table.groups["patient refused"] == ""
    assert table.groups["other"] == "Other", "unknown is not other"


def test_a_race_that_says_the_ethnicity_counts_where_the_ethnicity_is_unknown(copied, noted):
    root = copied("chexpert")
    book = Workbook()
    book.active.append(["PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY"])
    book.active.append(["patient00002", "Male", 60, "White, Hispanic", "Unknown"])
    book.active.append(["patient00003", "Male", 60, "Asian", None])
    book.active.append(["patient00003", "Male", 60, "Black or African American", None])
    book.active.append(["patient00004", "Male", 60, "Martian", "Hispanic"])
    book.save(root / "CHEXPERT DEMO.xlsx")
    frame, flow = read_chexpert(root)
    said = frame.drop_duplicates("subject_id").set_index("subject_id")[["race", "ethnicity", "raw_race"]]
    assert said.loc["patient00002"].tolist() == ["White", "Hispanic", "White, Hispanic"]
    assert said.loc["patient00003"].tolist() == ["conflict", "", "Asian | Black or African American"]
    assert said.loc["patient00004"].tolist() == ["", "Hispanic", "Martian"]
    assert noted(flow, "the race 'Martian', which is not in race_chexpert.csv: 1") == [None]
    assert noted(flow, "race in conflict") == [int(frame["race"].eq("conflict").sum())]


def test_another_labeller_changes_the_labels_of_the_training_images_only(chexpert, lines_of):
    frame, _ = read_chexpert(chexpert, labeller="chexbert")
    usual, _ = read_chexpert(chexpert)
    entries = lines_of(chexpert / SMALL / "train_cheXbert.csv")
    for finding in FINDINGS:
        np.testing.assert_array_equal(frame[finding][: len(entries)], [number(entry[finding]) for entry in entries])
        np.testing.assert_array_equal(frame[finding][len(entries) :], usual[finding][len(entries) :])


def test_a_copy_under_another_name_gives_the_same_ids(copied, chexpert):
    root = copied("chexpert")
    (root / SMALL).rename(root / "my-copy")
    renamed, usual = read_chexpert(root / "my-copy")[0], read_chexpert(chexpert)[0]
    assert renamed["image_id"].tolist() == usual["image_id"].tolist()
    assert renamed["race"].tolist() == usual["race"].tolist(), "the spreadsheet is found above the folder"


def test_what_is_missing_is_said(copied, noted, edit):
    root = copied("chexpert")
    (root / "CHEXPERT DEMO.xlsx").write_text("no spreadsheet")
    with pytest.raises(ValueError, match=r"CHEXPERT DEMO.xlsx cannot be read as a spreadsheet"):
        read_chexpert(root)
    (root / "CHEXPERT DEMO.xlsx").unlink()
    (root / SMALL / "valid.csv").unlink()
    frame, flow = read_chexpert(root)
    assert set(frame["race"]) == {""}
    assert noted(flow, "no race and no ethnicity: no CHEXPERT DEMO.xlsx was found") == [len(frame)]
    edit(root / SMALL / "train.csv", f"{SMALL}/train/patient00002/study1/view1", "elsewhere/patient2/view1")
    with pytest.raises(
        ValueError, match=r"wanted paths such as train/patient00001/study1/view1_frontal.jpg, found 'else"
    ):
        read_chexpert(root)


def test_chexpert_plus_has_the_same_images_with_reports(miniature, chexpert, lines_of):
    root = miniature("chexpert-plus")[0]
    frame, _ = read_chexpert_plus(root)
    entries = lines_of(root / "df_chexpert_plus_240401.csv")
    assert sorted(frame["image_id"]) == sorted(read_chexpert(chexpert)[0]["image_id"])
    labels = {one["path_to_image"]: one for one in map(json.loads, (root / "chexbert_labels/report_fixed.json").open())}
    for row, entry in zip(frame.to_dict("records"), entries, strict=True):
        assert row["path"] == str(root / "PNG" / entry["path_to_image"].replace(".jpg", ".png"))
        assert row["sex"] == entry["sex"][0]
        assert row["insurance"] == entry["insurance_type"]
        assert row["subject_id"] == entry["deid_patient_id"]
        given = [labels[entry["path_to_image"]][finding] for finding in FINDINGS]
        np.testing.assert_array_equal([row[f] for f in FINDINGS], [np.nan if v is None else v for v in given])
        sections = split_sections(row["report"])
        for name in ("impression", "findings", "history", "comparison"):
            assert (section_text(sections, name) or "") == " ".join(entry[f"section_{name}"].split())
    assert choose_text(split_sections(frame["report"][0])).section_used in {"impression", "findings"}


def test_chexpert_plus_does_without_what_is_unsure_of(copied, edit, noted):
    root = copied("chexpert-plus")
    edit(root / "df_chexpert_plus_240401.csv", "insurance_type", "insurer")
    (root / "chexbert_labels/report_fixed.json").unlink()
    (root / "PNG").rename(root / "elsewhere")
    with pytest.raises(FileNotFoundError, match="not one of the"):
        read_chexpert_plus(root)
    frame, flow = read_chexpert_plus(root, check_files=False)
    assert frame[list(FINDINGS)].isna().all(axis=None)
    assert noted(flow, "no labels") == [len(frame)]
    assert noted(flow, "no insurance: the table has no column insurance_type") == [len(frame)]
    (root / "chexbert_labels/report_fixed.json").write_text('{"path_to_image": "train/patient00002/study1/v.jpg"}\n')
    with pytest.raises(ValueError, match="wanted one JSON object per line with path_to_image and the 14 findings"):
        read_chexpert_plus(root, check_files=False)


def test_the_test_set_is_joined_by_names_whatever_the_order(copied, lines_of, noted):
    root = copied("chexpert-test")
    truth = {line["Study"].split("test/")[1]: line for line in lines_of(root / "groundtruth.csv")}
    backwards = [list(reversed(line.split(","))) for line in (root / "groundtruth.csv").read_text().splitlines()]
    shuffled = [backwards[0], *reversed(backwards[1:])]
    (root / "groundtruth.csv").write_text("\n".join(",".join(line) for line in shuffled))
    frame, _ = read_chexpert_test(root / "CheXpert-v1.0/test", check_files=False)
    assert frame["image_id"].tolist() == sorted(frame["image_id"])
    assert all(name.endswith("view1_frontal") for name in frame["image_id"])
    for row in frame.to_dict("records"):
        assert [row[f] for f in FINDINGS] == [float(truth[row["study_id"]][f]) for f in FINDINGS]
    (root / "groundtruth.csv").unlink()
    frame, flow = read_chexpert_test(root / "CheXpert-v1.0/test", check_files=False)
    assert frame["Edema"].isna().all()
    assert noted(flow, "no groundtruth.csv was found") == [len(frame)]
    with pytest.raises(ValueError, match=r"wanted 500 first views below .* give --allow_count"):
        read_chexpert_test(root / "CheXpert-v1.0/test")
    (root / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"wanted \*/\*/view1_\*\.jpg below"):
        read_chexpert_test(root / "empty")


@pytest.mark.parametrize("with_train_folder", [False, True])
@pytest.mark.parametrize("named", ["", "CheXpert-v1.0 batch 1 (validate & csv)"])
def test_the_four_folders_that_stanford_distributes_are_one_archive(copied, with_train_folder, named):
    root = copied("chexpert")
    whole, _ = read_chexpert(root)
    small, first = root / "CheXpert-v1.0-small", root / "CheXpert-v1.0 batch 1 (validate & csv)"
    patients = sorted((small / "train").iterdir())
    for number, patient in enumerate(patients):
        below = "train" if with_train_folder else ""
        folder = root / f"CheXpert-v1.0 batch {2 + number % 3} (train {1 + number % 3})" / below
        folder.mkdir(parents=True, exist_ok=True)
        patient.rename(folder / patient.name)
    (small / "train").rmdir()
    small.rename(first)
    frame, _ = read_chexpert(root / named)
    assert frame["image_id"].tolist() == whole["image_id"].tolist()
    assert set(frame["split"]) == {"train", "validate"}
    assert frame["path"].map(os.path.isfile).all()


def test_a_patient_of_the_test_set_is_read_from_its_folder_and_not_from_the_folder_named(copied):
    root = copied("chexpert-test")
    expected, _ = read_chexpert_test(root / "CheXpert-v1.0/test", check_files=False)
    for above in (root / "CheXpert-v1.0", root):
        frame, _ = read_chexpert_test(above, check_files=False)
        ids = ["image_id", "subject_id", "study_id"]
        assert frame[ids].to_numpy().tolist() == expected[ids].to_numpy().tolist()
        assert frame["subject_id"].str.fullmatch(r"patient\d+").all()
    (root / "CheXpert-v1.0/test/view1_loose.jpg").touch()
    with pytest.raises(ValueError, match=r"wanted paths such as patient64741/study1/view1_frontal.jpg .* 'view1_loose"):
        read_chexpert_test(root / "CheXpert-v1.0/test", check_files=False)
