"""The command: planted films asked by models that understand, overlook "no", or take left for right."""

import numpy as np
import pandas as pd
import pytest

from cohort import open_images
from zero_shot.images import as_images
from zero_shot.probing.minimal_pairs import load_probe
from zero_shot.probing.probe_job import ProbeConfig
from zero_shot.probing.probes import Bootstrap, ask


def all_truth(archive):
    flags = ("truth_filepath", "severity_filepath", "boxes_filepath", "sizes_filepath")
    return [part for flag in flags for part in (f"--{flag}", archive.sizes if "sizes" in flag else archive.truth)]


def means(tmp_path):
    table = pd.read_csv(tmp_path / "out/probes.csv")
    return table[table["question"] == "mean"].set_index(["probe", "task"])["score"]


@pytest.mark.parametrize(
    ("reads", "negation", "scope", "side"),
    [("understands", 1.0, 1.0, 1.0), ("overlooks_no", 0.5, 0.5, 0.5), ("takes_left_for_right", 1.0, 1.0, 0.0)],
)
def test_a_model_has_the_scores_that_follow_from_how_it_reads(
    planted_archive, run_job, tmp_path, reads, negation, scope, side
):
    probes = ["--probes", "negation", "scope", "laterality"]
    code, out, errors = run_job(
        "probe", "--checkpoint", f"runs/{reads}", *planted_archive.flags, *all_truth(planted_archive), *probes
    )
    assert (code, errors) == (0, "")
    found = means(tmp_path)
    assert found["negation", "choose the sentence"] == negation
    assert found["scope", "choose the sentence"] == scope
    assert found["laterality", "choose the sentence"] == side
    assert "What it cannot show: " in out


def test_the_table_is_that_of_the_functions(planted_archive, run_job, tmp_path):
    code, _, _ = run_job(
        "probe", "--checkpoint", "dilutes", *planted_archive.flags, "--truth_filepath", planted_archive.truth,
        "--probes", "negation", "--seed", "3",
    )  # fmt: skip
    assert code == 0
    truth = pd.read_csv(planted_archive.truth).sort_values("image_id", ignore_index=True)
    probe = load_probe("negation")
    probe = probe.select([name for name in probe.questions if name in planted_archive.planted.FINDINGS])
    with open_images(tmp_path / "cxr.h5") as store:
        wanted = ask(
            planted_archive.planted.planted_bundle(planted_archive.planted.dilutes),
            as_images(store),
            [probe],
            truth,
            [f"p{k // 2}" for k in range(len(truth))],
            bootstrap=Bootstrap(n_replicates=40, seed=3),
        )
    found = pd.read_csv(tmp_path / "out/probes.csv", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(
        found.drop(columns=["first", "second", "reason"]),
        wanted.drop(columns=["first", "second", "reason"]),
        check_dtype=False,
    )


def test_severity_asks_about_the_films_that_are_mild_or_severe(planted_archive, run_job, tmp_path):
    flags = ["--severity_filepath", planted_archive.truth, "--probes", "severity", "--severe_from", "0.9"]
    assert run_job("probe", "--checkpoint", "understands", *planted_archive.flags, *flags)[0] == 0
    table = pd.read_csv(tmp_path / "out/probes.csv")
    severities = pd.read_csv(planted_archive.truth)
    for finding in ("Cardiomegaly", "Edema", "Pleural Effusion", "Pneumothorax"):
        row = table[table["question"] == finding].iloc[0]
        graded = severities[f"severity_{finding}"]
        assert row["n_first"] == (graded >= 0.9).sum()
        assert row["n_second"] == ((graded > 0) & (graded < 0.55)).sum()
        # it does not know words of degree: both sentences are one to it, and a tie counts half
        assert row["score"] == 0.5
    assert "Atelectasis" not in set(table["question"])


def test_without_sides_and_severities_the_other_probes_are_asked_and_the_rest_is_named(
    planted_archive, run_job, tmp_path
):
    code, out, _ = run_job("probe", "--checkpoint", "understands", *planted_archive.flags)
    assert code == 0
    table = pd.read_csv(tmp_path / "out/probes.csv")
    assert list(dict.fromkeys(table["probe"])) == ["negation", "scope", "normality"]
    assert "severity: not asked, because it needs --severity_filepath" in out
    assert "laterality: not asked, because it needs --boxes_filepath and --sizes_filepath" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--probes", "laterality"], "laterality needs --boxes_filepath and --sizes_filepath"),
        (["--probes", "negation", "severity"], "severity needs --severity_filepath"),
        (["--probes", "irony"], "no probe 'irony'"),
        (["--boxes_filepath", "b.csv"], "--boxes_filepath, --sizes_filepath: wanted both"),
        (["--mild_below", "0.9"], "--mild_below, --severe_from: wanted 0 < mild_below <= severe_from, found 0.9 and"),
        (["--n_replicates", "-1"], "--n_replicates: wanted 0 or more, found -1"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_2_and_leaves_nothing(planted_archive, run_job, tmp_path, flags, message):
    code, _, errors = run_job("probe", "--checkpoint", "understands", *planted_archive.flags, *flags)
    assert code == 2
    assert message in errors
    assert not (tmp_path / "out").exists()


def test_a_film_without_its_row_of_truth_is_named(planted_archive, run_job, tmp_path):
    table = pd.read_csv(planted_archive.truth)
    table[table["image_id"] != "film-007"].to_csv(planted_archive.truth, index=False)
    flags = [*planted_archive.flags, "--severity_filepath", planted_archive.truth, "--probes", "severity"]
    code, _, errors = run_job("probe", "--checkpoint", "understands", *flags)
    assert code == 2
    assert "truth.csv: wanted a row for every image, found none for 1 of 300, first film-007" in errors
    flags = [*planted_archive.flags, *all_truth(planted_archive), "--probes", "laterality"]
    code, _, errors = run_job("probe", "--checkpoint", "understands", *flags)
    assert "found none for 1 of 300, first film-007" in errors
    assert not (tmp_path / "out").exists()
    assert ProbeConfig(checkpoint="x").chosen_probes == ("negation", "scope", "normality")
    assert np.isnan(planted_archive.sides).any()
