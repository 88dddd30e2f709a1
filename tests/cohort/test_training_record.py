import gzip
import re

import numpy as np
import pandas as pd
import pytest

from cohort import check_exposure
from cohort.exposure import Cohort
from cohort.training_record import TRAINED_ON, read_trained_on, write_trained_on

BY_IDS = "not seen in training; compared by archive, image id and patient id; pictures were not compared"


def images(n=4, **columns):
    frame = pd.DataFrame({"dataset": "nih", "image_id": [f"0000{k}.png" for k in range(n)], "subject_id": range(n)})
    return frame.astype(str).assign(**({"role": "trained"} | columns))


def hashes(n=4, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, (n, 8), dtype=np.uint64)


def test_a_record_comes_back_as_it_was_written_and_in_the_same_bytes(tmp_path):
    written = images(role=["trained", "selected", "trained", "trained"], origin_image_id=["", "x", "NA", ""], age="1")
    for name in ("a.csv.gz", "b.csv.gz"):
        write_trained_on(tmp_path / name, written, hashes(), unrecorded="ViT-B-32:openai")
    record = read_trained_on(tmp_path / "a.csv.gz")
    names = ["dataset", "image_id", "subject_id", "origin_image_id", "role"]
    pd.testing.assert_frame_equal(record.images, written[names])
    np.testing.assert_array_equal(record.hashes, hashes())
    assert record.unrecorded == "ViT-B-32:openai"
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert TRAINED_ON == "trained_on.csv.gz"


def test_the_file_is_a_table_that_a_person_can_read(tmp_path):
    write_trained_on(tmp_path / TRAINED_ON, images(1), np.array([[1, 2**64 - 1, 0, 0, 0, 0, 0, 0]], dtype=np.uint64))
    text = gzip.decompress((tmp_path / TRAINED_ON).read_bytes()).decode()
    digits = f"{1:016x}" + "f" * 16 + "0" * 96
    assert text == f"dataset,image_id,subject_id,origin_image_id,role,hash\nnih,00000.png,0,,trained,{digits}\n"


def test_without_hashes_there_are_none_and_a_cohort_table_serves_as_a_record(tmp_path):
    write_trained_on(tmp_path / TRAINED_ON, images())
    assert read_trained_on(tmp_path / TRAINED_ON).hashes is None
    images().drop(columns="role").assign(split="train", status="packed").to_csv(tmp_path / "cohort.csv", index=False)
    record = read_trained_on(tmp_path / "cohort.csv")
    assert set(record.images["role"]) == {"trained"}
    assert "split" not in record.images


def test_images_that_chose_the_checkpoint_expose_too_and_the_reason_says_so():
    evaluated = Cohort(images=images(4))
    trained = Cohort(images=images(2, role=["trained", "selected"]))
    found = check_exposure(evaluated, [trained])
    assert found.images["reason"].tolist() == [
        "the image is in training (nih)",
        "the image is among those that chose the checkpoint (nih)",
        BY_IDS,
        BY_IDS,
    ]


def test_what_is_not_on_record_makes_clean_impossible_but_hides_no_exposure():
    found = check_exposure(Cohort(images=images(3)), [Cohort(images=images(1), unrecorded="hub weights")])
    unknown = "what hub weights was trained on is not on record"
    assert found.images["reason"].tolist() == ["the image is in training (nih)", unknown, unknown]
    assert (found.stamp, found.images["stamp"].tolist()) == ("exposed", ["exposed", "unknown", "unknown"])
    nothing = Cohort(images=images(0), unrecorded="the model")
    assert check_exposure(Cohort(images=images(3)), [nothing]).counts == {
        "what the model was trained on is not on record": 3
    }


def test_ids_expose_within_an_archive_that_nobody_knows_and_the_rest_of_it_is_unknown():
    mine = images(3, dataset="", subject_id=["a", "b", "c"])
    train = pd.concat([mine[:1], images(1, dataset="", image_id="other.png", subject_id="b")], ignore_index=True)
    found = check_exposure(Cohort(images=mine), [Cohort(images=train)])
    assert found.images["stamp"].tolist() == ["exposed", "exposed", "unknown"]
    assert "the archive without a name" in found.images["reason"][2]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (images().drop(columns="role"), {}, "found no 'role'"),
        (images(role="tested"), {}, "wanted the roles 'trained', 'selected', found 'tested'"),
        (images(subject_id=["a", "", "c", None]), {}, "wanted image_id and subject_id of every image, found 2 without"),
        (images(), {"hashes": hashes(3)}, "wanted one hash per image, found 3 for 4 images"),
        (images(0), {}, "wanted the images that were trained on, found none"),
    ],
)
def test_what_is_no_record_is_not_written(tmp_path, frame, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        write_trained_on(tmp_path / TRAINED_ON, frame, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset,image_id\nnih,a\n", "lacks the column 'subject_id'"),
        ("dataset,image_id,subject_id,role\nnih,a,1,seen\n", "wanted the roles 'trained', 'selected', found 'seen'"),
        ("dataset,image_id,subject_id,hash\nnih,a,1,00ff\n", "wanted a hash of 128 hexadecimal digits"),
        (f"dataset,image_id,subject_id,hash\nnih,a,1,{'0' * 128}\nnih,b,1,\n", "for every image or for none, found ''"),
    ],
)
def test_what_is_no_record_is_not_read(tmp_path, text, message):
    (tmp_path / "record.csv").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_trained_on(tmp_path / "record.csv")
