"""The record of training is found beside every kind of checkpoint, and what is not on record is never clean."""

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

import run_zero_shot
from cohort.exposure import image_hashes
from cohort.training_record import TRAINED_ON, write_trained_on
from zero_shot import ZeroShotConfig
from zero_shot.evaluation.seen_in_training import stamp

CLEAN = "not seen in training; compared by archive, image id and patient id; pictures were not compared"
UNKNOWN = "what the model was trained on is not on record"


@pytest.fixture
def run_folder(checkpoint, tmp_path):
    """Return a run's folder with one checkpoint, as training leaves it, without a record."""
    shutil.copytree(checkpoint, tmp_path / "run/checkpoints/step_000001")
    (tmp_path / "run/latest").write_text("checkpoints/step_000001")
    return tmp_path / "run"


@pytest.fixture
def score(archive, run_folder, tmp_path):
    """Return a function that names the archive NIH and scores its test split."""
    archive.frame["dataset"] = "nih"
    archive.frame.to_csv(archive.cohort, index=False)

    def run(**options):
        settings = {
            "checkpoints": (str(run_folder),),
            "cxr_filepath": archive.cxr,
            "cohort_filepath": archive.cohort,
            "out_dir": tmp_path / "out",
            "findings": ("Edema",),
            "n_replicates": 40,
            "device": "cpu",
        }
        return run_zero_shot.main(ZeroShotConfig(**settings | options))

    return run


def rows(archive, split, role="trained"):
    return archive.frame[archive.frame["split"] == split].assign(role=role)


def test_a_run_on_other_patients_is_clean_and_says_so_in_the_specification(
    score, archive, run_folder, tmp_path, capsys
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/exposure.csv").write_text("of an earlier evaluation")
    write_trained_on(run_folder / TRAINED_ON, rows(archive, "train"))
    results = score()
    n = len(results.predictions)
    said = json.loads((tmp_path / "out/spec.json").read_text())["exposure"]
    assert said == {
        "stamp": "clean",
        "images": {CLEAN: n},
        "records": {str(run_folder): str(run_folder / TRAINED_ON)},
        "named_records": [],
    }
    assert not (tmp_path / "out/exposure.csv").exists()
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("exposure: clean") + 1] == f"{n} images: {CLEAN}"


def test_a_model_that_was_chosen_on_the_scored_images_is_exposed_image_by_image(score, archive, run_folder, tmp_path):
    test = rows(archive, "test", role="selected")
    write_trained_on(run_folder / TRAINED_ON, test[test["subject_id"] == "p3"])
    results = score()
    table = pd.read_csv(tmp_path / "out/exposure.csv")
    assert table["image_id"].tolist() == results.predictions["image_id"].tolist()
    of_patient = results.cohort["subject_id"].eq("p3").tolist()
    assert table["stamp"].tolist() == ["exposed" if one else "clean" for one in of_patient]
    assert set(table["reason"]) == {"the image is among those that chose the checkpoint (nih)", CLEAN}
    assert results.spec["exposure"]["stamp"] == "exposed"


def test_without_a_record_nothing_is_clean_not_even_in_an_ensemble_with_one_that_has_it(
    score, archive, run_folder, other_checkpoint, tmp_path
):
    assert score().spec["exposure"]["images"] == {UNKNOWN: 33}
    write_trained_on(run_folder / TRAINED_ON, rows(archive, "train"))
    said = score(checkpoints=(str(run_folder), str(other_checkpoint))).spec["exposure"]
    assert (said["stamp"], said["images"]) == ("unknown", {UNKNOWN: 33})
    assert said["records"] == {str(run_folder): str(run_folder / TRAINED_ON), str(other_checkpoint): None}
    assert set(pd.read_csv(tmp_path / "out/exposure.csv")["stamp"]) == {"unknown"}


def test_records_that_the_user_names_speak_for_checkpoints_without_one(score, archive, tmp_path):
    rows(archive, "train").drop(columns="role").to_csv(tmp_path / "theirs.csv", index=False)
    assert score(trained_on=(tmp_path / "theirs.csv",)).exposure.stamp == "clean"
    archive.frame.to_csv(tmp_path / "all.csv", index=False)
    results = score(trained_on=(tmp_path / "theirs.csv", tmp_path / "all.csv"))
    assert results.exposure.counts == {"the image is in training (nih)": 33}
    assert results.spec["exposure"]["named_records"] == [str(tmp_path / "theirs.csv"), str(tmp_path / "all.csv")]
    with pytest.raises(FileNotFoundError, match=r"the record of training: wanted the file .*gone.csv"):
        score(trained_on=(tmp_path / "gone.csv",))


def test_pictures_are_compared_where_the_record_has_hashes(score, archive, run_folder):
    """The archive of training has other names for the same films; only their pictures give them away."""
    ids = archive.frame["image_id"].tolist()
    disguised = rows(archive, "test").iloc[:5].assign(dataset="padchest", subject_id="nobody")
    pixels = archive.pixels[[ids.index(one) for one in disguised["image_id"]]]
    renamed = disguised.assign(image_id=[f"other {k}" for k in range(5)])
    write_trained_on(run_folder / TRAINED_ON, renamed)
    assert score().exposure.stamp == "clean"
    write_trained_on(run_folder / TRAINED_ON, renamed, image_hashes(pixels))
    found = score().exposure.images
    assert set(found.loc[found["stamp"] == "exposed", "reason"]) == {"the same picture is in training"}
    scored = set(disguised["image_id"]) & set(found["image_id"])
    assert set(found.loc[found["stamp"] == "exposed", "image_id"]) == scored
    assert scored


def test_batches_of_hashes_do_not_show(archive, run_folder, monkeypatch):
    from zero_shot.images import as_images  # noqa: PLC0415

    frame = archive.frame.assign(dataset="nih")
    train = frame[::3].assign(image_id="x", subject_id="y", dataset="padchest", role="trained")
    write_trained_on(run_folder / TRAINED_ON, train.reset_index(drop=True), image_hashes(archive.pixels[::3]))
    whole = stamp([str(run_folder)], frame, as_images(archive.pixels)).exposure.images
    monkeypatch.setattr("zero_shot.evaluation.seen_in_training.HASH_BATCH", 7)
    again = stamp([str(run_folder)], frame, as_images(archive.pixels)).exposure.images
    pd.testing.assert_frame_equal(again, whole)
    assert whole["stamp"].tolist() == np.where(np.arange(len(frame)) % 3 == 0, "exposed", "clean").tolist()


def test_the_store_beside_a_named_cohort_gives_away_copies_under_other_names(score, archive, tmp_path):
    """Nothing but the pictures is the same: archive, ids and patients are others."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    test = archive.frame[(archive.frame["split"] == "test") & (archive.frame["view"] == "PA")][:4]
    named = [f"other {k}" for k in range(4)]
    theirs = test.assign(image_id=named, subject_id=named, dataset="padchest")
    theirs.to_csv(folder / "cohort.csv", index=False)
    found = score(trained_on=(folder / "cohort.csv",)).exposure
    assert (found.stamp, list(found.counts)) == (
        "clean",
        ["not seen in training; compared by archive; pictures were not compared"],
    )
    with h5py.File(folder / "cxr.h5", "w") as file:
        file.create_dataset("cxr", data=archive.pixels[test.index])
        file.create_dataset("image_id", data=named, dtype=h5py.string_dtype())
        file.attrs.update({"format_version": 1, "complete": True})
    found = score(trained_on=(folder / "cohort.csv",)).exposure.images
    copies = found.loc[found["reason"] == "the same picture is in training", "image_id"]
    assert sorted(copies) == sorted(test["image_id"])
    assert set(found.loc[found["stamp"] == "clean", "reason"]) == {
        "not seen in training; compared by archive, and by picture"
    }


def test_a_record_that_the_user_names_hides_no_exposure_of_the_checkpoints_own(score, archive, run_folder, tmp_path):
    """Records add up: naming one, even of an unknown archive, never turns "exposed" into "unknown" or "clean"."""
    write_trained_on(run_folder / TRAINED_ON, rows(archive, "test"))
    rows(archive, "train").assign(dataset="my hospital").to_csv(tmp_path / "named.csv", index=False)
    found = score(trained_on=(tmp_path / "named.csv",)).exposure
    assert found.stamp == "exposed"
    assert found.counts == {"the image is in training (nih)": 33}
