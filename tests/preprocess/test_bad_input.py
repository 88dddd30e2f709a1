"""Everything that can be wrong with an archive: one bad item among sound ones, counted by its reason, strict or not."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from cohort import read_cohort
from preprocess.packing.block import JobFailedError
from preprocess.pipeline import run
from preprocess.preprocess_config import PreprocessConfig

ROOT = Path(__file__).resolve().parents[2]
SOUND = 9
"""Frontal images with a text in the miniature."""


def target(mimic) -> tuple[str, Path]:
    """Return the id and path of the frontal image that is spoilt."""
    return next((name, path) for name, path in mimic.images.items() if name.endswith("pa"))


def corrupt(mimic):
    path = target(mimic)[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)


def truncated(mimic):
    path = target(mimic)[1]
    path.write_bytes(path.read_bytes()[:-300])


def zero_byte(mimic):
    target(mimic)[1].write_bytes(b"")


def mislabelled(mimic):
    target(mimic)[1].write_text("<html>Log in to continue</html>", encoding="utf-8")


def png_named_jpg(mimic):
    path = target(mimic)[1]
    with Image.open(path) as image:
        image.save(path, format="PNG")


def bomb(mimic):
    Image.new("1", (14_000, 14_000)).save(target(mimic)[1], format="PNG")


def one_pixel(mimic):
    Image.new("L", (1, 1), 90).save(target(mimic)[1], quality=95)


def not_on_disk(mimic):
    target(mimic)[1].unlink()


def not_in_the_metadata(mimic):
    path = target(mimic)[1]
    path.with_name("unknown.jpg").write_bytes(path.read_bytes())


def link_out(mimic):
    path = target(mimic)[1]
    path.rename(mimic.root.parent / "elsewhere.jpg")
    path.symlink_to(mimic.root.parent / "elsewhere.jpg")


def report_of(mimic) -> Path:
    return mimic.reports[target(mimic)[0].split("-")[0][::-1]]


def report_not_utf8(mimic):
    report_of(mimic).write_bytes("IMPRESSION: naïve".encode("latin-1"))


def report_missing(mimic):
    report_of(mimic).unlink()


CASES = {
    corrupt: ("image is damaged", "failed"),
    truncated: ("image is damaged", "failed"),
    zero_byte: ("image file is empty", "failed"),
    mislabelled: ("not an image file", "failed"),
    png_named_jpg: ("file is not what its name says", "packed"),
    bomb: ("image has too many pixels", "failed"),
    one_pixel: ("image is too small", "failed"),
    not_on_disk: ("image file is missing", "excluded"),
    not_in_the_metadata: ("image file that the archive's tables do not list", "packed"),
    link_out: ("image is a link out of the archive", "excluded"),
    report_not_utf8: ("report is not UTF-8", "excluded"),
    report_missing: ("report file is missing", "excluded"),
}
"""What was done -> the reason that counts it, and what becomes of the image. Repeated ids: test_pipeline.py; a full
disk, which no setting can let pass: test_pack.py."""


def pack(root, out_dir, **settings):
    options = {"resolution": 40, "workers": 1, "max_failed_share": 0.2} | settings
    return run(PreprocessConfig(archive_root=root, out_dir=out_dir, **options))


@pytest.mark.parametrize("spoil", CASES, ids=lambda spoil: spoil.__name__)
def test_one_bad_item_is_counted_costs_nothing_else_and_does_not_pass_a_strict_run(mimic, tmp_path, spoil):
    spoil(mimic)
    reason, status = CASES[spoil]
    summary = pack(mimic.root, tmp_path / "out")
    assert summary.n_packed == SOUND - (status != "packed")
    written = pd.read_csv(summary.outputs.flow).set_index("reason")
    assert written.loc[reason, "rows"] == 1
    assert written.loc[reason, "step"] == ("noted" if status == "packed" else "left out")
    fate = read_cohort(summary.outputs.cohort).set_index("image_id").loc[target(mimic)[0]]
    assert fate["status"] == status
    if status != "packed":
        assert fate["status_reason"].startswith(reason)
    with pytest.raises(JobFailedError, match=rf"--strict: wanted an archive without faults, found {reason} \(1\);"):
        pack(mimic.root, tmp_path / "strict", strict=True)
    left = sorted(path.name for path in (tmp_path / "strict").glob("*"))
    assert left in ([], ["cxr.h5.partial"])


@contextmanager
def an_ordinary_user():
    """Act as nobody while in the block: root may read everything, whatever the file's mode says."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_image_and_a_report_that_may_not_be_read_are_counted(mimic):
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder)
        shared.chmod(0o777)
        mimic.root.rename(shared / "archive")
        (image,) = shared.rglob(target(mimic)[1].name)
        study = max(mimic.reports)
        (report,) = shared.rglob(f"s{study}.txt")
        pack(shared / "archive", shared / "before")
        for path in (image, report):
            path.chmod(0)
        with an_ordinary_user():
            summary = pack(shared / "archive", shared / "out", max_failed_share=0.3)
            with pytest.raises(JobFailedError, match=r"found report file cannot be read \(1\);"):
                pack(shared / "archive", shared / "strict", strict=True)
        report.chmod(0o644)
        with an_ordinary_user(), pytest.raises(JobFailedError, match=r"found image file cannot be read \(1\);"):
            pack(shared / "archive", shared / "strict", strict=True)
        written = pd.read_csv(summary.outputs.flow).set_index("reason")
        assert (
            written.loc["image file cannot be read", "rows"] == written.loc["report file cannot be read", "rows"] == 1
        )
        cohort = read_cohort(summary.outputs.cohort).set_index("image_id")
        assert cohort.loc[image.stem, "status_reason"] == f"image file cannot be read: {image}: Permission denied"
        assert (cohort["status"] == "packed").sum() == summary.n_packed < SOUND


def test_the_command_exits_with_one_when_strict_and_zero_when_not(mimic, tmp_path):
    png_named_jpg(mimic)
    command = [sys.executable, str(ROOT / "preprocess_train_data.py"), "--archive_root", str(mimic.root)]
    for flags, code in (([], 0), (["--strict"], 1)):
        done = subprocess.run(
            [*command, "--out_dir", str(tmp_path / f"{code}"), *flags], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error: --strict: wanted an archive without faults, found file is not what")
