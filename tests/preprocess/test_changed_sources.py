"""Rows are used again only for the same file: a picture that changed is read again, even at equal id and size."""

import os
import sys
import time

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cohort import open_images
from preprocess.packing.verify import in_words, verify
from preprocess.pipeline import run
from preprocess.preprocess_config import PreprocessConfig, VerifyConfig

sys.path.insert(0, str(__import__("pathlib").Path(__file__).parent / "pixels"))


@pytest.fixture
def archive(tmp_path):
    """Return a folder with three BMP files of one size; each is evenly grey but for one corner."""
    for name, level in (("a.bmp", 40), ("b.bmp", 120), ("c.bmp", 200)):
        write(tmp_path / name, level)
    return tmp_path


def write(path, level):
    pixels = np.full((32, 32), level, np.uint8)
    pixels[:4, :4] = 7
    Image.fromarray(pixels).save(path)


def write_dicom(path, photometric_interpretation):
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    dataset.Rows = dataset.Columns = 32
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PhotometricInterpretation = photometric_interpretation
    dataset.PixelData = bytes(range(256)) * 4
    dataset.save_as(path, enforce_file_format=True)


def pack(folder, paths):
    """Pack the images of a table that names a path for each id; return the summary and the grey level of each id."""
    table = pd.DataFrame({"image_id": list(paths), "path": list(paths.values()), "subject_id": "p", "report": "Clear."})
    table.to_csv(folder / "table.csv", index=False)
    summary = run(
        PreprocessConfig(
            dataset_type="csv",
            csv_path=folder / "table.csv",
            out_dir=folder / "out",
            views="all",
            resolution=32,
            workers=1,
        )
    )
    store = open_images(summary.outputs.images)
    levels = store.read(np.arange(len(store)))[:, 16, 16].tolist()
    return summary, dict(zip(store.image_ids, levels, strict=True))


def test_a_dicom_header_corrected_at_equal_size_is_read_again(tmp_path):
    path = tmp_path / "film.dcm"
    shown = []
    for meaning in ("MONOCHROME1", "MONOCHROME2"):
        write_dicom(path, meaning)
        shown.append((path.stat().st_size, pack(tmp_path, {"film": "film.dcm"})))
    (size, (_, wrong)), (same_size, (summary, right)) = shown
    assert size == same_size
    assert summary.n_decoded == 1
    assert right["film"] == 255 - wrong["film"]


def test_two_ids_with_swapped_paths_have_the_pixels_of_their_new_paths(archive):
    pack(archive, {"first": "a.bmp", "second": "b.bmp", "third": "c.bmp"})
    summary, levels = pack(archive, {"first": "b.bmp", "second": "a.bmp", "third": "c.bmp"})
    assert summary.n_decoded == 2
    assert levels == {"first": 120, "second": 40, "third": 200}


def test_other_pictures_of_equal_size_under_the_same_ids_are_read(archive):
    paths = {"first": "a.bmp", "second": "b.bmp", "third": "c.bmp"}
    pack(archive, paths)
    write(archive / "a.bmp", 60)
    write(archive / "b.bmp", 80)
    summary, levels = pack(archive, paths)
    assert summary.n_decoded == 2
    assert levels == {"first": 60, "second": 80, "third": 200}


def test_a_link_that_now_leads_to_a_file_of_equal_size_and_time_is_read_again(archive):
    for name in ("a.bmp", "b.bmp"):
        os.utime(archive / name, (1e9, 1e9))
    link = archive / "link.bmp"
    link.symlink_to("a.bmp")
    pack(archive, {"first": "link.bmp"})
    link.unlink()
    link.symlink_to("b.bmp")
    summary, levels = pack(archive, {"first": "link.bmp"})
    assert (summary.n_decoded, levels) == (1, {"first": 120})


def test_a_file_replaced_under_its_old_modification_time_is_read_again(archive):
    pack(archive, {"first": "a.bmp"})
    before = (archive / "a.bmp").stat()
    write(archive / "a.bmp", 60)
    os.utime(archive / "a.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    summary, levels = pack(archive, {"first": "a.bmp"})
    assert (summary.n_decoded, levels) == (1, {"first": 60})


def test_two_folders_that_took_each_other_s_names_are_read_again(archive):
    for folder, level in (("old", 60), ("new", 80)):
        (archive / folder).mkdir()
        write(archive / folder / "a.bmp", level)
        os.utime(archive / folder / "a.bmp", (1e9, 1e9))
        time.sleep(0.05)  # The clock of a file system ticks every few milliseconds.
    pack(archive, {"first": "old/a.bmp"})
    (archive / "old").rename(archive / "older")
    (archive / "new").rename(archive / "old")
    summary, levels = pack(archive, {"first": "old/a.bmp"})
    assert (summary.n_decoded, levels) == (1, {"first": 80})


def test_a_stopped_job_uses_no_row_of_a_file_that_was_replaced_in_the_meantime(archive, monkeypatch):
    def die(*_, **__):
        raise RuntimeError("stopped")

    paths = {"first": "a.bmp", "second": "b.bmp"}
    monkeypatch.setattr("preprocess.pipeline.write_cohort", die)
    with pytest.raises(RuntimeError, match="stopped"):
        pack(archive, paths)
    monkeypatch.undo()
    write(archive / "a.bmp", 60)
    summary, levels = pack(archive, paths)
    assert summary.n_decoded == 1
    assert levels == {"first": 60, "second": 120}


def test_the_same_files_under_a_relative_path_are_not_read_again(archive, monkeypatch):
    paths = {"first": "a.bmp", "second": "b.bmp"}
    pack(archive, paths)
    monkeypatch.chdir(archive)
    assert pack(archive, paths)[0].n_decoded == 0


def test_verify_source_reads_the_files_again_and_names_those_that_give_other_pixels(archive):
    summary, _ = pack(archive, {"first": "a.bmp", "second": "b.bmp", "third": "c.bmp"})
    before = (archive / "b.bmp").stat()
    write(archive / "b.bmp", 60)
    os.utime(archive / "b.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    (archive / "c.bmp").unlink()
    assert not verify(VerifyConfig(cxr_filepath=summary.outputs.images)).damaged
    verdict = verify(VerifyConfig(cxr_filepath=summary.outputs.images, source=True))
    assert (verdict.changed, verdict.unreadable) == (["second"], ["third"])
    assert in_words(verdict) == (
        "all 3 rows are as they were packed; 1 sources give other pixels now: second; 1 sources cannot be read now: "
        "third; delete the store and its journal and preprocess again"
    )
