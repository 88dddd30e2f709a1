"""What a simulated archive planted is found again; what it did not plant is not. No film is drawn for it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from audit import ReportPage, ScoredImages, SimulatedRun, disaggregate, read_subgroups, summarise
from audit.cost import Meter
from audit.simulated_report import describe_planted, read_curve, read_film, sensitivity_of_reports
from audit.under_reporting import POOLED
from cohort.sources.mimic import read_mimic_jpg
from phantom import PRESETS, Film, write_archive


def blank_film(body, lesions, *, view, exposure, image_size, rng):
    return Film(image=np.zeros((8, 8), np.uint8))


@pytest.fixture(scope="module")
def reports_of(tmp_path_factory):
    def audit_reports(scenario: str) -> pd.DataFrame:
        root = tmp_path_factory.mktemp(scenario)
        write_archive(
            root, scenario=PRESETS[scenario](), n_patients=1000, seed=0, image_size=32, workers=1, draw=blank_film
        )
        cohort, _ = read_mimic_jpg(root)
        return sensitivity_of_reports(cohort, root / "truth.csv", n_replicates=200)

    return audit_reports


def test_planted_under_reporting_is_recovered_with_sign_and_interval(reports_of):
    table = reports_of("underdiagnosis")
    pooled = table[table["finding"] == POOLED].set_index(["attribute", "group"])
    planted = PRESETS["underdiagnosis"]().underreporting_in_group
    assert planted == {"race=Black": 0.45, "insurance=Medicaid": 0.20}
    for group, rate in planted.items():
        found = pooled.loc[tuple(group.split("="))]
        assert found["flagged"]
        assert found["difference"] < 0
        assert found["shortfall_low"] < rate < found["shortfall_high"]
    short = pooled[pooled["flagged"] & (pooled["difference"] < 0)]
    assert set(short.index) == {("race", "Black"), ("insurance", "Medicaid")}


def test_in_the_null_scenario_no_group_is_flagged(reports_of):
    table = reports_of("null")
    assert (table["family"] == "confirmatory").sum() > 15
    assert not table["flagged"].any()


def test_planted_numbers_are_told_in_words():
    assert describe_planted({"underreporting": 0.04, "underreporting_in_group": {"race=Black": 0.45}}) == (
        "Planted: 4% of the visible abnormalities are left out for everybody; more of them in race=Black 45%."
    )
    assert describe_planted({"underreporting": 0.04, "underreporting_in_group": {}}).endswith(
        "no group more than another."
    )


def test_a_subgroup_table_survives_its_csv(make_cohort, tmp_path):
    cohort = make_cohort(patients=60)
    table = disaggregate(cohort.predictions, cohort.truth, cohort.groups, findings=cohort.findings, n_replicates=40)
    table.to_csv(tmp_path / "subgroups.csv", index=False)
    pd.testing.assert_frame_equal(read_subgroups(tmp_path / "subgroups.csv"), table)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="wanted the columns of a subgroup table"):
        read_subgroups(tmp_path / "other.csv")


def test_curves_and_films_are_read_as_they_were_written(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "loss": 2.5}\n{"step": 20, "mean_auroc": 0.7}\n')
    curve = read_curve(tmp_path)
    assert curve["step"].tolist() == [10, 20]
    assert curve["loss"].isna().tolist() == [False, True]

    Image.fromarray(np.full((3, 5), 77, np.uint8)).save(tmp_path / "film.png")
    assert read_film(tmp_path / "film.png").tolist() == np.full((3, 5), 77).tolist()


def scores(auroc):
    return pd.DataFrame(
        {"finding": ["Edema", "mean"], "auroc": [auroc, auroc], "status": ["ok" if auroc == auroc else "small", "ok"]}
    )


@pytest.mark.parametrize("shuffled", [None, 0.5])
def test_the_summary_has_exactly_the_promised_keys_and_no_nan(tmp_path, capsys, shuffled):
    page = ReportPage(title="", subtitle="", headlines=[], scores=scores(0.87654), subgroups=pd.DataFrame())
    run = SimulatedRun(
        evaluation=page,
        archive=tmp_path,
        cohort_filepath=tmp_path,
        txt_filepath=tmp_path,
        scored=ScoredImages(predictions=pd.DataFrame(), truth=pd.DataFrame(), cohort=pd.DataFrame(), prompts={}),
        ceiling=scores(np.nan),
        shuffled=None if shuffled is None else scores(shuffled),
    )
    meter = Meter()
    meter.seconds_by_stage = {"train": 100.04, "control": 50.0, "report": 2.0}
    meter.peak_rss_mb = 1234.4
    summarise(tmp_path, run, meter)
    expected = {
        "mean_auroc": 0.8765,
        "supervised_mean_auroc": None,
        "n_findings": 1,
        **({} if shuffled is None else {"shuffled_mean_auroc": 0.5}),
        "seconds": 102.0,
        "seconds_by_stage": {"train": 100.0, "control": 50.0, "report": 2.0},
        "peak_rss_mb": 1234,
        "report": str(Path(tmp_path) / "report.html"),
    }
    assert json.loads((tmp_path / "summary.json").read_text()) == expected
    assert str(tmp_path / "report.html") in capsys.readouterr().out
