"""The demo from an empty folder to its report, small; what it learns is the business of `make demo`."""

import json
import re
import sys

import pandas as pd
import pytest

import run_demo
from wiring.demo_plan import DemoConfig


@pytest.fixture(scope="module")
def demo(tmp_path_factory, one_thread):
    root = tmp_path_factory.mktemp("demo") / "run"
    config = DemoConfig(out_dir=root, n_patients=60, image_size=96, epochs=1, n_replicates=60)
    return root, run_demo.main(config)


def test_the_summary_on_disk_has_the_promised_keys_and_the_times_add_up(demo):
    root, summary = demo
    assert json.loads((root / "summary.json").read_text()) == summary
    assert set(summary) == {
        *("mean_auroc", "supervised_mean_auroc", "n_findings"),
        *("seconds", "seconds_by_stage", "peak_rss_mb", "report"),
    }
    stages = summary["seconds_by_stage"]
    assert set(stages) == {"phantom", "preprocess", "train", "zero_shot", "supervised", "report"}
    assert summary["seconds"] == pytest.approx(sum(stages.values()), abs=0.5)
    assert 100 < summary["peak_rss_mb"] < 4096


def test_the_report_shows_every_part_of_the_run(demo):
    root, summary = demo
    assert summary["report"] == str(root / "report.html")
    page = (root / "report.html").read_text(encoding="utf-8")
    for part in ("scores", "groups", "reports", "training", "examples", "flow", "methods", "specification"):
        assert f'<section id="{part}">' in page
    assert page.count("data:image/jpeg;base64,") == 6
    assert "Planted: 4% of the visible abnormalities" in page


def test_the_report_is_the_evaluation_s_page_with_more_on_it(demo):
    root, _ = demo
    parts = [
        re.findall(r'<section id="(\w+)">', path.read_text(encoding="utf-8"))
        for path in (root / "predictions" / "report.html", root / "report.html")
    ]
    assert "decisions" in parts[0]
    assert [part for part in parts[1] if part not in {"reports", "training", "examples"}] == parts[0]
    evaluated = (root / "predictions" / "report.html").read_text(encoding="utf-8")
    settings = re.search(r'<dl class="facts">.*?</dl>', evaluated)[0]
    assert settings in (root / "report.html").read_text(encoding="utf-8")
    assert "data:image" not in evaluated


def test_only_held_out_patients_are_scored_and_against_the_truth_of_the_films(demo):
    root, _ = demo
    cohort = pd.read_csv(root / "data" / "cohort.csv", dtype=str).set_index("image_id")
    predictions = pd.read_csv(root / "predictions" / "predictions.csv", dtype={"image_id": str})
    assert set(cohort.loc[predictions["image_id"], "split"]) == {"test"}
    truth = pd.read_csv(root / "phantom" / "truth.csv", dtype={"image_id": str}).set_index("image_id")
    scores = pd.read_csv(root / "tables" / "scores.csv").set_index("finding")
    assert scores.loc["Edema", "n_pos"] == truth.loc[predictions["image_id"], "Edema"].sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--n_patients", "10"], "wanted 50 or more"), (["--epochs", "0"], "wanted 1 or more, found 0")],
)
def test_a_demo_that_cannot_be_is_refused_before_anything_is_written(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["run_demo.py", "--out_dir", str(tmp_path / "demo"), *arguments])
    assert run_demo.cli() == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_the_control_repeats_training_and_scoring_on_shuffled_reports(tmp_path):
    config = DemoConfig(out_dir=tmp_path, n_patients=60, image_size=96, epochs=1, n_replicates=60, control=True)
    summary = run_demo.main(config)
    assert "shuffled_mean_auroc" in summary
    stages = summary["seconds_by_stage"]
    assert summary["seconds"] == pytest.approx(sum(stages.values()) - stages["control"], abs=0.5)
    assert json.loads((tmp_path / "model_shuffled" / "config.json").read_text())["shuffle_reports"] is True
    assert "shuffled reports" in (tmp_path / "report.html").read_text(encoding="utf-8")
