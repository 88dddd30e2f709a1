import csv
import gzip
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cohort import align, open_images, read_cohort, read_texts
from cohort.sources.mapping import ColumnMapping
from preprocess.packing.pack import JobFailedError
from preprocess.pipeline import run
from preprocess.pixels.resize import fit_to_square
from preprocess.preprocess_config import PreprocessConfig

OUTPUTS = [
    "cohort.csv",
    "contact_sheet.png",
    "cxr.h5",
    "cxr.h5.journal",
    "cxr_paths.csv",
    "flow.csv",
    "mimic_impressions.csv",
    "preprocess.json",
    "text_statistics.csv",
]


def pack(mimic, out_dir, **settings):
    return run(PreprocessConfig(archive_root=mimic.root, out_dir=out_dir, workers=1, resolution=40, **settings))


def table(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def left_out(summary) -> dict[str, int]:
    return {step.reason: step.rows for step in summary.flow.steps if step.kind == "left out" and step.rows}


def test_every_row_has_the_pixels_text_and_patient_of_its_own_image(mimic, tmp_path):
    summary = pack(mimic, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == OUTPUTS
    store = open_images(summary.outputs.images)
    texts = align(store.image_ids, read_texts(summary.outputs.texts))
    cohort = read_cohort(summary.outputs.cohort).set_index("image_id")
    paths = table(summary.outputs.paths)
    assert summary.n_packed == len(store) == 9
    for row, image_id in enumerate(store.image_ids):
        study = image_id.split("-")[0][::-1]
        np.testing.assert_array_equal(store.read([row])[0], fit_to_square(mimic.pixels(image_id), 40))
        assert texts["text"][row] == f"Impression of study {study}."
        assert texts["section_used"][row] == "impression"
        assert texts["filename"][row] == f"s{study}.txt"
        assert paths[row] == {"Path": str(mimic.images[image_id]), "image_id": image_id}
        assert cohort.loc[image_id, "h5_row"] == row
        assert cohort.loc[image_id, "study_id"] == study


def test_rows_follow_the_order_of_paths(mimic, tmp_path):
    summary = pack(mimic, tmp_path, views="all")
    paths = [row["Path"] for row in table(summary.outputs.paths)]
    assert paths == sorted(str(path) for path in mimic.images.values())


def test_every_image_left_out_keeps_its_line_and_its_reason(mimic, tmp_path):
    frontal = [image_id for image_id in mimic.images if image_id.endswith("pa")]
    cut, gone, silent, unreported = frontal[0], frontal[1], frontal[2], frontal[3]
    mimic.images[cut].write_bytes(mimic.images[cut].read_bytes()[:900])
    mimic.images[gone].unlink()
    mimic.reports[silent.split("-")[0][::-1]].write_text(" FINAL REPORT\n IMPRESSION: ___\n", encoding="utf-8")
    mimic.reports[unreported.split("-")[0][::-1]].unlink()
    summary = pack(mimic, tmp_path, max_failed_share=0.4)
    cohort = read_cohort(summary.outputs.cohort).set_index("image_id")
    assert len(cohort) == summary.n_listed == 12
    assert cohort["status"].value_counts().to_dict() == {"packed": 5, "excluded": 6, "failed": 1}
    assert cohort["h5_row"].notna().equals(cohort["status"] == "packed")
    assert cohort.loc[cut, "status_reason"].startswith(
        f"image is damaged: {mimic.images[cut]}: Premature end of JPEG file"
    )
    assert cohort.loc[gone, "status_reason"] == "image file is missing"
    assert cohort.loc[silent, "status_reason"] == "report has no usable text by the chosen rule"
    assert cohort.loc[unreported, "status_reason"].startswith("report file is missing: ")
    assert left_out(summary) == {
        "not frontal": 3,
        "report file is missing": 1,
        "report has no usable text": 1,
        "image file is missing": 1,
        "image is damaged": 1,
    }
    assert summary.n_failed == 1
    written = pd.read_csv(summary.outputs.flow)
    assert written.loc[written["step"] == "left out", "rows"].sum() == 12 - summary.n_packed
    store = open_images(summary.outputs.images)
    assert cohort.loc[store.image_ids, "h5_row"].tolist() == list(range(5))
    align(store.image_ids, read_texts(summary.outputs.texts))


def test_one_and_two_workers_write_the_same_files(larger_mimic, tmp_path):
    for workers in (1, 2):
        config = PreprocessConfig(
            archive_root=larger_mimic.root, out_dir=tmp_path / str(workers), workers=workers, resolution=40
        )
        assert run(config).n_packed == 24
    for name in OUTPUTS:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_too_many_unreadable_images_fail_the_job_and_leave_the_former_files_alone(mimic, tmp_path):
    pack(mimic, tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in OUTPUTS}
    for image in list(mimic.images.values())[:2]:
        image.write_bytes(b"\xff\xd8 cut")
    with pytest.raises(
        JobFailedError, match=r"1 of 9 images could not be read, 0 are tolerated \(--max_failed_share\)"
    ):
        pack(mimic, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("step", ["write_impressions", "write_cohort", "Flow.write"])
def test_when_a_table_cannot_be_written_only_rows_are_left_which_the_next_run_uses(mimic, tmp_path, monkeypatch, step):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"preprocess.pipeline.{step}", refuse)
    with pytest.raises(OSError, match="No space left"):
        pack(mimic, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cxr.h5.partial"]
    monkeypatch.undo()
    assert pack(mimic, tmp_path / "out").n_decoded == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == OUTPUTS


def test_an_archive_in_which_nothing_is_usable_is_an_error_that_shows_the_counts(mimic, tmp_path):
    for report in mimic.reports.values():
        report.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", encoding="utf-8")
    with pytest.raises(JobFailedError, match=r"(?s)no image is left to pack.*report is a Git LFS pointer\s+9"):
        pack(mimic, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_report_in_another_encoding_is_counted(mimic, tmp_path):
    next(iter(mimic.reports.values())).write_bytes("IMPRESSION: naïve".encode("latin-1"))
    assert left_out(pack(mimic, tmp_path, max_failed_share=0.2))["report is not UTF-8"] == 1


def test_all_views_and_images_without_text_can_be_kept_for_scoring(mimic, tmp_path):
    next(iter(mimic.reports.values())).unlink()
    summary = pack(mimic, tmp_path, views="all", require_text=False)
    assert summary.n_packed == 12
    texts = read_texts(summary.outputs.texts)
    assert (texts["section_used"] == "none").tolist() == (texts["text"] == "").tolist()
    assert (texts["text"] == "").sum() == 1


@pytest.mark.parametrize(
    ("section", "expected"),
    [("findings", "Findings of study {}."), ("both", "Findings of study {0}. Impression of study {0}.")],
)
def test_other_sections_can_be_asked_for(mimic, tmp_path, section, expected):
    for row in table(pack(mimic, tmp_path, section=section).outputs.texts):
        assert row["impression"] == expected.format(row["study_id"])


def test_references_to_earlier_studies_and_marks_are_taken_out_on_request_and_counted(mimic, tmp_path):
    study, report = next(iter(mimic.reports.items()))
    report.write_text(
        " FINAL REPORT\n IMPRESSION:\n\n Small effusion, unchanged since ___. Dr. ___ was told.\n", encoding="utf-8"
    )

    def text_of(**settings):
        summary = pack(mimic, tmp_path / str(len(settings)), **settings)
        counts = pd.read_csv(summary.outputs.text_statistics).query("by == 'all'").iloc[0]
        assert counts["texts"] == len(mimic.reports)
        texts = read_texts(summary.outputs.texts)
        return texts.loc[texts["study_id"] == study, "text"].iloc[0], counts["edited"]

    assert text_of() == ("Small effusion, unchanged since ___. Dr. ___ was told.", 0)
    text, edited = text_of(prior_references="phrases", deidentification_marks="remove")
    assert text.startswith("Small effusion")
    assert "unchanged" not in text
    assert "___" not in text
    assert edited == 1


def test_compat_writes_the_reference_s_files_row_for_row(mimic, tmp_path):
    studies = list(mimic.reports)
    mimic.reports[studies[0]].write_text("FINDINGS: Clear.", encoding="utf-8")
    mimic.reports[studies[1]].write_text("x RECOMMENDATIONS: CT. IMPRESSION: a", encoding="utf-8")
    summary = pack(mimic, tmp_path, compat="chexzero")
    paths = sorted(mimic.images.values())
    with h5py.File(summary.outputs.images) as file:
        assert list(file) == ["cxr"]
        assert file["cxr"].dtype == np.dtype("<f4")
        assert file["cxr"].shape == (12, 40, 40)
        for row, path in enumerate(paths):
            np.testing.assert_array_equal(file["cxr"][row], fit_to_square(np.asarray(Image.open(path)), 40))
    expected = {study: f"Impression of study {study}." for study in studies}
    expected |= {studies[0]: "NO IMPRESSION", studies[1]: ""}
    lines = [f"{path.parent.name}.txt,{expected[path.parent.name[1:]]}" for path in paths]
    assert summary.outputs.texts.read_text() == "\n".join(["filename,impression", *lines, ""])
    assert summary.outputs.paths.read_text() == "\n".join(["Path", *map(str, paths), ""])


@pytest.mark.parametrize("layout", ["no folder of reports", "images alone, named by flag"])
def test_mimic_without_reports_is_packed_for_scoring(mimic, tmp_path, layout):
    shutil.rmtree(mimic.root / "mimic-cxr")
    named = {} if layout == "no folder of reports" else {"chest_x_ray_path": mimic.root / "mimic-cxr-jpg/2.1.0/files"}
    summary = pack(mimic, tmp_path / "out", require_text=False, **named)
    assert summary.n_packed == 9
    texts = read_texts(summary.outputs.texts)
    assert texts["text"].tolist() == [""] * 9
    assert len(open_images(summary.outputs.images)) == 9


def test_the_word_scan_without_compat_leaves_out_reports_without_impression(mimic, tmp_path):
    studies = list(mimic.reports)
    mimic.reports[studies[0]].write_text("FINDINGS: Clear.", encoding="utf-8")
    summary = pack(mimic, tmp_path, text_rule="chexzero")
    assert left_out(summary)["report has no usable text"] == 1
    assert {row["section_used"] for row in table(summary.outputs.texts)} == {"chexzero"}


def test_the_fingerprint_depends_on_the_archive_and_not_on_where_it_lies(mimic, tmp_path):
    def fingerprint(out_dir):
        return open_images(pack(mimic, out_dir).outputs.images).attributes["archive_fingerprint"]

    first = fingerprint(tmp_path / "a")
    mimic.root.rename(tmp_path / "elsewhere")
    mimic.root = tmp_path / "elsewhere"
    assert fingerprint(tmp_path / "b") == first
    image = next(iter(sorted(mimic.root.rglob("*-pa.jpg"))))
    image.write_bytes(image.read_bytes() + b"\x00")
    assert fingerprint(tmp_path / "c") != first


def test_a_table_of_one_s_own_images_and_captions_is_packed(tmp_path):
    for number in range(3):
        Image.fromarray(np.full((20, 20), 50 * number, dtype=np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "mine.csv").write_text(
        'file,who,what\n2.png,b,A film.\n0.png,a,NA\n1.png,a," FINAL REPORT\n IMPRESSION: Clear, ""new"".\n"\n'
    )
    columns = ColumnMapping(image_id="file", path="file", subject_id="who", report="what")
    settings = {
        "dataset_type": "csv",
        "csv_path": tmp_path / "mine.csv",
        "columns": columns,
        "views": "all",
        "resolution": 20,
    }
    summary = run(PreprocessConfig(out_dir=tmp_path / "out", **settings))
    assert left_out(summary) == {"report has no usable text": 1}
    store = open_images(summary.outputs.images)
    assert store.image_ids == ["1.png", "2.png"]
    assert store.read([0, 1])[:, 0, 0].tolist() == [50, 100]
    rows = table(summary.outputs.texts)
    assert [row["impression"] for row in rows] == ['Clear, "new".', "A film."]
    assert [row["section_used"] for row in rows] == ["impression", "full report"]


def test_the_chexpert_test_set_is_the_sorted_first_views(tmp_path):
    for study in ("patient2/study1", "patient10/study1"):
        (tmp_path / "test" / study).mkdir(parents=True)
        for view in ("view1_frontal", "view2_lateral"):
            Image.fromarray(np.full((9, 9), len(study), dtype=np.uint8)).save(tmp_path / "test" / study / f"{view}.jpg")
    settings = {"dataset_type": "chexpert-test", "chest_x_ray_path": tmp_path / "test", "out_dir": tmp_path / "out"}
    with pytest.raises(ValueError, match=r"wanted 500 first views below .*, found 2; give --allow_count"):
        run(PreprocessConfig(**settings))
    summary = run(PreprocessConfig(**settings, allow_count=True, strict=True))
    store = open_images(summary.outputs.images)
    assert store.image_ids == ["patient10/study1/view1_frontal", "patient2/study1/view1_frontal"]
    assert read_cohort(summary.outputs.cohort)["study_id"].tolist() == ["patient10/study1", "patient2/study1"]
    assert not summary.outputs.texts.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 0}, "--resolution: wanted 1 to 4096 pixels, found 0"),
        ({"max_failed_share": 1.5}, "--max_failed_share: wanted a share from 0 to 1, found 1.5"),
        ({"workers": 0}, "--workers: wanted auto, or 1 or more, found 0"),
        ({"dataset_type": "csv"}, "--dataset_type csv: wanted the table as --csv_path, found none"),
        ({"dataset_type": "chexpert-test"}, "wanted its folder as --chest_x_ray_path, found none"),
        ({"compat": "chexzero", "prior_references": "phrases"}, "wanted keep with CheXzero's text rule"),
        ({"text_rule": "chexzero", "deidentification_marks": "remove"}, "found keep and remove"),
        ({"nih_edition": "2017"}, "--nih_edition: wanted --dataset_type nih with it, found mimic"),
        ({"radiology_reports_path": Path("r")}, "wanted --chest_x_ray_path together with r, found none"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(ValueError) as caught:
        PreprocessConfig(**settings)
    assert message in str(caught.value)


def test_faults_stop_a_strict_run_before_it_decodes_and_what_the_settings_exclude_is_none(mimic, tmp_path):
    assert pack(mimic, tmp_path / "sound", strict=True).n_packed == 9
    frontal = [image_id for image_id in mimic.images if image_id.endswith("pa")]
    mimic.images[frontal[0]].unlink()
    extra = mimic.images[frontal[1]].with_name("unknown.jpg")
    extra.write_bytes(mimic.images[frontal[1]].read_bytes())
    mimic.reports[frontal[2].split("-")[0][::-1]].write_bytes(b"IMPRESSION: na\xefve")
    message = (
        r"--strict: wanted an archive without faults, found image file is missing \(1\); "
        r"image file that the archive's tables do not list \(1\); report is not UTF-8 \(1\)"
    )
    with pytest.raises(JobFailedError, match=message):
        pack(mimic, tmp_path / "out", strict=True)
    assert not (tmp_path / "out").exists()
    written = pd.read_csv(pack(mimic, tmp_path / "out", max_failed_share=0.3).outputs.flow)
    assert written.loc[written["step"] == "noted", "reason"].str.contains("do not list").any()


def repeat_row(mimic, number, old="", new=""):
    """Write a row of the metadata table once more, changed."""
    path = next(mimic.root.rglob("*metadata.csv.gz"))
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert old in lines[number]
    path.write_bytes(gzip.compress("\n".join([*lines, lines[number].replace(old, new), ""]).encode()))
    return lines[number].split(",")[0]


def test_repeated_ids_are_counted_and_where_rows_disagree_the_image_is_left_out(mimic, tmp_path):
    sound = pack(mimic, tmp_path / "sound")
    repeated = repeat_row(mimic, 1)
    first = pack(mimic, tmp_path / "once")
    assert left_out(first) == left_out(sound) | {"row repeats an image id": 1}
    for name in set(OUTPUTS) - {"flow.csv"}:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "sound" / name).read_bytes(), name
    torn = repeat_row(mimic, 4, "PA", "AP")
    summary = pack(mimic, tmp_path / "out")
    assert left_out(summary) == left_out(sound) | {
        "row repeats an image id": 2,
        "rows with the same image id disagree": 1,
    }
    cohort = read_cohort(summary.outputs.cohort).set_index("image_id")
    assert len(cohort) == summary.n_listed == 12
    assert cohort.loc[torn, ["status", "status_reason"]].tolist() == [
        "excluded",
        "rows with the same image id disagree",
    ]
    assert cohort.loc[repeated, "status"] == "packed"
    store = open_images(summary.outputs.images)
    assert torn not in store.image_ids
    assert len(store) == sound.n_packed - 1
    message = r"found row repeats an image id \(2\); rows with the same image id disagree \(1\)"
    with pytest.raises(JobFailedError, match=message):
        pack(mimic, tmp_path / "strict", strict=True)


def test_a_strict_run_that_meets_a_damaged_image_changes_nothing_but_keeps_its_rows(mimic, tmp_path):
    image = next(path for name, path in mimic.images.items() if name.endswith("pa"))
    image.write_bytes(image.read_bytes()[:-300])
    with pytest.raises(JobFailedError, match=r"found image is damaged \(1\)"):
        pack(mimic, tmp_path, strict=True, max_failed_share=0.2)
    assert [path.name for path in tmp_path.iterdir() if path.name != "archive"] == ["cxr.h5.partial"]
    assert pack(mimic, tmp_path, max_failed_share=0.2).n_decoded == 0


def test_studies_that_arrive_later_are_appended_and_the_tables_follow(tmp_path, mimic):
    hidden = {path: path.read_bytes() for name, path in sorted(mimic.images.items())[:3] if name.endswith("pa")}
    for path in hidden:
        path.unlink()
    first = pack(mimic, tmp_path / "out", max_failed_share=0.3)
    before = open_images(first.outputs.images)
    ids, pixels = before.image_ids, before.read(np.arange(len(before)))
    for path, content in hidden.items():
        path.write_bytes(content)
    second = pack(mimic, tmp_path / "out")
    after = open_images(second.outputs.images)
    assert second.n_decoded == len(hidden) > 0
    assert after.image_ids[: len(ids)] == ids
    np.testing.assert_array_equal(after.read(np.arange(len(ids))), pixels)
    cohort = read_cohort(second.outputs.cohort).set_index("image_id")
    assert cohort.loc[after.image_ids, "h5_row"].tolist() == list(range(len(after)))
    assert [row["image_id"] for row in table(second.outputs.paths)] == after.image_ids
    align(after.image_ids, read_texts(second.outputs.texts))


def test_what_is_odd_about_an_image_stands_in_the_cohort_table_and_in_the_flow(mimic, tmp_path):
    lateral = next(path for name, path in mimic.images.items() if name.endswith("lateral"))
    Image.fromarray(np.full((90, 30), 128, np.uint8)).save(lateral)
    summary = pack(mimic, tmp_path, views="all")
    cohort = read_cohort(summary.outputs.cohort).set_index("path")
    assert cohort.loc[str(lateral), "quality"] == "blank; odd aspect; lateral by metadata"
    assert cohort["quality"].value_counts().to_dict() == {
        "": 9,
        "lateral by metadata": 2,
        "blank; odd aspect; lateral by metadata": 1,
    }
    noted = {step.reason: step.rows for step in summary.flow.steps if step.kind == "noted"}
    assert {name: noted[name] for name in ("blank", "odd aspect", "lateral by metadata")} == {
        "blank": 1,
        "odd aspect": 1,
        "lateral by metadata": 3,
    }


def test_an_image_that_is_a_link_out_of_the_archive_is_left_out_unless_allowed(mimic, tmp_path):
    image = next(path for name, path in mimic.images.items() if name.endswith("pa"))
    image.rename(tmp_path / "elsewhere.jpg")
    image.symlink_to(tmp_path / "elsewhere.jpg")
    assert left_out(pack(mimic, tmp_path / "a", max_failed_share=0.2))["image is a link out of the archive"] == 1
    assert pack(mimic, tmp_path / "b", follow_links=True).n_packed == 9
