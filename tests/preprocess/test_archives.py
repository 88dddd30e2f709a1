"""--dataset_type: every archive is reached by its name, and comes in the order of its paths."""

from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest

from cohort.sources import READERS
from phantom.film import Film
from phantom.miniatures.writers import MINIATURES, write_miniature
from preprocess.archives import list_images
from preprocess.preprocess_config import PreprocessConfig


def quick_film(body, lesions, *, view, exposure, image_size, rng):
    return Film(image=rng.integers(0, 256, (image_size, image_size * 5 // 6), dtype=np.uint8), boxes={})


@pytest.mark.parametrize("name", MINIATURES)
def test_every_archive_is_reached_by_its_name(tmp_path, name):
    write_miniature(name, tmp_path / "archive", n_patients=12, seed=16, image_size=32, draw=quick_film)
    folder = tmp_path / "archive/CheXpert-v1.0/test" if name == "chexpert-test" else None
    config = PreprocessConfig(
        dataset_type=name, archive_root=tmp_path / "archive", chest_x_ray_path=folder, allow_count=True
    )
    frame, _ = list_images(config)
    assert all(map(Path.is_file, map(Path, frame["path"])))
    assert frame["path"].tolist() == sorted(frame["path"], key=lambda path: Path(path).parts)
    assert {"files": "report_path", "column": "report", "none": "path"}[config.texts] in frame
    assert config.has_texts == (config.texts != "none") == bool({"report", "report_path"} & set(frame))
    if folder is None and name != "mimic-dicom":
        again, _ = list_images(PreprocessConfig(dataset_type=name, chest_x_ray_path=tmp_path / "archive"))
        assert again["path"].tolist() == frame["path"].tolist()


def test_every_choice_of_the_flag_has_a_reader():
    choices = get_args(get_type_hints(PreprocessConfig)["dataset_type"])
    assert choices == tuple(READERS)
    assert set(READERS) == {"mimic", "csv", *MINIATURES}


def test_the_edition_of_chestx_ray14_can_be_chosen(tmp_path):
    write_miniature("nih", tmp_path, n_patients=12, seed=16, image_size=32, draw=quick_film)

    def ages(edition):
        frame, _ = list_images(PreprocessConfig(dataset_type="nih", archive_root=tmp_path, nih_edition=edition))
        return frame.set_index("image_id")["age_years"]

    def published(name):
        column = pd.read_csv(tmp_path / name, index_col=False).set_index("Image Index")["Patient Age"]
        return column.astype(str).str.removesuffix("Y")

    first, second = ages("2017"), ages("2020")
    assert not first.equals(second)
    assert ages(None).equals(second)
    for read, name in ((first, "Data_Entry_2017.csv"), (second, "Data_Entry_2017_v2020.csv")):
        plain = published(name).loc[lambda column: column.str.fullmatch(r"0?\d{1,2}")].astype(float)
        assert len(plain) > 5
        assert read[plain.index].tolist() == plain.tolist()


def test_an_image_whose_file_is_missing_keeps_its_line_for_the_flow(tmp_path):
    write_miniature("nih", tmp_path, n_patients=6, seed=16, image_size=32, draw=quick_film)
    next(tmp_path.rglob("*.png")).unlink()
    frame, _ = list_images(PreprocessConfig(dataset_type="nih", archive_root=tmp_path))
    assert sum(not Path(path).is_file() for path in frame["path"]) == 1
