"""Which rows are scored, and against which labels."""

import h5py
import numpy as np
import pandas as pd
import pytest

from cohort import FINDINGS, open_images, read_cohort
from zero_shot import choose_labels, select_images


@pytest.fixture
def opened(archive):
    with open_images(archive.cxr) as store:
        yield archive, read_cohort(archive.cohort), store


@pytest.mark.parametrize(("column", "value"), [("status", "failed"), ("status", "excluded"), ("h5_row", pd.NA)])
def test_packed_frontal_rows_of_the_split_are_scored_in_order_of_their_ids(opened, column, value):
    archive, cohort, store = opened
    cohort.loc[3, column] = value
    chosen, images, flow = select_images(cohort, store, split="test")
    frame = archive.frame
    wanted = frame[(frame["split"] == "test") & (frame["view"] == "PA") & (frame.index != 3)]
    assert list(images.ids) == chosen["image_id"].tolist() == sorted(wanted["image_id"])
    steps = flow.to_frame()
    assert steps["reason"].tolist()[1:] == [
        "not in the split 'test'",
        "not a frontal view",
        "not packed (see status_reason)",
        "image has a single grey level",
    ]
    assert steps["rows"].tolist()[1:] == [12, 3, 1, 0]


def test_pixels_are_joined_by_id_whatever_the_order_of_the_table(opened):
    archive, cohort, store = opened
    _, images, _ = select_images(cohort.sample(frac=1, random_state=0), store, split="all", views="all")
    pixels = np.concatenate(list(images.batches(7)))
    rows = archive.frame.set_index("image_id").index.get_indexer(list(images.ids))
    np.testing.assert_array_equal(pixels, archive.pixels[rows])


def test_a_file_without_ids_is_joined_by_its_row(opened):
    archive, cohort, _ = opened
    path = archive.cxr.with_name("chexzero.h5")
    with h5py.File(path, "w") as file:
        file.create_dataset("cxr", data=archive.pixels.astype(np.float32))
    with open_images(path) as store:
        _, images, _ = select_images(cohort, store, split="test")
        rows = archive.frame.set_index("image_id").index.get_indexer(list(images.ids))
        np.testing.assert_array_equal(next(images.batches(100)), archive.pixels[rows])
        cohort.loc[0, "h5_row"] = 99
        with pytest.raises(ValueError, match="has 48 rows, but the cohort's h5_row goes beyond for 1 images"):
            select_images(cohort, store, split="test")


def test_a_store_of_another_cohort_is_refused_by_id(opened):
    _, cohort, store = opened
    with pytest.raises(ValueError, match=r"2 of 48 image ids in .* are not in the cohort table, first image-"):
        select_images(cohort.iloc[2:], store, split="test")


def test_an_image_that_the_store_lacks_is_refused_by_id(opened):
    _, cohort, store = opened
    extra = pd.concat([cohort, cohort.iloc[[0]].assign(image_id="stranger", h5_row=48)], ignore_index=True)
    with pytest.raises(ValueError, match=r"1 of .* ids are not in .*'stranger'"):
        select_images(extra, store, split="test")


def test_an_empty_split_names_the_splits_there_are(opened):
    _, cohort, store = opened
    with pytest.raises(ValueError, match="no image is left to score; the cohort's splits are: test, train"):
        select_images(cohort, store, split="validate")


def frame(**columns):
    table = pd.DataFrame({"image_id": ["a", "b", "c"], **{name: [np.nan] * 3 for name in FINDINGS}})
    return table.assign(**columns)


def test_cohort_labels_take_blank_for_absent_and_leave_out_uncertain_ones():
    labels = choose_labels(frame(Edema=[1.0, -1.0, np.nan], Fracture=[0.0, 0.0, 1.0]), ["Edema", "Fracture"])
    np.testing.assert_array_equal(labels["Edema"], [1.0, np.nan, 0.0])
    assert labels["image_id"].tolist() == ["a", "b", "c"]


def test_images_and_findings_without_any_label_stay_blank():
    labels = choose_labels(frame(Edema=[1.0, np.nan, 0.0]), ["Edema", "Fracture"])
    np.testing.assert_array_equal(labels["Edema"], [1.0, np.nan, 0.0])
    assert labels["Fracture"].isna().all()


def test_uncertain_labels_follow_the_policy():
    table = frame(Edema=[1.0, -1.0, 0.0])
    assert choose_labels(table, ["Edema"], uncertainty_policy="U-ones")["Edema"].tolist() == [1.0, 1.0, 0.0]
    assert choose_labels(table, ["Edema"], uncertainty_policy="U-zeros")["Edema"].tolist() == [1.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="U-keep leaves -1"):
        choose_labels(table, ["Edema"], uncertainty_policy="U-keep")


def test_a_truth_file_is_read_by_name_and_by_id(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("Fracture,image_id,Edema\n1,c,0\n0,x,0\n0,a,1\n1,b,\n")
    labels = choose_labels(frame(), ["Edema", "Fracture"], truth_filepath=path)
    np.testing.assert_array_equal(labels["Edema"], [1.0, np.nan, 0.0])
    np.testing.assert_array_equal(labels["Fracture"], [0.0, 1.0, 1.0])


def test_truth_files_that_lack_columns_or_images_are_refused_by_name(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("image_id,Edema\na,1\nb,0\n")
    with pytest.raises(ValueError, match="no column for 'Fracture'"):
        choose_labels(frame(), ["Edema", "Fracture"], truth_filepath=path)
    with pytest.raises(ValueError, match="has no row for 1 of 3 images, first c"):
        choose_labels(frame(), ["Edema"], truth_filepath=path)


def test_a_finding_that_the_cohort_does_not_know_asks_for_a_truth_file():
    with pytest.raises(ValueError, match="no labels for Scoliosis: give --truth_filepath"):
        choose_labels(frame(), ["Edema", "Scoliosis"])


def test_a_finding_of_one_s_own_in_a_truth_file_follows_the_policy(tmp_path):
    (tmp_path / "truth.csv").write_text("image_id,Silicosis\na,1\nb,-1\nc,\n")
    chosen = pd.DataFrame({"image_id": ["a", "b", "c"]})
    labels = choose_labels(
        chosen,
        ["Silicosis"],
        truth_filepath=tmp_path / "truth.csv",
        uncertainty_policy="U-ones",
        blank_is_zero=True,
    )
    # an image that nobody labelled stays blank
    np.testing.assert_array_equal(labels["Silicosis"], [1, 1, np.nan])
