"""Left and right: films and their mirror images, read by models that know sides, ignore them or confuse them."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from phantom import Body, Lesion, draw_film
from zero_shot.images import as_images
from zero_shot.probing.laterality import MirroredReader, ask_sides
from zero_shot.probing.minimal_pairs import load_probe
from zero_shot.probing.probe_truth import sides_from_boxes
from zero_shot.probing.probes import Bootstrap

planted = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "planted.py")))

FEW = Bootstrap(n_replicates=40, min_n=5, min_patients=5)
PROBE = load_probe("laterality").select(["Pleural Effusion", "Pneumothorax", "Consolidation"])
TASKS = ["choose the sentence", "choose the sentence, mirrored", "choose the film", "change sides"]


def scores(reads):
    """Return the table for 120 films, three of four with a finding on one side."""
    rng = np.random.default_rng(0)
    sides = rng.choice([1.0, 0.0, np.nan], (120, planted.N), p=[0.2, 0.4, 0.4])
    present = (~np.isnan(sides) | (rng.random(sides.shape) < 0.3)).astype(float)
    images = as_images(planted.films(present, sides))
    table = pd.DataFrame(sides, columns=list(planted.FINDINGS))
    table.insert(0, "image_id", list(images.ids))
    patients = [f"p{k // 2}" for k in range(120)]
    model = planted.planted_bundle(reads)
    found = ask_sides(model, images, PROBE, table, patients, bootstrap=FEW)
    assert model.model.n_encoded == 240
    assert list(dict.fromkeys(found["task"])) == TASKS
    assert set(found["status"]) == {"ok"}
    asked = found[found["question"] == "Pneumothorax"]
    assert set(asked["n_first"]) == {int((table["Pneumothorax"] == 1).sum())}
    assert set(asked["n_second"]) == {int((table["Pneumothorax"] == 0).sum())}
    return found


@pytest.mark.parametrize(
    ("reads", "wanted"),
    [
        (planted.understands, [1, 1, 1, 1]),
        (planted.overlooks_no, [0.5, 0.5, 0.5, 0.5]),
        (planted.likes_left, [0.5, 0.5, 0.5, 0]),
        (planted.takes_left_for_right, [0, 0, 0, 1]),
    ],
)
def test_each_way_to_read_sides_has_the_scores_that_follow_from_it(reads, wanted):
    table = scores(reads)
    for task, score in zip(TASKS, wanted, strict=True):
        assert (table.loc[table["task"] == task, "score"] == score).all(), task
    if reads is planted.likes_left:
        own = table[table["task"] == "choose the sentence"]
        assert (own["right_on_first"] == 1).all()
        assert (own["right_on_second"] == 0).all()


def test_mirroring_turns_columns_and_nothing_else():
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    images = as_images(pixels)
    mirrored = MirroredReader(reader=images.reader)
    assert np.array_equal(mirrored.read(np.array([1])), np.stack([np.fliplr(pixels[1])]))
    assert len(mirrored) == 2


def test_a_box_has_the_side_of_the_patient_if_it_lies_in_one_half():
    boxes = [
        {"Edema": [0, 5, 50, 9], "Pneumothorax": [50, 0, 100, 9]},
        {"Edema": [49, 5, 51, 9]},
        {"Edema": [120, 0, 180, 9]},
    ]
    sides = sides_from_boxes(
        ["a", "b", "c"],
        [json.dumps(box) for box in boxes],
        np.array([100, 100, 200]),
        findings=["Pneumothorax", "Edema"],
    )
    assert sides["image_id"].tolist() == ["a", "b", "c"]
    assert np.array_equal(sides["Edema"], [0, np.nan, 1], equal_nan=True)
    assert np.array_equal(sides["Pneumothorax"], [1, np.nan, np.nan], equal_nan=True)
    with pytest.raises(ValueError, match=r"b: \[49, 5, 51, 9\] is not a box .* in an image 50 pixels wide"):
        sides_from_boxes(["b"], [json.dumps(boxes[1])], np.array([50]), findings=["Edema"])


@pytest.mark.parametrize(("side", "wanted"), [("left", 1.0), ("right", 0.0), ("both", np.nan)])
def test_the_sides_of_drawn_films_are_those_that_were_asked_for(side, wanted):
    film = draw_film(
        Body(age_years=50.0, sex="M", seed=11),
        [Lesion(finding="Pleural Effusion", side=side, severity=0.9)],
        image_size=128,
        rng=np.random.default_rng(1),
    )
    found = sides_from_boxes(
        ["a"], [json.dumps(film.boxes)], np.array([film.image.shape[1]]), findings=["Pleural Effusion"]
    )
    assert np.array_equal(found["Pleural Effusion"], [wanted], equal_nan=True)
