import multiprocessing
import os
import pickle

import h5py
import numpy as np
import pytest

from cohort.store import FORMAT_VERSION, IDS, IMAGES, open_images

IMAGES_IN_FILE = np.random.default_rng(0).integers(0, 256, (7, 16, 16), dtype=np.uint8)
NAMES = [f"dicom-{number}" for number in range(7)]


def write_store(path, *, images=IMAGES_IN_FILE, ids=NAMES, userblock=0, **attributes):
    """Write format 1 as the design describes it."""
    attributes = {"format_version": FORMAT_VERSION, "resolution": images.shape[-1], "complete": True} | attributes
    with h5py.File(path, "w", userblock_size=userblock) as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.CONTIGUOUS)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        space = h5py.h5s.create_simple(images.shape)
        h5py.h5d.create(file.id, IMAGES.encode(), h5py.h5t.py_create(images.dtype), space, creation)
        file[IMAGES][:] = images
        if ids is not None:
            file[IDS] = ids
        file.attrs.update({name: value for name, value in attributes.items() if value is not None})
    return path


def write_chexzero(path, images=IMAGES_IN_FILE):
    """Write what CheXzero writes: float32, no ids, no attributes."""
    with h5py.File(path, "w") as file:
        file.create_dataset("cxr", data=images.astype(np.float32))
    return path


def write_chunked(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("cxr", data=IMAGES_IN_FILE, chunks=(2, 16, 16), compression="gzip")
    return path


@pytest.mark.parametrize("userblock", [0, 1024])
@pytest.mark.parametrize("rows", [[0], [6, 0, 3, 3], [], list(range(7))])
def test_the_memory_map_gives_what_h5py_gives(tmp_path, rows, userblock):
    path = write_store(tmp_path / "cxr.h5", userblock=userblock)
    with h5py.File(path) as file:
        expected = [file["cxr"][row] for row in rows]
    with open_images(path) as store:
        read = store.read(np.array(rows, dtype=np.int64))
        assert isinstance(store._pixels, np.memmap)
    assert read.dtype == np.uint8
    assert read.shape == (len(rows), 16, 16)
    np.testing.assert_array_equal(read, np.array(expected, dtype=np.uint8).reshape(read.shape))


@pytest.mark.parametrize("write", [write_chexzero, write_chunked])
def test_files_of_chexzero_and_of_other_layouts_give_the_same_grey_levels(tmp_path, write):
    store = open_images(write(tmp_path / "cxr.h5"))
    assert store.image_ids is None
    assert store.attributes == {}
    assert (len(store), store.resolution) == (7, 16)
    read = store.read(np.array([5, 1, 1]))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, IMAGES_IN_FILE[[5, 1, 1]])
    assert store.read(np.array([], dtype=np.int64)).shape == (0, 16, 16)
    store.close()
    np.testing.assert_array_equal(store.read([2]), IMAGES_IN_FILE[[2]])


def test_a_store_tells_what_its_writer_noted(tmp_path):
    store = open_images(write_store(tmp_path / "cxr.h5", resize_rule="lanczos"))
    assert store.image_ids == NAMES
    assert store.attributes["resize_rule"] == "lanczos"
    assert store.attributes["complete"] is True
    assert store.resolution == 16


def test_rows_are_found_by_id(tmp_path):
    store = open_images(write_store(tmp_path / "cxr.h5"))
    assert store.rows(["dicom-6", "dicom-0"]).tolist() == [6, 0]
    with pytest.raises(ValueError, match=r"2 of 3 ids are not in .*: 'x', 'y'"):
        store.rows(["x", "dicom-0", "y"])
    with pytest.raises(ValueError, match="has no image ids"):
        open_images(write_chexzero(tmp_path / "chexzero.h5")).rows(["x"])


@pytest.mark.parametrize("write", [write_store, write_chexzero, write_chunked])
def test_a_forked_worker_opens_the_file_for_itself(tmp_path, write):
    store = open_images(write(tmp_path / "cxr.h5"))
    store.read([0])  # The parent has the file open.
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    worker = context.Process(target=lambda: answers.put((store.read([6, 2]), store._process)))
    worker.start()
    images, opened_by = answers.get()
    worker.join()
    np.testing.assert_array_equal(images, IMAGES_IN_FILE[[6, 2]])
    assert opened_by == worker.pid


def test_a_store_travels_to_another_process_without_its_pixels(tmp_path):
    store = open_images(write_store(tmp_path / "cxr.h5"))
    store.read([0])
    frozen = pickle.dumps(store)
    assert len(frozen) < IMAGES_IN_FILE.nbytes
    np.testing.assert_array_equal(pickle.loads(frozen).read([3]), IMAGES_IN_FILE[[3]])


def test_reading_a_row_that_is_not_there_is_an_error(tmp_path):
    store = open_images(write_store(tmp_path / "cxr.h5"))
    for rows in ([7], [-1]):
        with pytest.raises(IndexError, match=r"asked, .* has 0..6"):
            store.read(rows)


def test_float_files_with_normalised_values_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"wanted whole grey levels 0\.\.255"):
        open_images(write_chexzero(tmp_path / "cxr.h5", IMAGES_IN_FILE / 255))
    for strange in (0.5, 256.0, np.nan):
        images = np.repeat(IMAGES_IN_FILE, 3, axis=0).astype(np.float32)
        images[1, 0, 0] = strange  # Not among the rows that opening looks at.
        store = open_images(write_chexzero(tmp_path / "cxr.h5", images))
        with pytest.raises(ValueError, match="wanted whole grey levels"):
            store.read([1])


REFUSED = {
    "incomplete": (lambda path: write_store(path, complete=False), "is incomplete: the job writing it was stopped"),
    "complete missing": (lambda path: write_store(path, complete=None), "is incomplete"),
    "later format": (lambda path: write_store(path, format_version=2), "has format 2, this program reads up to 1"),
    "no ids": (lambda path: write_store(path, ids=None), "has no dataset 'image_id'"),
    "few ids": (lambda path: write_store(path, ids=NAMES[:6]), "has 7 images but 6 ids"),
    "equal ids": (lambda path: write_store(path, ids=["a", *NAMES[1:6], "a"]), "1 ids occur more than once: 'a'"),
    "not square": (lambda path: write_chexzero(path, IMAGES_IN_FILE[:, :8]), r"wanted 'cxr' of shape \(n, r, r\)"),
    "four axes": (lambda path: write_chexzero(path, IMAGES_IN_FILE[..., None]), r"found \(7, 16, 16, 1\)"),
    "no images": (lambda path: write_chexzero(path, IMAGES_IN_FILE[:0]), r"holds no pixels \(0 rows declared\)"),
    "black": (lambda path: write_chexzero(path, 0 * IMAGES_IN_FILE), "holds black images only"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path, case):
    write, message = REFUSED[case]
    path = tmp_path / "cxr.h5"
    write(path)
    with pytest.raises(ValueError, match=message):
        open_images(path)


def test_a_file_in_which_nothing_was_ever_written_is_refused(tmp_path):
    """CheXzero under a new Pillow declares its data set, fails on every image and exits with 0."""
    with h5py.File(tmp_path / "cxr.h5", "w") as file:
        file.create_dataset("cxr", shape=(6, 320, 320), dtype=np.float32)
    with pytest.raises(ValueError, match=r"holds no pixels \(6 rows declared\)"):
        open_images(tmp_path / "cxr.h5")


def test_a_file_that_is_no_store_says_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"wanted .*cxr.h5, found none"):
        open_images(tmp_path / "cxr.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match="is no readable HDF5 file"):
        open_images(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["cxr_unprocessed"] = [1]
    with pytest.raises(ValueError, match="has no dataset 'cxr'; found 'cxr_unprocessed'"):
        open_images(tmp_path / "other.h5")


def test_a_file_cut_short_is_refused(tmp_path):
    path = write_store(tmp_path / "cxr.h5")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match="is no readable HDF5 file"):
        open_images(path)
