"""The reference's own images through the whole job: archive table, workers, store; not only through the resize."""

import cv2
import numpy as np
import pandas as pd
import pytest

from cohort import open_images, read_cohort
from preprocess.pipeline import run
from preprocess.pixels.resize import fit_to_square
from preprocess.preprocess_config import PreprocessConfig

pytestmark = pytest.mark.golden

TWELVE_BIT = "22_png16_12bit_range.png"
"""The one file at which the reference's way of reading 16 bits loses grey levels, so that ours differs by default."""


@pytest.fixture(scope="module")
def reference(golden):
    arrays = np.load(golden / "preprocess/expected.npz", allow_pickle=False)
    return {str(name): image for name, image in zip(arrays["names"], arrays["images"], strict=True)}


@pytest.fixture
def pack(golden, reference, tmp_path):
    """Return a function that packs all golden images and gives the summary and the rows by name."""
    table = pd.DataFrame({"image_id": list(reference), "path": list(reference), "subject_id": "p", "report": "Clear."})
    table.to_csv(tmp_path / "golden.csv", index=False)

    def job(**settings):
        summary = run(
            PreprocessConfig(
                dataset_type="csv",
                csv_path=tmp_path / "golden.csv",
                chest_x_ray_path=golden / "preprocess/images",
                views="all",
                max_failed_share=0.0,
                workers=1,
                out_dir=tmp_path / "out",
                **settings,
            )
        )
        ids = sorted(reference)
        store = open_images(summary.outputs.images)
        assert store.image_ids in (ids, None)
        return summary, dict(zip(ids, store.read(np.arange(len(store))), strict=True))

    return job


def sixteen_bit(golden, reference):
    files = {name: cv2.imread(str(golden / "preprocess/images" / name), cv2.IMREAD_UNCHANGED) for name in reference}
    return {name: pixels for name, pixels in files.items() if pixels.dtype == np.uint16}


def test_exact_equals_the_reference_but_for_the_twelve_bit_file_which_keeps_its_levels(pack, golden, reference):
    summary, rows = pack(exact=True)
    deep = sixteen_bit(golden, reference)
    assert TWELVE_BIT in deep
    assert len(deep) >= 2
    assert {name for name in reference if not np.array_equal(rows[name], reference[name])} == {TWELVE_BIT}
    np.testing.assert_array_equal(rows[TWELVE_BIT], fit_to_square((deep[TWELVE_BIT] >> 4).astype(np.uint8)))
    assert deep[TWELVE_BIT].max() < 4096
    statuses = read_cohort(summary.outputs.cohort).set_index("image_id")["status"]
    assert statuses[list(deep)].eq("packed").all()


def test_compat_equals_the_reference_in_every_file(pack, reference):
    _, rows = pack(compat="chexzero")
    for name, expected in reference.items():
        np.testing.assert_array_equal(rows[name], expected, err_msg=name)
