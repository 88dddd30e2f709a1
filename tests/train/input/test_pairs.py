"""Images and texts meet by id, and nothing is left out in silence."""

from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest

from cohort import COLUMNS, FINDINGS, write_cohort
from cohort.image_reader import ArrayImages
from train.input.pairs import Pairs, load_pairs
from train.train_config import TrainConfig

IDS = ["i0", "i1", "i2", "i3", "i4"]
TEXTS = ["Edema.", "___", "Clear lungs.", "No effusion. NA", "NO IMPRESSION"]


def write_store(path, ids, *, dtype=np.uint8, black=()):
    with h5py.File(path, "w") as file:
        levels = np.arange(len(ids), dtype=dtype)[:, None, None] + 10
        pixels = np.broadcast_to(levels, (len(ids), 8, 8)).astype(dtype)
        pixels[:, -1] = 0
        pixels[list(black)] = 0
        file["cxr"] = pixels
        if dtype == np.uint8:
            file["image_id"] = ids
            file.attrs.update(format_version=1, resolution=8, resize_rule="x", archive_fingerprint="y", complete=True)


def write_texts(path, ids, texts, **more):
    columns = {"filename": [f"s{i}.txt" for i in range(len(texts))], "impression": texts}
    columns |= {"image_id": ids} if ids else {}
    pd.DataFrame(columns | more).to_csv(path, index=False)


def cohort_table(splits, views):
    frame = pd.DataFrame({name: [""] * len(IDS) for name in COLUMNS})
    frame["image_id"], frame["subject_id"] = IDS, [f"p{i}" for i in range(len(IDS))]
    frame["dataset"], frame["source"], frame["status"] = "test", "phantom", "packed"
    frame["split"], frame["view"] = splits, views
    numeric = [name for name in COLUMNS if name in ("age_years", "h5_row") or name[0].isupper()]
    frame[numeric] = np.nan
    return frame


@pytest.fixture
def files(tmp_path):
    write_store(tmp_path / "cxr.h5", IDS)
    write_texts(tmp_path / "texts.csv", list(reversed(IDS)), list(reversed(TEXTS)))
    settings = TrainConfig(
        cxr_filepath=tmp_path / "cxr.h5",
        txt_filepath=tmp_path / "texts.csv",
        cohort_filepath=tmp_path / "cohort.csv",
        no_cohort=True,
    )
    return SimpleNamespace(folder=tmp_path, config=settings, with_cohort=replace(settings, no_cohort=False))


def test_texts_in_another_order_meet_their_own_images(files):
    pairs = load_pairs(files.config)
    assert list(pairs.texts) == ["Edema.", "Clear lungs.", "No effusion. NA"]
    assert pairs.images.read(pairs.rows)[:, 0, 0].tolist() == [10, 12, 13]


def test_images_without_text_are_left_out_and_counted_and_the_want_of_a_cohort_is_noted(files):
    pairs = load_pairs(files.config)
    assert {reason: n for reason, n in pairs.left_out.items() if n} == {"no text": 2}
    described = pairs.describe()
    assert "3 image-text pairs" in described
    assert "left out, no text: 2" in described
    assert "note: --no_cohort: all images of the store are used, whatever their patient, split and view" in described


def test_a_cohort_that_is_missing_is_an_error_that_names_the_file_and_the_way_out(files):
    with pytest.raises(
        FileNotFoundError,
        match=r"--cohort_filepath: wanted the cohort table .*cohort.csv, found none.*"
        r"--no_cohort to train on all images, test patients included",
    ):
        load_pairs(files.with_cohort)


def test_images_of_a_single_grey_level_are_left_out_and_counted(files):
    write_store(files.folder / "cxr.h5", IDS, black=(0, 1))
    pairs = load_pairs(files.config)
    assert list(pairs.texts) == ["Clear lungs.", "No effusion. NA"]
    assert pairs.image_ids == ["i2", "i3"]
    assert "left out, image has a single grey level: 2" in pairs.describe()


def test_only_the_frontal_views_of_the_split_are_trained_on(files):
    write_cohort(
        cohort_table(["train", "train", "test", "train", "train"], ["PA"] * 3 + ["LATERAL", "AP"]),
        files.folder / "cohort.csv",
    )
    pairs = load_pairs(files.with_cohort)
    assert list(pairs.texts) == ["Edema."]
    reasons = {"split is not train": 1, "view is not frontal": 1, "image has a single grey level": 0, "no text": 2}
    assert pairs.left_out == reasons
    assert pairs.notes == ()


def test_a_split_without_images_is_an_error_that_names_the_splits(files):
    write_cohort(cohort_table(["test"] * 5, ["PA"] * 5), files.folder / "cohort.csv")
    with pytest.raises(ValueError, match=r"no image of .*cohort.csv is in split 'train'; found 'test'"):
        load_pairs(files.with_cohort)


def test_images_that_the_cohort_does_not_know_are_an_error(files):
    write_cohort(cohort_table(["train"] * 5, ["PA"] * 5).iloc[1:], files.folder / "cohort.csv")
    with pytest.raises(ValueError, match=r"cohort.csv lacks 1 of 5 images of .*cxr.h5, such as i0"):
        load_pairs(files.with_cohort)


def test_an_image_without_a_text_row_is_an_error_that_names_it(files):
    write_texts(files.folder / "texts.csv", IDS[:4], TEXTS[:4])
    with pytest.raises(ValueError, match=r"1 of 5 images have no text: .*i4"):
        load_pairs(files.config)


def test_an_empty_csv_is_an_error(files):
    (files.folder / "texts.csv").write_text("filename,impression,image_id\n")
    with pytest.raises(ValueError, match=r"texts.csv"):
        load_pairs(files.config)


def test_files_of_chexzero_without_ids_pair_by_row(files):
    write_store(files.folder / "cxr.h5", IDS, dtype=np.float32)
    write_texts(files.folder / "texts.csv", None, TEXTS)
    write_cohort(cohort_table(["test"] * 5, ["PA"] * 5), files.folder / "cohort.csv")
    pairs = load_pairs(files.config)
    assert pairs.rows.tolist() == [0, 2, 3]
    assert pairs.image_ids is None
    with pytest.raises(ValueError, match=r"--cohort_filepath: wanted images with ids to join .* --no_cohort to train"):
        load_pairs(files.with_cohort)


def test_second_texts_meet_their_images_by_id_and_stand_in_where_the_first_is_missing(files):
    second = {"i4": "Left effusion.", "i0": "Heart is large.", "i2": "___"}
    write_texts(files.folder / "second.csv", list(second), list(second.values()))
    pairs = load_pairs(replace(files.config, second_txt_filepath=files.folder / "second.csv"))
    assert pairs.rows.tolist() == [0, 2, 3, 4]
    assert list(pairs.texts) == ["Edema.", "Clear lungs.", "No effusion. NA", "Left effusion."]
    assert list(pairs.second_texts) == ["Heart is large.", "", "", ""]
    assert pairs.left_out == {"image has a single grey level": 0, "no text": 1}


def test_a_second_text_without_image_is_an_error_that_names_it(files):
    write_texts(files.folder / "second.csv", ["i0", "i7"], ["Edema.", "Fluid."])
    with pytest.raises(ValueError, match=r"second.csv: 1 of 2 texts have no image, such as i7"):
        load_pairs(replace(files.config, second_txt_filepath=files.folder / "second.csv"))


def test_second_texts_without_ids_are_an_error(files):
    write_texts(files.folder / "second.csv", None, TEXTS)
    with pytest.raises(ValueError, match=r"second texts are joined by image_id, .*second.csv does not have"):
        load_pairs(replace(files.config, second_txt_filepath=files.folder / "second.csv"))


def test_the_study_of_an_image_comes_from_the_texts_or_else_from_the_cohort(files):
    table = cohort_table(["train"] * 5, ["PA"] * 5)
    table["study_id"] = ["c0", "c1", "c2", "c3", "c4"]
    write_cohort(table, files.folder / "cohort.csv")
    # `filename` is s0.txt to s4.txt, in the reverse order of the images
    assert load_pairs(files.with_cohort).study_ids == ["4", "2", "1"]
    text_table = pd.read_csv(files.folder / "texts.csv", keep_default_na=False).drop(columns="filename")
    text_table.to_csv(files.folder / "texts.csv", index=False)
    assert load_pairs(files.with_cohort).study_ids == ["c0", "c2", "c3"]
    assert load_pairs(files.config).study_ids is None


def test_labels_come_from_the_cohort_in_the_order_of_the_pairs(files):
    assert load_pairs(files.config).labels is None
    table = cohort_table(["train"] * 5, ["PA"] * 5)
    table["Edema"] = [1, 0, -1, np.nan, 0]
    write_cohort(table, files.folder / "cohort.csv")
    labels = load_pairs(files.with_cohort).labels
    assert labels.shape == (3, len(FINDINGS))
    np.testing.assert_array_equal(labels[:, FINDINGS.index("Edema")], [1, -1, np.nan])


@pytest.mark.parametrize("fields", [{"second_texts": ["a"]}, {"study_ids": ["a"]}])
def test_what_else_is_known_must_be_known_of_every_pair(fields):
    images = ArrayImages(np.zeros((2, 4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match=rf"{next(iter(fields))} of each image wanted, found 2 images and 1"):
        Pairs(images=images, rows=np.arange(2), texts=["Edema.", "Fluid."], **fields)


def test_identical_texts_everywhere_are_refused_and_git_lfs_is_recognised():
    images = ArrayImages(np.zeros((2, 4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"all 2 texts are identical, there is nothing to learn: 'Edema.'"):
        Pairs(images=images, rows=np.arange(2), texts=["Edema."] * 2)
    with pytest.raises(ValueError, match=r"git-lfs pointers, run `git lfs pull`"):
        Pairs(images=images, rows=np.arange(2), texts=["version https://git-lfs.github.com/spec/v1 oid 1"] * 2)


def test_no_text_at_all_is_refused(files):
    write_texts(files.folder / "texts.csv", IDS, ["___", "", "NO IMPRESSION", ".", " "])
    with pytest.raises(ValueError, match=r"no image-text pairs are left"):
        load_pairs(files.config)


def test_shuffling_deals_the_same_texts_to_other_images():
    images = ArrayImages(np.zeros((50, 4, 4), dtype=np.uint8))
    texts, second = ([f"{name} {i}" for i in range(50)] for name in ("text", "second"))
    labels = np.arange(50.0)[:, None]
    pairs = Pairs(images=images, rows=np.arange(50), texts=texts, second_texts=second, labels=labels)
    shuffled = pairs.shuffled(np.random.default_rng(0))
    numbers = [text.split()[1] for text in shuffled.texts]
    assert [text.split()[1] for text in shuffled.second_texts] == numbers
    assert [f"{label:g}" for label in shuffled.labels[:, 0]] == numbers
    assert sorted(shuffled.texts) == sorted(pairs.texts)
    assert sum(a == b for a, b in zip(shuffled.texts, pairs.texts, strict=True)) < 5
    assert shuffled.rows.tolist() == pairs.rows.tolist()
