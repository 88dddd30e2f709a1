"""The registry of archives: every name is read by its own reader, and no other name is."""

import pytest

from cohort._csv import read_strings
from cohort.sources import READERS, dataset_type_of
from cohort.sources.by_name import read_archive
from cohort.value_tables import TABLES
from phantom.miniatures.writers import MINIATURES


@pytest.mark.parametrize("name", MINIATURES)
def test_every_miniature_is_read_by_the_name_of_its_archive_and_by_its_word_in_the_cohort(name, miniature):
    root = miniature(name)[0]
    root = root / "CheXpert-v1.0/test" if name == "chexpert-test" else root
    frame, flow = read_archive(name, root, check_files=False)
    (dataset,) = set(frame["dataset"])
    assert dataset == (READERS[name].dataset or name)
    assert dataset_type_of(dataset) == name
    again, _ = read_archive(dataset, root, check_files=False)
    assert again.equals(frame)
    column = {"files": {"report_path"}, "column": {"report"}, "none": set()}[READERS[name].texts]
    assert {"report", "report_path"} & set(frame) == column
    assert flow.steps[0].kind == "start"


def test_mimic_as_jpeg_and_a_table_of_ones_own_are_read_by_name(archive, tmp_path):
    frame, _ = read_archive("mimic", archive(tmp_path / "mimic"))
    assert set(frame["dataset"]) == {"mimic-cxr-jpg"}
    assert dataset_type_of("mimic-cxr-jpg") == "mimic"
    table = tmp_path / "mine.csv"
    table.write_text("image_id,path,subject_id\na,a.png,1\n")
    frame, _ = read_archive("csv", table, check_files=False)
    assert frame["image_id"].tolist() == ["a"]
    assert dataset_type_of("a hospital of mine") == "csv"


def test_an_unknown_archive_is_refused_with_the_names_of_those_that_are_known(tmp_path):
    with pytest.raises(ValueError, match=r"^archive: wanted one of 'mimic', .*'csv', found 'brax'$") as refused:
        read_archive("brax", tmp_path)
    assert all(repr(name) in str(refused.value) for name in READERS)


def test_what_every_archive_shares_with_others_is_on_record():
    known = set(read_strings(TABLES / "exposure" / "archives.csv", what="archives")["dataset"])
    assert {reader.dataset or name for name, reader in READERS.items() if name != "csv"} <= known
