from pathlib import Path

from preprocess.source_files import LEADS_OUT, MISSING, FileState, look_up, unlisted


def write(path, content=b"12345"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def test_every_file_has_its_size_or_its_reason(tmp_path):
    here, empty = write(tmp_path / "a/x.jpg"), write(tmp_path / "b/y.jpg", b"")
    paths = [here, str(tmp_path / "a/none.jpg"), empty, f"{here}/below-a-file.jpg"]
    assert look_up(paths, follow_links=False) == [
        FileState(5, Path(here).stat().st_mtime_ns, Path(here).stat().st_ctime_ns, ""),
        FileState(0, 0, 0, MISSING),
        FileState(0, Path(empty).stat().st_mtime_ns, Path(empty).stat().st_ctime_ns, ""),
        FileState(0, 0, 0, MISSING),
    ]
    assert look_up([], follow_links=False) == []


def test_a_link_out_of_the_archive_is_told_from_one_within_and_from_an_archive_that_is_itself_a_link(tmp_path):
    outside = write(tmp_path / "secret.txt")
    inside = write(tmp_path / "real/p1/x.jpg")
    (tmp_path / "real/p2").mkdir()
    (tmp_path / "real/p2/out.jpg").symlink_to(outside)
    (tmp_path / "real/p2/within.jpg").symlink_to(inside)
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere/z.jpg")
    (tmp_path / "real/p3").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "archive").symlink_to(tmp_path / "real")
    paths = [str(tmp_path / "archive" / name) for name in ("p1/x.jpg", "p2/out.jpg", "p2/within.jpg", "p3/z.jpg")]
    assert [state.reason for state in look_up(paths, follow_links=False)] == ["", LEADS_OUT, "", LEADS_OUT]
    assert {state.reason for state in look_up(paths, follow_links=True)} == {""}


def test_images_that_nobody_lists_are_found_in_the_tree_or_only_beside_those_listed(tmp_path):
    listed = [write(tmp_path / "p1/s1/x.jpg"), write(tmp_path / "p2/s2/y.dcm")]
    beside, alone = write(tmp_path / "p1/s1/other.PNG"), write(tmp_path / "p3/s3/z.jpeg")
    write(tmp_path / "p1/s1/index.html")
    assert sorted(unlisted(listed, whole_tree=True)) == [beside, alone]
    assert list(unlisted(listed, whole_tree=False)) == [beside]
    assert list(unlisted([], whole_tree=True)) == []
