"""The command line as a user meets it: exit codes, messages, and what is left on disk."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script(*arguments, cwd) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "preprocess_train_data.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def test_chexzeros_own_flags_work_and_the_flow_is_printed(mimic, tmp_path):
    done = script(
        "--chest_x_ray_path", mimic.root / "mimic-cxr-jpg/2.1.0/files",
        "--radiology_reports_path", f"{mimic.root}/mimic-cxr/2.1.0/files",
        "--cxr_out_path", "x/images.h5", "--csv_out_path", "x/paths.csv", "--mimic_impressions_path", "x/texts.csv",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not frontal" in done.stdout
    assert "9 of 12 images in x/images.h5, 0 unreadable" in done.stdout
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "images.h5",
        "images.h5.journal",
        "paths.csv",
        "preprocess.json",
        "texts.csv",
    ]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "cohort.csv",
        "contact_sheet.png",
        "flow.csv",
        "preprocess.json",
        "text_statistics.csv",
    ]


def test_without_flags_an_archive_below_data_is_found(mimic, tmp_path):
    (tmp_path / "work").mkdir()
    mimic.root.rename(tmp_path / "work/data")
    done = script(cwd=tmp_path / "work")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work/data/cxr.h5").is_file()


def test_without_any_archive_the_user_is_told_how_to_get_one(tmp_path):
    done = script(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: No chest X-ray archive was found below data/.")
    assert "python make_phantom.py --out_dir data/phantom" in done.stderr
    assert "https://physionet.org/content/mimic-cxr-jpg/" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_is_fast_and_shows_chexzeros_flags(tmp_path):
    done = script("-h", cwd=tmp_path)
    assert done.returncode == 0
    for flag in (
        "--csv_out_path",
        "--cxr_out_path",
        "--dataset_type",
        "--mimic_impressions_path",
        "--chest_x_ray_path",
        "--radiology_reports_path",
    ):
        assert flag in done.stdout
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, preprocess_train_data; print({'pandas', 'h5py', 'torch', 'cv2'} & set(sys.modules))"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert loaded.stdout.strip() == "set()"


def test_a_truncated_jpeg_and_a_missing_report_are_counted_exclusions(mimic, tmp_path):
    image = next(path for name, path in mimic.images.items() if name.endswith("pa"))
    image.write_bytes(image.read_bytes()[:-300])
    list(mimic.reports.values())[-1].unlink()
    done = script("--archive_root", mimic.root, "--out_dir", tmp_path / "out", "--max_failed_share", 0.3, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "7 of 12 images in " in done.stdout
    assert "1 unreadable" in done.stdout
    assert done.stderr == ""


def test_a_truncated_jpeg_above_the_tolerated_share_fails_and_leaves_only_what_can_be_continued(mimic, tmp_path):
    image = next(path for name, path in mimic.images.items() if name.endswith("pa"))
    image.write_bytes(image.read_bytes()[:-300])
    done = script("--archive_root", mimic.root, "--out_dir", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: 1 of 9 images could not be read, 0 are tolerated (--max_failed_share); the last one: "
        f"image is damaged: {image}: Premature end of JPEG file"
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cxr.h5.partial"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("image_id,path,subject_id,report\n", "no rows"),
        ("image_id,path,report\na,a.png,x\n", "subject_id"),
        ("image_id,path,subject_id\na,a.png,p\n", "wanted a column with reports or captions, found no 'report'"),
    ],
    ids=["no bytes", "no rows", "no patients", "no texts"],
)
def test_a_csv_that_cannot_be_used_is_an_error(tmp_path, content, message):
    (tmp_path / "mine.csv").write_text(content)
    done = script("--dataset_type", "csv", "--csv_path", "mine.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_an_image_directory_that_does_not_exist_is_an_error(mimic, tmp_path):
    (tmp_path / "mine.csv").write_text("image_id,path,subject_id,report\na,a.png,p,x\n")
    done = script("--dataset_type", "csv", "--csv_path", "mine.csv", "--chest_x_ray_path", "nowhere", cwd=tmp_path)
    assert (done.returncode, "found none at nowhere" in done.stderr) == (2, True)
    done = script("--chest_x_ray_path", "nowhere", "--radiology_reports_path", mimic.root, cwd=tmp_path)
    assert (done.returncode, "found none at nowhere" in done.stderr) == (2, True)
    (mimic.root / "mimic-cxr-jpg/2.1.0/files").rename(tmp_path / "moved")
    done = script("--archive_root", mimic.root, cwd=tmp_path)
    assert (done.returncode, "were the images downloaded?" in done.stderr) == (2, True)
    assert not (tmp_path / "data").exists()


def test_a_wrong_flag_is_refused_with_exit_code_two(tmp_path):
    assert script("--resolution", "0", cwd=tmp_path).returncode == 2
    assert script("--dtype", "float64", cwd=tmp_path).returncode == 2
