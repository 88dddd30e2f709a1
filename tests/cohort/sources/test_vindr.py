from collections import defaultdict

import numpy as np
import pytest
from pydicom import dcmread

from cohort.sources.vindr import CXR_LABELS, PCXR_LABELS, read_vindr_cxr, read_vindr_pcxr


@pytest.fixture
def cxr(miniature):
    return miniature("vindr-cxr")[0]


def test_two_of_three_readers_decide_and_the_consensus_is_taken_as_it_is(cxr, lines_of):
    frame, _ = read_vindr_cxr(cxr)
    votes, readings = defaultdict(int), defaultdict(int)
    for line in lines_of(cxr / "annotations/image_labels_train.csv"):
        readings[line["image_id"]] += 1
        for label in CXR_LABELS:
            votes[line["image_id"], label] += int(line[label])
    consensus = {line["image_id"]: line for line in lines_of(cxr / "annotations/image_labels_test.csv")}
    outvoted = 0
    for row in frame.to_dict("records"):
        for label in CXR_LABELS:
            if row["split"] == "train":
                assert row[f"own_{label}"] == (votes[row["image_id"], label] >= 2), label
                outvoted += votes[row["image_id"], label] == 1
            else:
                name = "Other disease" if label == "Other diseases" else label
                assert row[f"own_{label}"] == int(consensus[row["image_id"]][name]), label
        assert int(row["readers"]) == readings.get(row["image_id"], 1)
    assert outvoted > 0
    assert set(frame["split"]) == {"train", "test"}


def test_findings_follow_the_map(cxr):
    for row in read_vindr_cxr(cxr)[0].to_dict("records"):
        assert row["Pleural Effusion"] == row["own_Pleural effusion"]
        assert row["Fracture"] == max(row["own_Rib fracture"], row["own_Clavicle fracture"])
        assert row["Lung Lesion"] == max(row["own_Nodule/Mass"], row["own_Lung tumor"])
        assert row["Pleural Other"] == 1.0 if row["own_Pleural thickening"] else np.isnan(row["Pleural Other"])
        assert np.isnan(row["Support Devices"])


def test_age_and_sex_are_those_of_the_headers(cxr, noted):
    frame, flow = read_vindr_cxr(cxr)
    for row in frame.to_dict("records"):
        header = dcmread(row["path"])
        assert row["sex"] == (header.PatientSex if header.PatientSex in "FM" else "")
        age = header.get("PatientAge", "")
        assert row["age_years"] == int(age[:3]) if age else np.isnan(row["age_years"])
    assert noted(flow, "no age: not given") == [int(frame["age_years"].isna().sum())]
    assert noted(flow, "sex 'O' is not in sex.csv: unknown") == [int(frame["raw_sex"].eq("O").sum())] != [0]
    assert set(frame["view"]) == {"PA"}
    assert frame["subject_id"].equals(frame["image_id"])


def test_children_have_ages_in_months_and_days_and_labels_of_their_own(miniature, lines_of):
    root = miniature("vindr-pcxr")[0]
    frame, _ = read_vindr_pcxr(root)
    entries = {
        line["image_id"]: line for name in ("train", "test") for line in lines_of(root / f"image_labels_{name}.csv")
    }
    for row in frame.to_dict("records"):
        entry = entries[row["image_id"]]
        assert [row[f"own_{label}"] for label in PCXR_LABELS] == [int(entry[label]) for label in PCXR_LABELS]
        pneumonias = ("Pneumonia", "Brocho-pneumonia", "Pleuro-pneumonia")
        assert row["Pneumonia"] == float(any(entry[label] == "1" for label in pneumonias))
        assert np.isnan(row["Cardiomegaly"]), "the archive does not label it"
    ages = set(frame["age_years"].dropna().round(4))
    assert ages == {3.0, round(7 / 12, 4), round(21 / 365.25, 4)}


def test_a_header_that_cannot_be_read_costs_age_and_sex_but_not_the_image(copied, noted):
    root = copied("vindr-cxr")
    broken, *_ = sorted((root / "train").glob("*.dicom"))
    broken.write_bytes(b"no DICOM at all")
    frame, flow = read_vindr_cxr(root)
    row = frame.set_index("image_id").loc[broken.stem]
    assert (row["sex"], row["age_reason"]) == ("", "not given")
    assert noted(flow, "DICOM header cannot be read: InvalidDicomError") == [1]


def test_a_label_that_is_missing_is_named(copied, edit):
    root = copied("vindr-cxr")
    edit(root / "annotations/image_labels_train.csv", "Nodule/Mass", "Nodule")
    with pytest.raises(ValueError, match=r"VinDr-CXR: .*image_labels_train.csv lacks the labels 'Nodule/Mass'"):
        read_vindr_cxr(root)
