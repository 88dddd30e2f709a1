import numpy as np
import pandas as pd
import pytest

from cohort.labels import apply_uncertainty, read_labels
from cohort.names import FINDINGS

nan = float("nan")


def test_columns_are_chosen_by_name_whatever_their_order(tmp_path):
    """Two published files of the same test set have Lung Lesion and Lung Opacity in different order."""
    (tmp_path / "a.csv").write_text("image_id,Lung Opacity,Lung Lesion\nx,1.0,0.0\n007,,-1\n")
    (tmp_path / "b.csv").write_text("Lung Lesion,image_id,Lung Opacity\n0,x,1\n-1.0,007, \n")
    wanted = ["Lung Lesion", "Lung Opacity"]
    labels = read_labels(tmp_path / "a.csv", wanted)
    pd.testing.assert_frame_equal(labels, read_labels(tmp_path / "b.csv", wanted))
    assert labels.index.tolist() == ["x", "007"]
    np.testing.assert_array_equal(labels.to_numpy(), [[0, 1], [-1, nan]])


def test_chexperts_table_is_read_by_study_or_without_ids(tmp_path):
    (tmp_path / "g.csv").write_text("Study,Edema\nCheXpert-v1.0/test/patient64741/study1,1\n")
    by_study = read_labels(tmp_path / "g.csv", ["Edema"], id_column="Study")
    assert by_study.loc["CheXpert-v1.0/test/patient64741/study1", "Edema"] == 1
    assert read_labels(tmp_path / "g.csv", ["Edema"], id_column=None).index.tolist() == [0]


def test_mimics_other_spelling_of_lung_opacity_is_understood(tmp_path):
    (tmp_path / "t.csv").write_text("study_id,Airspace Opacity\n5,1\n")
    assert read_labels(tmp_path / "t.csv", ["Lung Opacity"], id_column="study_id").loc["5", "Lung Opacity"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,Edema\nx,1\n", "has no column for 'Fracture'; found 'image_id', 'Edema'"),
        ("image,Edema,Fracture\nx,1,0\n", "lacks the column 'image_id'"),
        ("image_id,Edema,Fracture\nx,1,0\nx,1,0\n", "1 ids occur more than once: 'x'"),
        ("image_id,Edema,Fracture\nx,0.7,0\n", "holds '0.7'; wanted 1, 0, -1 or nothing"),
        ("image_id,Edema,Fracture\nx,yes,0\n", "holds 'yes'; wanted 1, 0, -1 or nothing"),
    ],
)
def test_labels_that_cannot_be_read_say_why(tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "labels.csv", ["Edema", "Fracture"])


@pytest.mark.parametrize(
    ("policy", "edema", "fracture"),
    [
        ("U-keep", [1, 0, -1, nan], [1, 0, -1, nan]),
        ("U-zeros", [1, 0, 0, nan], [1, 0, 0, nan]),
        ("U-ones", [1, 0, 1, nan], [1, 0, 1, nan]),
        ("U-ignore", [1, 0, nan, nan], [1, 0, nan, nan]),
        ("U-mixed", [1, 0, 1, nan], [1, 0, 0, nan]),
    ],
)
def test_each_policy_does_to_uncertain_labels_what_its_name_says(policy, edema, fracture):
    frame = pd.DataFrame({"age_years": -1.0, "Edema": [1.0, 0.0, -1.0, nan], "Fracture": [1.0, 0.0, -1.0, nan]})
    before = frame.copy()
    decided = apply_uncertainty(frame, policy)
    np.testing.assert_array_equal(decided["Edema"], edema)
    np.testing.assert_array_equal(decided["Fracture"], fracture)
    np.testing.assert_array_equal(decided["age_years"], -1.0)
    pd.testing.assert_frame_equal(frame, before)
    filled = apply_uncertainty(frame, policy, blank_is_zero=True)
    assert filled["Edema"].iloc[3] == 0
    assert filled["Edema"].iloc[2] == edema[2] or np.isnan(edema[2])


def test_a_finding_of_one_s_own_follows_the_same_policy():
    frame = pd.DataFrame({"Silicosis": [1.0, -1.0, nan], "age_years": -1.0})
    decided = apply_uncertainty(frame, "U-ones", findings=["Silicosis"], blank_is_zero=True)
    np.testing.assert_array_equal(decided["Silicosis"], [1, 1, 0])
    np.testing.assert_array_equal(decided["age_years"], -1.0)


def test_ignored_labels_stay_missing_where_blanks_become_zero():
    decided = apply_uncertainty(pd.DataFrame({"Edema": [-1.0, nan]}), "U-ignore", blank_is_zero=True)
    np.testing.assert_array_equal(decided["Edema"], [nan, 0.0])


def test_a_policy_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"wanted one of 'U-keep', 'U-zeros'.*found 'zeros'"):
        apply_uncertainty(pd.DataFrame({finding: [1.0] for finding in FINDINGS}), "zeros")
