"""The command: files, tables and the words of its errors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from zero_shot import pointing_game
from zero_shot.localisation import heatmaps
from zero_shot.localisation.boxes import packed_boxes
from zero_shot.localisation.heatmaps import HeatmapConfig
from zero_shot.localisation.maps import gradient_relevance, patch_margins
from zero_shot.prompts import load_prompts

ROOT = Path(heatmaps.__file__).parents[2]
FINDINGS = ("Edema", "Pleural Effusion")


@pytest.fixture
def options(archive, checkpoint, tmp_path):
    return {
        "checkpoint": str(checkpoint),
        "cxr_filepath": archive.cxr,
        "cohort_filepath": archive.cohort,
        "findings": FINDINGS,
        "out_dir": tmp_path / "out",
        "n_replicates": 40,
        "device": "cpu",
    }


@pytest.fixture
def boxes(archive, tmp_path):
    """Files of boxes and sizes of originals, 128 x 100 pixels."""
    ids = archive.frame["image_id"]
    cells = [json.dumps({"Edema": [10, 20, 40 + k, 60]} if k % 3 else {}) for k in range(len(ids))]
    pd.DataFrame({"image_id": ids, "boxes": cells}).to_csv(tmp_path / "truth.csv", index=False)
    pd.DataFrame({"dicom_id": ids, "Rows": 128, "Columns": 100}).to_csv(tmp_path / "sizes.csv", index=False)
    return {"boxes_filepath": tmp_path / "truth.csv", "sizes_filepath": tmp_path / "sizes.csv"}


def test_one_picture_per_image_and_finding_is_written(options, archive):
    ids = tuple(archive.frame["image_id"][[3, 1]])
    one_finding = options | {"findings": ("Pleural Effusion",)}
    assert heatmaps.main(HeatmapConfig(**one_finding, image_ids=ids)) is None
    written = sorted(path.name for path in options["out_dir"].iterdir())
    assert written == sorted(f"{image_id}_Pleural_Effusion.png" for image_id in ids)
    assert Image.open(options["out_dir"] / written[0]).size == (900, 500)


@pytest.mark.parametrize(("method", "maps"), [("gradient", gradient_relevance), ("similarity", patch_margins)])
def test_the_table_is_the_pointing_game_of_the_frontal_images_of_the_split(
    options, boxes, archive, bundle, method, maps
):
    table = heatmaps.main(HeatmapConfig(**options, **boxes, method=method, tolerance=1.0))
    frame = archive.frame
    chosen = frame[(frame["split"] == "test") & (frame["view"] == "PA")].sort_values("image_id")
    pixels = archive.pixels[chosen["h5_row"].astype(int)]
    known = {
        row.image_id: {k: [float(v) for v in box] for k, box in json.loads(row.boxes).items()}
        for row in pd.read_csv(boxes["boxes_filepath"]).itertuples()
    }
    expected = pointing_game(
        maps(bundle, pixels, load_prompts("radiologist").select(FINDINGS)),
        packed_boxes(
            known,
            dict.fromkeys(known, (100, 128)),
            image_ids=chosen["image_id"].tolist(),
            findings=FINDINGS,
            resolution=archive.pixels.shape[1],
        ),
        chosen["subject_id"].tolist(),
        findings=FINDINGS,
        resolution=archive.pixels.shape[1],
        rng=np.random.default_rng(0),
        tolerance=1.0,
        n_replicates=40,
    )
    pd.testing.assert_frame_equal(table, expected, atol=1e-5)
    written = pd.read_csv(options["out_dir"] / "pointing.csv", keep_default_na=False, na_values=[""])
    assert written["finding"].tolist() == [*FINDINGS, "all"]
    assert written["n"].tolist() == expected["n"].tolist()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_ids": ("nobody",)}, r"1 of 1 images are not in .*cohort.csv or not packed, first nobody"),
        ({"findings": ("Gout",), "image_ids": ("nobody",)}, r"has no prompts for Gout; it knows"),
        ({}, r"--image_ids, --boxes_filepath: wanted images to draw or boxes to point at, found neither"),
        ({"image_ids": ("a",), "boxes_filepath": Path("b.csv")}, r"--boxes_filepath, --sizes_filepath: wanted both"),
        ({"image_ids": ("a",), "tolerance": -1.0}, r"--tolerance: wanted 0 pixels or more, found -1"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(options, wrong, message):
    with pytest.raises(ValueError, match=message):
        heatmaps.main(HeatmapConfig(**(options | wrong)))
    assert not options["out_dir"].exists()


def test_the_command_line_ends_with_2_and_one_line(tmp_path):
    command = [
        sys.executable,
        "run_zero_shot.py",
        "heatmaps",
        "--checkpoint",
        "x",
        "--image_ids",
        "a",
        "--cohort_filepath",
    ]
    ended = subprocess.run(
        [*command, str(tmp_path / "none.csv")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr
