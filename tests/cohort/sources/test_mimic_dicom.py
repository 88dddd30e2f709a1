import pytest
from pydicom import dcmread

from cohort.sources.mimic import read_mimic
from cohort.sources.mimic_layout import find_mimic, layout_at
from phantom.archive.physionet_layout import HOSPITAL, REPORTS


def read(root, **options):
    layout = find_mimic(root, suffix="dcm")
    assert layout is not None
    return read_mimic(layout, **options)


def test_without_the_jpeg_archive_view_and_date_are_those_of_the_headers(miniature, noted):
    root, population = miniature("mimic-dicom")
    frame, flow = read(root)
    people = {str(patient.subject_id): patient for patient in population.patients}
    dated = 0
    for row in frame.to_dict("records"):
        header = dcmread(row["path"])
        assert row["view"] == header.ViewPosition
        assert row["study_id"] == header.StudyID
        assert row["report_path"] == f"{row['path'].rsplit('/', 1)[0]}.txt"
        study = next(one for one in people[row["subject_id"]].studies if str(one.study_id) == row["study_id"])
        if row["age_reason"] == "" and row["age_top_coded"] == "":
            assert row["age_years"] == study.person.age_years
            dated += 1
        assert row["insurance"] in {study.person.insurance, ""}
    assert dated > 5
    assert "admission" in set(frame["insurance_link"])
    assert set(frame["dataset"]) == {"mimic-cxr"}
    assert set(frame["source"]) == {"phantom"}
    assert noted(flow, "no chexpert table beside cxr-record-list.csv.gz: no labels") == [len(frame)]


def test_the_jpeg_archive_s_tables_serve_the_dicom_files_and_spare_the_headers(tmp_path, archive, monkeypatch):
    """MIMIC-CXR beside MIMIC-CXR-JPG's tables: view, date, split and labels without opening one file."""
    root = archive(tmp_path)
    files = root / "mimic-cxr/2.1.0/files"
    for image in (root / "mimic-cxr-jpg/2.1.0/files").rglob("*.jpg"):
        folder = files / image.parent.relative_to(root / "mimic-cxr-jpg/2.1.0/files")
        folder.mkdir(parents=True, exist_ok=True)
        image.rename(folder / f"{image.stem}.dcm")
    monkeypatch.setattr("cohort.sources.mimic.read_headers", None)
    frame, _ = read(root)
    assert frame["image_id"].tolist() == ["a1", "a2", "b1", "c1", "d1"]
    assert frame["view"].tolist() == ["PA", "LATERAL", "AP", "UNKNOWN", "OTHER"]
    assert frame["split"].tolist() == ["train", "train", "validate", "test", ""]
    assert frame["path"].str.endswith(".dcm").all()
    assert frame["Cardiomegaly"].tolist()[2] == 1.0
    as_jpeg = find_mimic(root)
    assert as_jpeg is not None
    with pytest.raises(FileNotFoundError, match=r"MIMIC-CXR-JPG: .* holds none of the 5 images"):
        read_mimic(as_jpeg)


def test_its_folders_can_be_named(miniature):
    root, _ = miniature("mimic-dicom")
    named = layout_at(root / REPORTS / "files", mimiciv_path=root / HOSPITAL, suffix="dcm")
    assert named == find_mimic(root, suffix="dcm")
    assert find_mimic(root) is None, "there is no JPEG archive"
    with pytest.raises(FileNotFoundError, match=r"wanted mimic-cxr-2.0.0-metadata.csv.gz in"):
        layout_at(root / REPORTS / "files")
    with pytest.raises(FileNotFoundError, match=r"metadata.csv.gz or cxr-record-list.csv.gz in"):
        layout_at(root / HOSPITAL, suffix="dcm")


@pytest.mark.parametrize(
    ("content", "counted"),
    [(b"no DICOM", [1]), (b"\0" * 128 + b"DICM", [])],
    ids=["no header", "a header without elements"],
)
def test_a_broken_header_leaves_the_image_without_view_and_date(copied, noted, content, counted):
    root = copied("mimic-dicom")
    broken = min(root.rglob("*.dcm"))
    broken.write_bytes(content)
    frame, flow = read(root)
    row = frame.set_index("image_id").loc[broken.stem]
    assert (row["view"], row["raw_view"], row["insurance_link"]) == ("UNKNOWN", "", "")
    assert noted(flow, "DICOM header cannot be read: InvalidDicomError") == counted
    assert sum(flow.faults.values()) == len(counted)
