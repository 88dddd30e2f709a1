import os
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from PIL import Image

from cohort.store import open_images
from preprocess import pack
from preprocess.pack import JobFailedError, PackSpec, available_workers, pack_images
from preprocess.resize import fit_to_square

SPEC = PackSpec(resolution=32)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Return forty pictures of various shapes, of which numbers 0, 7, 8 and 39 are cut short."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    paths, pixels = [], []
    for number in range(40):
        image = generator.integers(0, 256, generator.integers(20, 80, 2), dtype=np.uint8)
        path = folder / f"{number:02d}.png"
        Image.fromarray(image).save(path)
        if number in {0, 7, 8, 39}:
            path.write_bytes(path.read_bytes()[:-200])
        paths.append(str(path))
        pixels.append(fit_to_square(image, 32))
    return paths, np.stack(pixels)


def pack_into(path, paths, spec=SPEC, **keywords):
    ids = [f"image-{Path(one).stem}é" for one in paths]
    return pack_images(path, image_ids=ids, image_paths=paths, spec=spec, fingerprint="f00d", **keywords)


def test_failed_images_get_no_row_and_the_others_keep_their_order_and_ids(tmp_path, pictures):
    paths, pixels = pictures
    outcomes = pack_into(tmp_path / "cxr.h5", paths, tolerated_failures=4)
    failed = [number for number, failure in enumerate(outcomes) if failure]
    assert failed == [0, 7, 8, 39]
    assert {outcomes[number].reason for number in failed} == {"image is damaged"}
    kept = [number for number in range(40) if number not in failed]
    store = open_images(tmp_path / "cxr.h5")
    assert store.image_ids == [f"image-{number:02d}é" for number in kept]
    np.testing.assert_array_equal(store.read(np.arange(36)), pixels[kept])
    assert store.attributes == {
        "format_version": 1,
        "resolution": 32,
        "resize_rule": pack.RESIZE_RULE,
        "archive_fingerprint": "f00d",
        "complete": True,
    }
    assert list(tmp_path.iterdir()) == [tmp_path / "cxr.h5"]


@pytest.mark.parametrize("with_failures", [False, True])
def test_two_workers_write_the_same_bytes_as_one(tmp_path, pictures, with_failures):
    paths = [path for number, path in enumerate(pictures[0]) if with_failures or number not in {0, 7, 8, 39}]
    for workers in (1, 2):
        pack_into(tmp_path / f"{workers}.h5", paths, workers=workers, tolerated_failures=4)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_pixels_are_contiguous_at_a_fixed_place_so_that_they_can_be_mapped(tmp_path, pictures):
    paths, pixels = pictures
    pack_into(tmp_path / "cxr.h5", paths[1:7])
    with h5py.File(tmp_path / "cxr.h5") as file:
        dataset = file["cxr"]
        assert dataset.chunks is None
        offset = dataset.id.get_offset()
    mapped = np.memmap(tmp_path / "cxr.h5", np.uint8, "r", offset, (6, 32, 32))
    np.testing.assert_array_equal(mapped, pixels[1:7])


def test_float32_files_have_the_layout_that_the_reference_reads(tmp_path, pictures):
    paths, pixels = pictures
    pack_into(tmp_path / "cxr.h5", paths[1:7], PackSpec(resolution=32, dtype="float32", with_ids=False))
    with h5py.File(tmp_path / "cxr.h5") as file:
        assert list(file) == ["cxr"]
        assert not file.attrs
        assert file["cxr"].dtype == np.dtype("<f4")
        np.testing.assert_array_equal(file["cxr"][:], pixels[1:7].astype(np.float32))
    np.testing.assert_array_equal(open_images(tmp_path / "cxr.h5").read(np.arange(6)), pixels[1:7])


def test_more_failures_than_tolerated_stop_the_job(tmp_path, pictures):
    with pytest.raises(
        JobFailedError, match=r"2 of 40 images could not be read, 1 are tolerated .*image is damaged: .*07.png"
    ):
        pack_into(tmp_path / "cxr.h5", pictures[0], tolerated_failures=1)


def test_a_file_without_a_single_readable_image_is_never_written(tmp_path, pictures):
    with pytest.raises(JobFailedError, match="none of 1 images could be read"):
        pack_into(tmp_path / "cxr.h5", pictures[0][:1], tolerated_failures=9)
    with pytest.raises(ValueError, match="no images to pack"):
        pack_into(tmp_path / "cxr.h5", [])


def test_a_store_is_incomplete_until_it_has_its_ids(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(pack, "_describe", lambda *_, **__: None)
    pack_into(tmp_path / "cxr.h5", pictures[0][1:3])
    with pytest.raises(ValueError, match="is incomplete"):
        open_images(tmp_path / "cxr.h5")


def test_a_disk_that_is_too_small_is_noticed_before_the_work(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(pack.shutil, "disk_usage", lambda _: SimpleNamespace(free=6 * 32 * 32 - 1))
    with pytest.raises(JobFailedError, match=r"has 0.0 GB free, the images need 0.0 GB"):
        pack_into(tmp_path / "cxr.h5", pictures[0][1:7])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_that_cannot_be_written_is_an_error_and_not_a_failed_image(tmp_path, pictures, monkeypatch, workers):
    monkeypatch.setattr(pack, "_create", lambda *_, **__: 0)
    with pytest.raises(FileNotFoundError, match=r"cxr\.h5"):
        pack_into(tmp_path / "cxr.h5", pictures[0], workers=workers, tolerated_failures=40)


def test_a_worker_that_dies_is_reported(tmp_path, pictures, monkeypatch):
    def broken(self, *_, **__):
        raise pack.BrokenProcessPool

    monkeypatch.setattr(pack.ProcessPoolExecutor, "map", broken)
    with pytest.raises(JobFailedError, match="a worker process died"):
        pack_into(tmp_path / "cxr.h5", pictures[0], workers=2)


def test_auto_means_the_cores_this_process_may_use():
    assert 1 <= available_workers() <= os.cpu_count()


def test_consecutive_rows_are_copied_in_one_go():
    assert list(pack._runs([0, 1, 2, 5, 7, 8])) == [(0, 2), (5, 5), (7, 8)]
    assert list(pack._runs([4])) == [(4, 4)]
