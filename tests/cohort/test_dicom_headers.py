"""Headers that cannot be read become a word, never a crash."""

import pandas as pd
import pytest
from pydicom import dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cohort.sources.dicom_headers import read_headers

FIELDS = ["PatientAge", "PatientSex"]


@pytest.fixture
def header(tmp_path):
    """Return a DICOM file of a woman of 51 years, without pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.PatientAge, dataset.PatientSex, dataset.PatientName = "051Y", "F", "Secret^Patient"
    dcmwrite(tmp_path / "film.dcm", dataset)
    return tmp_path / "film.dcm"


def read(path):
    return read_headers(pd.Series([str(path)]), FIELDS).iloc[0].tolist()


def test_the_fields_asked_for_are_returned_and_no_others(header):
    assert read(header) == ["051Y", "F", ""]
    assert read_headers(pd.Series([str(header)]), FIELDS).columns.tolist() == [*FIELDS, "unreadable"]


def test_a_kind_of_value_that_pydicom_does_not_know_is_named_as_its_error(header):
    header.write_bytes(header.read_bytes().replace(b"AS\x04\x00", b"ZZ\x04\x00"))
    assert read(header) == ["", "", "NotImplementedError"]


def test_a_file_that_is_no_dicom_and_one_that_is_missing_are_named_by_theirs(header):
    header.write_bytes(b"nothing")
    assert read(header) == ["", "", "InvalidDicomError"]
    assert read(header.with_name("none.dcm")) == ["", "", "FileNotFoundError"]
