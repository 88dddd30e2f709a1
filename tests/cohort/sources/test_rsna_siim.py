import json

import numpy as np
import pytest

from cohort.sources.nih import read_nih
from cohort.sources.rsna import read_rsna
from cohort.sources.siim import read_siim

BOXES = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"


@pytest.fixture
def rsna(miniature):
    return miniature("rsna")[0]


@pytest.fixture
def siim(miniature):
    return miniature("siim")[0]


def test_boxes_become_one_row_per_image_with_its_class(rsna, lines_of):
    frame, _ = read_rsna(rsna)
    targets = {line["patientId"]: line["Target"] for line in lines_of(rsna / BOXES)}
    classes = {line["patientId"]: line["class"] for line in lines_of(rsna / CLASSES)}
    assert len(lines_of(rsna / BOXES)) > len(frame), "some images have two boxes"
    assert frame["image_id"].tolist() == list(targets)
    for row in frame.to_dict("records"):
        name = classes[row["image_id"]]
        assert row["Lung Opacity"] == row["Pneumonia"] == float(targets[row["image_id"]])
        assert row["No Finding"] == float(name == "Normal")
        assert row[f"own_{name}"] == 1
        assert np.isnan(row["Edema"])


def test_the_mapping_gives_back_the_patients_of_chestx_ray14(rsna, miniature):
    frame, _ = read_rsna(rsna)
    nih = read_nih(miniature("nih")[0])[0].set_index("image_id")
    origin = nih.loc[frame["origin_image_id"]]
    assert frame["subject_id"].tolist() == origin["subject_id"].tolist()
    for column in ("view", "sex", "age_years"):
        assert frame[column].tolist() == origin[column].tolist(), column


def test_without_the_mapping_no_patient_is_known_and_the_flow_says_so(copied, noted):
    root = copied("rsna")
    (root / MAPPING).write_text("{}[]")
    with pytest.raises(ValueError, match="wanted a list of objects with subset_img_id and img_id"):
        read_rsna(root)
    entries = [{"subset_img_id": "unheard of", "img_id": "00000001_000.png"}]
    (root / MAPPING).write_text(json.dumps(entries))
    frame, flow = read_rsna(root)
    assert frame["subject_id"].tolist() == frame["image_id"].tolist()
    assert noted(flow, "the patient is not known") == [len(frame)]


def test_a_class_of_another_name_is_refused(copied, edit):
    root = copied("rsna")
    edit(root / CLASSES, ",Normal", ",Abnormal")
    with pytest.raises(ValueError, match=r"wanted the classes 'Lung Opacity', .* found 'Abnormal' too"):
        read_rsna(root)


def test_outlines_are_counted_and_minus_one_is_none(siim, lines_of):
    frame, _ = read_siim(siim)
    outlines = {}
    for line in lines_of(siim / "train-rle.csv"):
        outlines.setdefault(line["ImageId"], []).append(line[" EncodedPixels"].strip())
    assert frame["image_id"].tolist() == list(outlines)
    for row in frame.to_dict("records"):
        runs = [one for one in outlines[row["image_id"]] if one != "-1"]
        assert (row["outlines"], row["Pneumothorax"]) == (str(len(runs)), float(bool(runs)))
        assert row["path"].endswith(f"{row['image_id']}.dcm")
        assert np.isnan(row["Pneumonia"])
        assert row["age_years"] >= 0
    assert frame["Pneumothorax"].sum() > 0


def test_the_second_stage_s_table_has_no_blank_and_is_read_too(copied, edit):
    root = copied("siim")
    usual = read_siim(root)[0]
    edit(root / "train-rle.csv", " EncodedPixels", "EncodedPixels")
    (root / "train-rle.csv").rename(root / "stage_2_train.csv")
    assert read_siim(root)[0]["Pneumothorax"].equals(usual["Pneumothorax"])
