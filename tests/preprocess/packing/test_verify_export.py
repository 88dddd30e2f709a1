import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image as Picture

from cohort import open_images
from cohort.image_reader import constant_images
from preprocess.packing import export as export_module
from preprocess.packing.block import JobFailedError, PackSpec
from preprocess.packing.export import ExportConfig, export
from preprocess.packing.journal import ImageToPack
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
        images.append(ImageToPack.of_file(f"image-{number}", path))
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
    assert in_words(verdict).startswith("1 of 9 rows are not as they were packed: image-4; delete the store")


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


def zero_rows(store, first):
    """Overwrite the rows from `first` on with zeros, in place, as a disk that lost a part of the file does."""
    with h5py.File(store) as file:
        offset, n_rows = file["cxr"].id.get_offset(), len(file["cxr"])
    with store.open("r+b") as file:
        file.seek(offset + first * 400)
        file.write(bytes((n_rows - first) * 400))


def test_a_store_whose_second_half_was_zeroed_is_not_opened_and_is_packed_anew(store, tmp_path, capsys):
    images = [ImageToPack.of_file(f"image-{number}", tmp_path / f"{number}.png") for number in range(9)]
    whole = store.read_bytes()
    zero_rows(store, 5)
    message = r"cxr\.h5: 4 of 9 rows read are not as they were packed: 'image-5', 'image-6', 'image-7', 'image-8'; find"
    with pytest.raises(ValueError, match=message):
        open_images(store)
    capsys.readouterr()
    with pack_images(store, images, spec=PackSpec(resolution=20)) as packed:
        assert packed.n_decoded == 9
    assert capsys.readouterr().err.startswith(f"note: {store} is packed anew: the image store: ")
    assert store.read_bytes() == whole


def test_in_a_large_store_a_zeroed_row_between_those_looked_at_is_noticed_when_it_is_read(store, monkeypatch):
    monkeypatch.setattr("cohort.store._CHECKED_ROWS", 3)
    change_one_pixel(store, row=2)
    opened = open_images(store)
    opened.read([0, 1, 3])
    with pytest.raises(ValueError, match=r"1 of 2 rows read are not as they were packed: 'image-2'"):
        opened.read([2, 5])
    assert open_images(store, check=False).read([2]).shape == (1, 20, 20)


def test_a_damaged_row_is_not_copied_into_the_next_store(store, tmp_path, monkeypatch):
    monkeypatch.setattr("cohort.store._CHECKED_ROWS", 3)
    images = [ImageToPack.of_file(f"image-{number}", tmp_path / f"{number}.png") for number in range(8)]
    change_one_pixel(store, row=2)
    with (
        pytest.raises(JobFailedError, match=r"cxr\.h5: 1 of 8 rows are not as they were packed: image-2; delete"),
        pack_images(store, images, spec=PackSpec(resolution=20)),
    ):
        pass


def test_a_store_of_an_earlier_version_without_checksums_is_read(store, tmp_path):
    with h5py.File(store, "r+") as file:
        del file["crc32"]
    assert len(open_images(store)) == 9
    export(ExportConfig(cxr_filepath=store, out=tmp_path / "copy.h5", compression="none"))
    with h5py.File(tmp_path / "copy.h5") as file:
        assert file["crc32"][:].tolist() == [zlib.crc32(row) for row in file["cxr"][:]]


def test_films_of_one_grey_level_are_found_by_checksum_without_reading_the_others(tmp_path, monkeypatch):
    images = []
    for number, pixels in enumerate([np.arange(400) % 256, np.full(400, 9), np.arange(400) % 7, np.zeros(400)]):
        Picture.fromarray(pixels.reshape(20, 20).astype(np.uint8)).save(tmp_path / f"{number}.png")
        images.append(ImageToPack.of_file(f"image-{number}", tmp_path / f"{number}.png"))
    with pack_images(tmp_path / "cxr.h5", images, spec=PackSpec(resolution=20)):
        pass
    opened, read = open_images(tmp_path / "cxr.h5"), []
    pixels_of = opened.read
    monkeypatch.setattr(opened, "read", lambda rows: (read.extend(rows), pixels_of(rows))[1])
    assert constant_images(opened, np.array([3, 0, 1, 2])).tolist() == [True, False, True, False]
    assert read == [3, 1]


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


def test_a_file_is_replaced_by_a_copy_on_request_only(store, tmp_path):
    (tmp_path / "copy.h5").write_text("mine")
    with pytest.raises(
        ValueError, match=r"--out: wanted a new file, found .*copy.h5; name another, or replace it with"
    ):
        export(ExportConfig(cxr_filepath=store, out=tmp_path / "copy.h5"))
    assert (tmp_path / "copy.h5").read_text() == "mine"
    export(ExportConfig(cxr_filepath=store, out=tmp_path / "copy.h5", compression="none", overwrite=True))
    assert len(open_images(tmp_path / "copy.h5")) == 9


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
