"""Headers that cannot be read become a word, never a crash."""

import logging
import os
import struct
import warnings

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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


def test_a_file_without_preamble_is_read_and_a_pipe_is_not_waited_for(header):
    header.write_bytes(header.read_bytes()[132:])
    assert read(header) == ["051Y", "F", ""]
    os.mkfifo(header.with_name("pipe.dcm"))
    assert read(header.with_name("pipe.dcm")) == ["", "", "OSError"]


@pytest.fixture
def logged():
    """Return the log lines that reach the program; pytest's own `caplog` also sees those that are held up."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    share=st.one_of(st.just(1.0), st.floats(0.3, 1.0)),
    value=st.binary(max_size=8),
)
def test_whatever_the_bytes_are_a_header_is_read_or_its_error_named(header, tmp_path, logged, flips, share, value):
    content = bytearray(header.read_bytes())
    content += struct.pack("<HH2sH", 0x0040, 0x0001, b"DS", len(value)) + value
    for place, byte in flips:
        content[132 + int(place * (len(content) - 132))] = byte
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(bytes(content[: int(share * len(content))]))
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        _, _, unreadable = read(damaged)
    assert not leaked
    assert logged == []
    assert unreadable.isidentifier() or unreadable == ""
