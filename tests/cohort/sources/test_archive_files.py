import pandas as pd
import pytest

from cohort.flow import Flow
from cohort.sources.archive_files import ArchiveFiles, add_paths, image_files, source_of, table_below

ARCHIVE = ArchiveFiles(name="Films", dataset="films", access="https://example.org/films")


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_images_are_found_however_deep_and_links_do_not_go_round(tmp_path):
    deep = write(tmp_path / "images_001/images/a.PNG")
    flat = write(tmp_path / "b.png")
    write(tmp_path / "c.jpg")
    write(tmp_path / ".hidden.png")
    outside = write(tmp_path.parent / f"{tmp_path.name}-elsewhere/d.png")
    (tmp_path / "linked").symlink_to(outside.parent)
    (tmp_path / "images_001/round").symlink_to(tmp_path)
    files = image_files(tmp_path, [".png"])
    assert files.to_dict() == {"a.PNG": str(deep), "b.png": str(flat), "d.png": str(tmp_path / "linked/d.png")}
    assert image_files(tmp_path, [".dcm"]).empty


def test_tables_are_found_above_the_folders_of_patients_compressed_or_not(tmp_path):
    compressed = write(tmp_path / "one/two/labels.csv.gz")
    write(tmp_path / "patient00001/other.csv")
    write(tmp_path / "1.2.840/other.csv")
    assert table_below(tmp_path, "missing.csv", "labels.csv") == compressed
    assert table_below(tmp_path, "other.csv") is None
    assert table_below(tmp_path, "labels.csv", depth=1) is None
    plain = write(tmp_path / "labels.csv")
    assert table_below(tmp_path, "labels.csv") == plain, "the nearest comes first"


def test_every_file_and_every_row_is_accounted_for(tmp_path, noted):
    for name in ("a/x.png", "b/x.png", "b/y.png", "b/unlisted.png"):
        write(tmp_path / name)
    frame = pd.DataFrame({"image_id": ["x", "y", "z"], "subject_id": "1", "study_id": "1"})
    names = frame["image_id"] + ".png"
    flow, files = Flow(), image_files(tmp_path, [".png"])
    kept = add_paths(frame, names, files, root=tmp_path, archive=ARCHIVE, flow=flow, check=True)
    assert kept["path"].tolist() == [str(tmp_path / "a/x.png"), str(tmp_path / "b/y.png")]
    assert noted(flow, "that no table lists") == [1]
    assert noted(flow, "occur twice") == [1]
    assert noted(flow, "image file not in the archive") == [1]
    unchecked = add_paths(frame, names, files, root=tmp_path, archive=ARCHIVE, flow=Flow(), check=False)
    assert unchecked["path"].tolist()[2] == str(tmp_path / "z.png")
    with pytest.raises(FileNotFoundError, match=r"Films: not one of the 3 images .* looked for '.*x.png'"):
        add_paths(frame, names, files[:0], root=tmp_path, archive=ARCHIVE, flow=Flow(), check=True)


def test_a_simulated_archive_is_told_by_the_file_above_it(tmp_path):
    inside = write(tmp_path / "phantom/nih/a.png").parent
    assert source_of(inside) == "real"
    write(tmp_path / "phantom/scenario.json")
    assert source_of(inside) == "phantom"
