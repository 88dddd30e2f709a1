import ast

import numpy as np
import pytest

from cohort.sources.label_map import read_label_map
from cohort.sources.padchest import TABLE, UNREADABLE, read_padchest

VIEWS = {"PA": "PA", "AP_horizontal": "AP_SUPINE", "L": "LATERAL"}
POSITIONS = {"POSTEROANTERIOR": "PA", "ANTEROPOSTERIOR": "AP", "LATERAL": "LATERAL"}


@pytest.fixture
def padchest(miniature):
    return miniature("padchest")[0]


def test_every_image_has_its_own_row_of_the_table(padchest, lines_of, noted):
    frame, flow = read_padchest(padchest)
    entries = lines_of(padchest / TABLE)
    for row, entry in zip(frame.to_dict("records"), entries, strict=True):
        assert row["image_id"] == entry["ImageID"]
        assert (row["subject_id"], row["study_id"]) == (entry["PatientID"], entry["StudyID"])
        assert row["path"] == str(padchest / entry["ImageDir"] / entry["ImageID"])
        by_projection = VIEWS.get(entry["Projection"], POSITIONS[entry["ViewPosition_DICOM"]])
        assert row["view"] == by_projection
        assert row["age_years"] == int(entry["StudyDate_DICOM"][:4]) - float(entry["PatientBirth"])
        assert row["sex"] == entry["PatientSex_DICOM"], "a sex that is not given is not female"
        assert row["report"] == entry["Report"]
        assert row["label_method"] == entry["MethodLabel"]
    assert "" in set(frame["sex"])
    assert noted(flow, "sex unknown") == [int(frame["sex"].eq("").sum())]
    assert set(frame["label_method"]) == {"Physician", "RNN_model"}


def test_lists_are_read_as_lists_and_no_list_is_not_normal(padchest, lines_of, noted):
    frame, flow = read_padchest(padchest)
    for row, entry in zip(frame.to_dict("records"), lines_of(padchest / TABLE), strict=True):
        terms = [term.strip() for term in ast.literal_eval(entry["Labels"] or "[]") if term.strip()]
        assert row["own_labels"] == "|".join(terms)
        if not entry["Labels"]:
            assert all(np.isnan(row[finding]) for finding in ("Cardiomegaly", "No Finding", "Pleural Other"))
            continue
        assert row["Atelectasis"] == float("laminar atelectasis" in terms)
        assert row["Cardiomegaly"] == float("cardiomegaly" in terms)
        assert row["Support Devices"] == float("central venous catheter" in terms)
        assert row["No Finding"] == float("normal" in terms)
        assert row["Pleural Other"] == 1.0 if "pleural thickening" in terms else np.isnan(row["Pleural Other"])
        assert np.isnan(row["Lung Opacity"]), "infiltrates only hint at it"
    without = [entry for entry in lines_of(padchest / TABLE) if not entry["Labels"]]
    assert noted(flow, "no list of labels") == [len(without)] != [0]


def test_terms_are_compared_without_blanks_and_capitals(copied, edit):
    root = copied("padchest")
    edit(root / TABLE, "normal", " NoRMal ")

    assert "normal" in "|".join(read_padchest(root)[0]["own_labels"])


def test_every_term_of_the_map_is_written_as_the_reader_writes_terms():
    for term in read_label_map("padchest.csv").labels:
        assert term == term.strip().lower()


def test_images_that_are_known_to_be_damaged_are_left_out(copied, edit, noted):
    names = UNREADABLE.read_text().split()[1:]
    assert len(names) == len(set(names)) == 21
    root = copied("padchest")
    first = read_padchest(root)[0]["image_id"][0]
    edit(root / TABLE, first, names[0])
    frame, flow = read_padchest(root)
    assert noted(flow, "known to be unreadable") == [1]
    assert names[0] not in set(frame["image_id"])


@pytest.mark.parametrize(
    ("born", "date", "reason"),
    [("", "20140915", "not given"), ("1930.0", "", "not given"), ("2016", "20140915", "negative")],
)
def test_an_age_that_cannot_be_known_says_why(copied, lines_of, born, date, reason):
    root = copied("padchest")
    text = (root / TABLE).read_text()
    entry = lines_of(root / TABLE)[0]
    row = next(line for line in text.splitlines() if entry["ImageID"] in line)
    changed = row.replace(entry["PatientBirth"], born).replace(entry["StudyDate_DICOM"], date)
    (root / TABLE).write_text(text.replace(row, changed))
    first = read_padchest(root)[0].iloc[0]
    assert np.isnan(first["age_years"])
    assert first["age_reason"] == reason


def test_a_column_that_is_missing_is_named(copied, edit):
    root = copied("padchest")
    edit(root / TABLE, "MethodLabel", "Method")
    with pytest.raises(ValueError, match=r"PadChest: .* lacks the column 'MethodLabel'"):
        read_padchest(root)
