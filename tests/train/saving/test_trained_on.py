"""The record of what a run has seen: who is in it, and from where it starts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cohort.exposure import Cohort, check_exposure, image_hashes
from cohort.image_reader import ArrayImages
from cohort.training_record import TRAINED_ON, read_trained_on
from train.input.pairs import Pairs
from train.saving.trained_on import record_trained_on
from train.train_config import TrainConfig

CONFIG = TrainConfig(model="toy", pretrained=None)


def people(*rows):
    frame = pd.DataFrame({"h5_row": rows}, dtype="Int64")
    return frame.assign(dataset="d", image_id=[f"i{row}" for row in rows], subject_id=[f"p{row}" for row in rows])


@pytest.fixture
def pairs():
    pixels = np.random.default_rng(0).integers(0, 255, (6, 40, 40)).astype(np.uint8)
    return Pairs(images=ArrayImages(pixels), rows=np.array([4, 1, 3]), texts=["a", "b", "c"], cohort=people(4, 1, 3))


def test_trained_and_selected_images_are_recorded_with_their_pictures(pairs, tmp_path):
    record_trained_on(tmp_path, pairs, CONFIG, selected=people(0, 5))
    record = read_trained_on(tmp_path / TRAINED_ON)
    assert record.images["image_id"].tolist() == ["i4", "i1", "i3", "i0", "i5"]
    assert record.images["role"].tolist() == ["trained"] * 3 + ["selected"] * 2
    np.testing.assert_array_equal(record.hashes, image_hashes(pairs.images.array[[4, 1, 3, 0, 5]]))
    assert record.unrecorded == ""


def test_pictures_are_left_alone_on_request(pairs, tmp_path):
    record_trained_on(tmp_path, pairs, replace(CONFIG, record_pictures=False), selected=None)
    assert read_trained_on(tmp_path / TRAINED_ON).hashes is None


def test_without_a_cohort_images_are_recorded_by_id_so_that_an_evaluation_on_them_is_exposed(pairs, tmp_path):
    alone = replace(pairs, cohort=None, image_ids=["i4", "i1", "i3"])
    record_trained_on(tmp_path, alone, replace(CONFIG, record_pictures=True), selected=None)
    record = read_trained_on(tmp_path / TRAINED_ON)
    assert record.images[["dataset", "image_id", "subject_id"]].to_numpy().tolist() == [
        ["", f"i{n}", ""] for n in (4, 1, 3)
    ]
    np.testing.assert_array_equal(record.hashes, image_hashes(pairs.images.array[[4, 1, 3]]))
    found = check_exposure(Cohort(images=people(1, 2)), [record])
    assert found.stamp == "exposed"
    assert found.images["stamp"].tolist() == ["exposed", "unknown"]


def test_without_a_cohort_an_image_of_a_known_archive_is_found_by_its_id_too(pairs, tmp_path):
    record_trained_on(tmp_path, replace(pairs, cohort=None, image_ids=["i4", "i1", "i3"]), CONFIG, selected=None)
    evaluated = people(1, 2).assign(dataset="mimic-cxr", subject_id="")
    found = check_exposure(Cohort(images=evaluated), [read_trained_on(tmp_path / TRAINED_ON)])
    assert found.images["stamp"].tolist() == ["exposed", "unknown"]


def test_images_without_ids_are_unrecorded_by_the_name_of_their_file(pairs, tmp_path):
    settings = replace(CONFIG, pretrained="openai", cxr_filepath=tmp_path / "cxr.h5")
    record_trained_on(tmp_path, replace(pairs, cohort=None), settings, selected=None)
    record = read_trained_on(tmp_path / TRAINED_ON)
    assert (record.unrecorded, len(record.images)) == (f"{tmp_path / 'cxr.h5'} and toy:openai", 0)
    assert check_exposure(Cohort(images=people(1)), [record]).stamp == "unknown"


def test_a_run_that_starts_from_another_has_seen_what_that_one_has(pairs, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    record_trained_on(first, pairs, replace(CONFIG, pretrained="openai"), selected=None)
    other = replace(pairs, rows=pairs.rows[:2], texts=["x", "y"], cohort=people(2, 5))
    record_trained_on(second, other, replace(CONFIG, model=str(first)), selected=None)
    record = read_trained_on(second / TRAINED_ON)
    assert record.images["image_id"].tolist() == ["i2", "i5", "i4", "i1", "i3"]
    assert record.unrecorded == "toy:openai"


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ({"pretrained": "openai"}, "toy:openai"),
        ({"pretrained": "openai", "random_init": True}, ""),
        ({"pretrained": "openai", "text_tower": "hf:a/b"}, "toy:openai and hf:a/b"),
        ({"pretrained": "openai", "text_tower": "hf:a/b", "image_tower": "timm:c"}, "timm:c and hf:a/b"),
    ],
)
def test_what_nobody_recorded_is_named(pairs, tmp_path, start, name):
    record_trained_on(tmp_path, pairs, replace(CONFIG, **start), selected=None)
    assert read_trained_on(tmp_path / TRAINED_ON).unrecorded == name


def test_a_checkpoint_without_a_record_is_named(pairs, tmp_path):
    (tmp_path / "old.pt").write_bytes(b"")
    record_trained_on(tmp_path, pairs, replace(CONFIG, model=str(tmp_path / "old.pt")), selected=None)
    assert read_trained_on(tmp_path / TRAINED_ON).unrecorded == str(tmp_path / "old.pt")
