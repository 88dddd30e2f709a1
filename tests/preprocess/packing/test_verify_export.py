import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image as Picture

from cohort import open_images
from preprocess.packing import export as export_module
from preprocess.packing.block import ImageToPack, PackSpec
from preprocess.packing.export import ExportConfig, export
from preprocess.packing.pack import pack_images
from preprocess.packing.verify import VerifyConfig, in_words, verify

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path) -> Path:
    images = []
    for number in range(9):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20), dtype=np.uint8)
        path = tmp_path / f"{number}.png"
        Picture.fromarray(pixels).save(path)
        images.append(ImageToPack(f"image-{number}", str(path), path.stat().st_size))
    with pack_images(tmp_path / "cxr.h5", images, spec=PackSpec(resolution=20)):
        pass
    return tmp_path / "cxr.h5"


def change_one_pixel(store, row=4):
    with h5py.File(store) as file:
        offset = file["cxr"].id.get_offset()
    with store.open("r+b") as file:
        file.seek(offset + row * 400 + 7)
        old = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([old ^ 1]))


def test_a_store_is_what_was_packed_until_one_bit_of_one_pixel_changes(store):
    verdict = verify(VerifyConfig(cxr_filepath=store))
    assert (verdict.n_rows, verdict.damaged) == (9, [])
    assert in_words(verdict) == "all 9 rows are as they were packed"
    change_one_pixel(store)
    verdict = verify(VerifyConfig(cxr_filepath=store))
    assert verdict.damaged == ["image-4"]
    assert in_words(verdict).startswith("1 of 9 rows are not as they were packed: image-4. Delete the store")


def test_a_store_without_its_own_journal_cannot_be_verified(store, tmp_path):
    journal = store.with_name("cxr.h5.journal")
    lines = journal.read_text().splitlines()
    (tmp_path / "other.journal").write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    with pytest.raises(ValueError, match=r"cxr.h5 \(9 rows\) and .*other.journal \(8 rows\) are not of the same job"):
        verify(VerifyConfig(cxr_filepath=store, journal_filepath=tmp_path / "other.journal"))
    (tmp_path / "other.journal").write_text("no journal")
    with pytest.raises(ValueError, match=r"the journal: .* cannot be read"):
        verify(VerifyConfig(cxr_filepath=store, journal_filepath=tmp_path / "other.journal"))
    journal.unlink()
    with pytest.raises(FileNotFoundError, match=r"wanted the journal .*cxr.h5.journal, found none"):
        verify(VerifyConfig(cxr_filepath=store))


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_compressed_copy_holds_the_same_and_unpacks_to_the_same_bytes(store, tmp_path, compression):
    done = export(ExportConfig(cxr_filepath=store, out=tmp_path / "small.h5", compression=compression))
    assert done.compression == compression
    small, original = open_images(tmp_path / "small.h5"), open_images(store)
    assert small.image_ids == original.image_ids
    assert small.attributes == original.attributes
    np.testing.assert_array_equal(small.read([8, 0, 3, 3]), original.read([8, 0, 3, 3]))
    with h5py.File(tmp_path / "small.h5") as file:
        assert file["cxr"].chunks == (1, 20, 20)
    assert not verify(VerifyConfig(cxr_filepath=tmp_path / "small.h5")).damaged
    export(ExportConfig(cxr_filepath=tmp_path / "small.h5", out=tmp_path / "back.h5", compression="none"))
    assert (tmp_path / "back.h5").read_bytes() == store.read_bytes()


def test_without_the_package_for_zstd_gzip_is_taken_and_said(store, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "zstd_filter", lambda: None)
    done = export(ExportConfig(cxr_filepath=store, out=tmp_path / "small.h5"))
    assert done.compression == "gzip"
    with h5py.File(tmp_path / "small.h5") as file:
        assert file["cxr"].compression == "gzip"


def test_float32_copies_read_as_the_same_grey_levels(store, tmp_path):
    export(ExportConfig(cxr_filepath=store, out=tmp_path / "float.h5", compression="none", dtype="float32"))
    with h5py.File(tmp_path / "float.h5") as file:
        assert file["cxr"].dtype == np.float32
    assert not verify(VerifyConfig(cxr_filepath=tmp_path / "float.h5")).damaged


def test_the_store_itself_is_never_overwritten(store):
    with pytest.raises(ValueError, match="wanted another file than the store itself"):
        export(ExportConfig(cxr_filepath=store, out=store))


def test_the_command_line_exports_verifies_and_fails_on_damage(store, tmp_path):
    def script(*arguments):
        command = [sys.executable, str(ROOT / "preprocess_train_data.py"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    done = script("export", "--cxr_filepath", store, "--out", tmp_path / "small.h5", "--compression", "gzip")
    assert (done.returncode, done.stdout[:13]) == (0, "9 rows in " + str(tmp_path)[:3]), done.stderr
    change_one_pixel(store)
    done = script("verify", "--cxr_filepath", store)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {store}: 1 of 9 rows are not as they were packed: image-4")
