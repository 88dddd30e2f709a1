"""Finished files of other settings are not replaced in silence."""

import json

import numpy as np
import pytest
from PIL import Image

from cohort import open_images, read_cohort
from preprocess.packing.block import JobFailedError
from preprocess.pipeline import run
from preprocess.preprocess_config import PreprocessConfig


def pack(mimic, out_dir, **settings):
    return run(PreprocessConfig(archive_root=mimic.root, out_dir=out_dir, workers=1, **{"resolution": 40, **settings}))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def own_table(folder, *, out_dir, **settings):
    Image.fromarray(np.tile(np.arange(20, dtype=np.uint8), (20, 1))).save(folder / "mine.png")
    (folder / "mine.csv").write_text("image_id,path,subject_id,report\na,mine.png,p,Clear.\n")
    return run(
        PreprocessConfig(
            dataset_type="csv", csv_path=folder / "mine.csv", out_dir=out_dir, views="all", workers=1,
            resolution=40, **settings,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"resolution": 24}, "resolution 40, now 24"),
        ({"section": "findings"}, "section impression, now findings"),
        ({"views": "all"}, "views frontal, now all"),
        ({"compat": "chexzero"}, "exact False, now True, dtype uint8, now float32, views frontal, now all, "),
    ],
)
def test_files_of_other_settings_are_refused_with_the_settings_and_replaced_on_request(
    mimic, tmp_path, settings, difference
):
    pack(mimic, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError) as caught:
        pack(mimic, tmp_path / "out", **settings)
    message = str(caught.value)
    assert message.startswith(f"--out_dir: {tmp_path}/out/cxr.h5, ")
    assert f"were written with other settings: {difference}" in message
    assert message.endswith("name another --out_dir (or the flags of these files), or replace them with --overwrite")
    assert contents(tmp_path / "out") == before
    pack(mimic, tmp_path / "out", overwrite=True, **settings)
    assert pack(mimic, tmp_path / "out", **settings).n_decoded == 0


def test_another_table_is_refused_and_the_same_one_with_more_images_is_not(mimic, tmp_path):
    own_table(tmp_path, out_dir=tmp_path / "out")
    with pytest.raises(
        ValueError, match=r"other settings: dataset_type csv, now mimic, .*archive .*mine.csv, now .*files"
    ):
        pack(mimic, tmp_path / "out")
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ValueError, match=r"other settings: archive .*/mine.csv, now .*/other/mine.csv; name"):
        own_table(other, out_dir=tmp_path / "out")
    (tmp_path / "mine.csv").write_text((tmp_path / "mine.csv").read_text() + "b,mine.png,q,Clear.\n")
    assert own_table(tmp_path, out_dir=tmp_path / "out").n_packed == 1


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["csv_out_path", "flow_out_path", "contact_sheet_path"])
def test_the_users_own_table_is_never_an_output(tmp_path, name, overwrite):
    with pytest.raises(ValueError) as caught:
        own_table(tmp_path, out_dir=tmp_path / "out", overwrite=overwrite, **{name: tmp_path / "x" / ".." / "mine.csv"})
    assert str(caught.value) == (
        f"--csv_path: wanted outputs beside the table, found {tmp_path}/x/../mine.csv among them; name another --{name}"
    )
    assert (tmp_path / "mine.csv").read_text().startswith("image_id,path")


def test_two_outputs_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError) as caught:
        own_table(tmp_path, out_dir=tmp_path / "out", flow_out_path=tmp_path / "out" / "cohort.csv")
    assert str(caught.value) == (
        f"--flow_out_path: wanted a file for each output, found {tmp_path}/out/cohort.csv for --cohort_out_path too; "
        "name another"
    )


def test_a_mapping_file_that_now_names_other_columns_is_refused(tmp_path):
    (tmp_path / "map.yaml").write_text("report: report\n")
    own_table(tmp_path, out_dir=tmp_path / "out", csv_mapping=tmp_path / "map.yaml")
    (tmp_path / "map.yaml").write_text("report: path\n")
    with pytest.raises(ValueError, match=r"other settings: columns.report report, now path; name another"):
        own_table(tmp_path, out_dir=tmp_path / "out", csv_mapping=tmp_path / "map.yaml")


def test_files_of_which_nothing_is_known_are_not_replaced(mimic, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/cohort.csv").write_text("mine\n")
    message = r"--out_dir: .*/out/cohort.csv would be replaced, and no preprocess.json tells which settings wrote them"
    with pytest.raises(ValueError, match=message):
        pack(mimic, tmp_path / "out")
    assert (tmp_path / "out/cohort.csv").read_text() == "mine\n"
    pack(mimic, tmp_path / "out", overwrite=True)
    (tmp_path / "out/preprocess.json").write_text("{")
    with pytest.raises(ValueError, match=r"preprocess.json cannot be read .*; delete it, and give --overwrite"):
        pack(mimic, tmp_path / "out")


def test_chexzeros_command_for_its_test_set_leaves_the_tables_of_the_training_archive_alone(mimic, tmp_path):
    first = pack(mimic, tmp_path / "data")
    before = contents(tmp_path / "data")
    (tmp_path / "test/patient1/study1").mkdir(parents=True)
    Image.fromarray(np.tile(np.arange(20, dtype=np.uint8), (20, 1))).save(
        tmp_path / "test/patient1/study1/view1_frontal.jpg"
    )
    second = run(
        PreprocessConfig(
            dataset_type="chexpert-test", chest_x_ray_path=tmp_path / "test", allow_count=True, workers=1,
            out_dir=tmp_path / "data", cxr_out_path=tmp_path / "data/chexpert_test.h5",
        )
    )  # fmt: skip
    after = contents(tmp_path / "data")
    assert {name: after[name] for name in before if name != "preprocess.json"} == {
        name: content for name, content in before.items() if name != "preprocess.json"
    }
    assert second.outputs.cohort == tmp_path / "data/chexpert_test_cohort.csv"
    assert read_cohort(second.outputs.cohort)["image_id"].tolist() == open_images(second.outputs.images).image_ids
    jobs = json.loads(after["preprocess.json"])["jobs"]
    assert [job["settings"]["dataset_type"] for job in jobs] == ["mimic", "chexpert-test"]
    assert pack(mimic, tmp_path / "data").n_packed == first.n_packed


def test_rows_of_a_stopped_job_with_other_settings_are_deleted_on_request(mimic, tmp_path, monkeypatch):
    def die(*_, **__):
        raise RuntimeError("stopped")

    monkeypatch.setattr("preprocess.pipeline.write_cohort", die)
    with pytest.raises(RuntimeError, match="stopped"):
        pack(mimic, tmp_path / "out")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="resolution 40, asked now 24; finish it with its own settings, or delete its"):
        pack(mimic, tmp_path / "out", resolution=24)
    assert pack(mimic, tmp_path / "out", resolution=24, overwrite=True).n_decoded == 9


def test_missing_files_count_as_failures_and_are_named(mimic, tmp_path):
    frontal = sorted(path for name, path in mimic.images.items() if name.endswith("pa"))
    for path in frontal[1:]:
        path.unlink()
    message = (
        "--max_failed_share: wanted at most 0 of 9 images without their files, found 8: image file is missing "
        f"(8, such as {frontal[1]}); if only a part of the archive is here, give a higher share"
    )
    with pytest.raises(JobFailedError) as caught:
        pack(mimic, tmp_path / "out")
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()
    assert pack(mimic, tmp_path / "out", max_failed_share=0.9).n_packed == 1
    frontal[0].unlink()
    with pytest.raises(JobFailedError, match=r"(?s)no image is left to pack.*image file is missing: ") as caught:
        pack(mimic, tmp_path / "other")
    assert f"image file is missing: {frontal[0]}, {frontal[1]}, {frontal[2]}, ..." in str(caught.value)


def test_missing_and_unreadable_files_share_one_limit(mimic, tmp_path):
    frontal = sorted(path for name, path in mimic.images.items() if name.endswith("pa"))
    frontal[0].unlink()
    frontal[1].write_bytes(b"no image")
    with pytest.raises(JobFailedError, match="1 of 8 images could not be read, 0 are tolerated"):
        pack(mimic, tmp_path / "out", max_failed_share=0.2)
    assert pack(mimic, tmp_path / "out", max_failed_share=0.25).n_packed == 7
