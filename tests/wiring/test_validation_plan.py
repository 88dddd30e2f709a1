"""The validation of a run: images that no model can read are left out, and its lack is said."""

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest

import models
from cohort import COLUMNS, write_cohort
from train.train_config import TrainConfig
from wiring.validation_plan import validation

N = 24
IDS = [f"i{n:02}" for n in range(N)]
BLACK = (13, 17)


@pytest.fixture
def config(toy_architecture, one_thread, tmp_path):
    """12 training and 12 validation images, two of which are black; half of them have an edema."""
    pixels = np.random.default_rng(0).integers(0, 256, (N, 32, 32)).astype(np.uint8)
    pixels[list(BLACK)] = 0
    with h5py.File(tmp_path / "cxr.h5", "w") as file:
        file["cxr"], file["image_id"] = pixels, IDS
        file.attrs.update(format_version=1, resolution=32, resize_rule="x", archive_fingerprint="y", complete=True)

    words = [f"Edema {n}." if n % 2 else f"Clear {n}." for n in range(N)]
    texts = pd.DataFrame({"filename": [f"s{n}.txt" for n in range(N)], "impression": words, "image_id": IDS})
    texts.to_csv(tmp_path / "texts.csv", index=False)

    table = pd.DataFrame({name: [""] * N for name in COLUMNS})
    numeric = [name for name in COLUMNS if name in ("age_years", "h5_row") or name[0].isupper()]
    table[numeric] = np.nan
    table = table.assign(
        image_id=IDS, subject_id=[f"p{n}" for n in range(N)], study_id=[f"s{n}" for n in range(N)], dataset="test",
        source="phantom", status="packed", view="PA", h5_row=range(N), split=["train"] * 12 + ["validate"] * 12,
        Edema=[n % 2 for n in range(N)],
    )  # fmt: skip
    write_cohort(table, tmp_path / "cohort.csv")
    return TrainConfig(
        cxr_filepath=tmp_path / "cxr.h5", txt_filepath=tmp_path / "texts.csv", cohort_filepath=tmp_path / "cohort.csv",
        model="toy", pretrained=None, batch_size=4, device="cpu",
    )  # fmt: skip


def test_black_films_are_left_out_of_the_validation_and_counted(config):
    judged = validation(config)
    assert judged.images["image_id"].tolist() == [name for n, name in enumerate(IDS) if n >= 12 and n not in BLACK]
    assert judged.notes == ("validation: 2 images left out, image has a single grey level",)
    figures = judged.evaluate(models.build("toy", seed=0))
    assert {"auroc/Edema", "validation_loss", "image_to_text/recall_at_1"} <= figures.keys()


@pytest.mark.parametrize("fields", [{"no_cohort": True}, {"eval_split": "validation"}])
def test_a_run_without_validation_says_why_and_cannot_wait_for_it(config, fields):
    judged = validation(replace(config, **fields))
    assert judged.evaluate is None
    reason = "--no_cohort" if "no_cohort" in fields else r"has no image in split 'validation'"
    assert reason in judged.notes[0]
    with pytest.raises(
        ValueError, match=r"--patience: wanted validations to wait for, found none: no validation, because"
    ):
        validation(replace(config, patience=3, **fields))


def test_a_split_of_black_films_alone_is_noted_and_does_not_end_the_run(config):
    with h5py.File(config.cxr_filepath, "r+") as file:
        file["cxr"][12:] = 0
    judged = validation(config)
    assert judged.evaluate is None
    assert judged.notes[0].startswith("no validation, because no image is left to score")


def test_validation_on_the_training_split_is_said_to_be_too_good(config):
    assert (
        "validation uses images of the training split 'train'"
        in validation(replace(config, eval_split="train")).notes[0]
    )
