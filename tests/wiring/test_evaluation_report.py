"""The page of an evaluation shows what its tables hold: no more, no less, and nothing from elsewhere."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from audit import disaggregate
from cohort.exposure import TrainingExposure
from cohort.flow import Flow
from wiring.evaluation_report import evaluation_page, write_evaluation_report
from zero_shot.auroc_table import metrics_table
from zero_shot.ensemble import Member
from zero_shot.evaluation.decision_rule import LabelledScores
from zero_shot.evaluation.decisions import DecisionTables, decide_scores
from zero_shot.evaluation.results import FURTHER, Results
from zero_shot.evaluation.spec import build_spec
from zero_shot.prompts import PromptPair, PromptSet
from zero_shot.protocols.apply import ProtocolPlan
from zero_shot.protocols.protocol import load_protocol
from zero_shot.protocols.published import beside_published, with_headline
from zero_shot.protocols.radiologists import BENCHMARK
from zero_shot.zero_shot_config import ZeroShotConfig

HOSTILE = "<b>Edema & co</b>"
FINDINGS = ("Cardiomegaly", HOSTILE, "Fracture")
CONFIG = ZeroShotConfig(checkpoints=("runs/<i>model</i>",), n_replicates=60)


class Tables(HTMLParser):
    """Collects the page's text, links, tags, and the rows of its tables by section."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.links, self.tags, self.words = {}, [], [], []
        self.section, self.cell = "", None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append(tag)
        self.links += [named[name] for name in ("src", "href", "xlink:href") if name in named]
        if tag == "section":
            self.section = named["id"]
            self.rows[self.section] = []
        elif tag == "tr":
            self.rows[self.section].append([])
        elif tag in ("td", "th"):
            self.rows[self.section][-1].append("")
            self.cell = tag

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, text):
        self.words.append(text)
        if self.cell:
            self.rows[self.section][-1][-1] += text

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def row(self, section, *names):
        """Return the cells of the one row of a section that starts with `names`."""
        rows = [[" ".join(cell.split()) for cell in row] for row in self.rows[section]]
        (found,) = [row for row in rows if tuple(row[: len(names)]) == names]
        return found


def labelled(n_patients, seed):
    """Return two images per patient, scored well for the first finding and by chance for the others."""
    rng = np.random.default_rng(seed)
    n = 2 * n_patients
    subjects = [f"{seed}-{k // 2}" for k in range(n)]
    labels = (rng.random((n, 3)) < (0.4, 0.4, 0.02)).astype(float)
    scores = 1 / (1 + np.exp(-(rng.normal(size=(n, 3)) + labels * (1.5, 0, 0))))
    ids = pd.DataFrame({"image_id": [f"{seed}-image-{k}" for k in range(n)]})
    tables = (pd.concat([ids, pd.DataFrame(values, columns=list(FINDINGS))], axis=1) for values in (scores, labels))
    return LabelledScores(predictions=next(tables), truth=next(tables), subject_ids=subjects)


def specification():
    member = Member(
        path=CONFIG.checkpoints[0],
        name="<i>model</i>",
        weights="a1b2c3" * 10,
        architecture="0" * 64,
        preprocessing={"image_size": 112, "crop_from": None},
        logit_scale=14.5,
        logit_bias=None,
        scores=np.zeros((1, 3)),
    )
    pairs = {name: PromptPair(positive=(f"{name}, yes",), negative=(f"no {name}",)) for name in FINDINGS}
    spec = build_spec(
        [member],
        PromptSet(name="own", pairs=pairs),
        scoring="mixture",
        images={"split": "test", "views": "frontal", "n": 240, "fingerprint": "f" * 64, "resolution": 128},
        labels={
            "source": "truth file",
            "uncertainty_policy": "U-zeros",
            "blank_is_zero": False,
            "fingerprint": "e" * 64,
        },
        interval={"unit": "patient", "replicates": 60, "seed": 3, "level": 0.95},
        decisions={
            "policy": "youden",
            "calibration": "platt",
            "thresholds_file": False,
            "fitted_on": {"split": "validate", "n": 200},
        },
    )
    exposure = {"stamp": "exposed", "images": {"the image is in training": 7, "another": 233}}
    return spec | {"exposure": exposure | {"records": {"model": None}, "named_records": []}}


@pytest.fixture(scope="module")
def results():
    scored, validation = labelled(120, 1), labelled(100, 2)
    cohort = scored.truth[["image_id"]].assign(
        subject_id=scored.subject_ids, study_id=scored.subject_ids, sex=["F", "M", "M", "F"] * 60
    )
    flow = Flow()
    flow.start(cohort, "in the <table>")
    table = metrics_table(
        scored.predictions,
        scored.truth,
        scored.subject_ids,
        findings=FINDINGS,
        n_replicates=60,
        further=FURTHER,
    )
    stamped = scored.truth[["image_id"]].assign(stamp="exposed", reason="the image is in training")
    return Results(
        predictions=scored.predictions,
        truth=scored.truth,
        cohort=cohort,
        metrics=table,
        decided=decide_scores(
            CONFIG, scored, validation, findings=FINDINGS, studies=cohort["study_id"].tolist(), why_not=""
        ),
        spec=specification(),
        flow=flow,
        exposure=TrainingExposure(stamp="exposed", images=stamped),
        notes=("the images were <u>enlarged</u>",),
    )


def subgroups_of(results, groups=("sex",)):
    thresholds = dict.fromkeys(FINDINGS, 0.5)
    columns = results.cohort[["image_id", "subject_id", *groups]].replace({"sex": {"F": "<u>F</u>"}})
    return disaggregate(
        results.predictions, results.truth, columns, findings=FINDINGS, thresholds=thresholds, n_replicates=60
    )


@pytest.fixture(scope="module")
def subgroups(results):
    return subgroups_of(results)


@pytest.fixture(scope="module")
def page(results, subgroups, tmp_path_factory):
    path = write_evaluation_report(results, subgroups, tmp_path_factory.mktemp("evaluation"))
    return Tables(path.read_text(encoding="utf-8"))


def as_shown(row, name, low, high, form=".3f"):
    """Return a figure and its interval as the page prints them, computed from a table."""
    if pd.isna(row[name]):
        return "\N{EN DASH}"
    ends = "" if pd.isna(row[low]) else f" {row[low]:{form}} to {row[high]:{form}}"
    return f"{row[name]:{form}}{ends}".replace("-", "\N{MINUS SIGN}")


def test_every_score_on_the_page_is_that_of_the_table(results, page):
    for row in results.metrics.to_dict("records"):
        shown = page.row("scores", row["finding"])
        assert shown[1] == as_shown(row, "auroc", "low", "high")
        assert shown[2] == as_shown(row, "auprc", "auprc_low", "auprc_high")
        counts = ["" if pd.isna(row[name]) else f"{row[name]:,}" for name in ("n", "n_pos", "n_neg", "patients")]
        assert shown[3:7] == counts
        assert row["finding"] == "mean" or shown[8] == row["reason"]
    assert "not in the mean" in page.text
    assert {"ok", "small"} <= set(results.metrics["status"])


def test_groups_decisions_and_calibration_are_those_of_the_tables(results, subgroups, page):
    means = subgroups[(subgroups["attribute"] == "sex") & (subgroups["finding"] == "mean")]
    assert len(means) == 6
    for row in means.to_dict("records"):
        shown = page.row("groups", row["group"], row["metric"].upper())
        assert shown[2] == as_shown(row, "value", "low", "high")
    for row in results.decided.decisions.to_dict("records"):
        shown = page.row("decisions", row["finding"])
        assert shown[1] == f"{row['threshold']:.3f}"
        for place, rate in enumerate(("sensitivity", "specificity", "ppv", "npv", "f1", "mcc"), start=2):
            assert shown[place] == as_shown(row, rate, f"{rate}_low", f"{rate}_high")
    for row in results.decided.calibration.to_dict("records"):
        stage = {"before": "as scored", "after": "calibrated"}[row["stage"]]
        shown = page.row("calibration", row["finding"], stage)
        assert shown[2] == as_shown(row, "brier", "brier_low", "brier_high")


def test_what_the_scores_depend_on_is_said_in_words(page):
    for words in (
        "<i>model</i> from runs/<i>model</i>; weights a1b2c3a1b2c3; reads 112 px; logit scale 14.500",
        "split “test”, frontal views, 240 films stored with 128 px; fingerprint ffffffffffff",
        "from the truth file; uncertain: U-zeros; blank is left out",
        "95%, 60 bootstrap resamples of patients, seed 3",
        "policy youden; calibration platt; fitted on the split “validate”, 200 films",
        "Seen in training: yes. Some of these films",
        "7 films: the image is in training",
        "model: no training record beside it",
        "the images were <u>enlarged</u>",
        "in the <table>",
    ):
        assert words in page.text


def test_names_are_escaped_and_nothing_is_fetched(page):
    assert not {"b", "u", "script"} & set(page.tags)
    assert page.text.count(HOSTILE) > 10
    assert "<u>F</u>" in page.text
    assert page.links
    assert all(link.startswith("#") for link in page.links)


def test_films_of_patients_are_not_on_the_page(results, subgroups, page):
    assert "img" not in page.tags
    assert "data:image" not in page.text
    assert not evaluation_page(results, subgroups).examples
    assert not any(image_id in page.text for image_id in results.predictions["image_id"])
    assert not any(f" {patient} " in page.text for patient in results.cohort["subject_id"])


def test_an_evaluation_without_thresholds_and_groups_has_a_page_too(results, tmp_path):
    bare = replace(
        results,
        decided=DecisionTables(notes=("no thresholds",)),
        notes=("no thresholds and no calibration: the cohort has no split 'validate'",),
        spec=results.spec | {"evaluation": results.spec["evaluation"] | {"decisions": {**NOTHING_FITTED}}},
    )
    page = Tables(write_evaluation_report(bare, subgroups_of(bare, ()), tmp_path).read_text(encoding="utf-8"))
    assert set(page.rows) == {"scores", "groups", "exposure", "flow", "methods", "specification"}
    assert "No groups were asked for" in page.text
    assert "no thresholds and no calibration: the cohort has no split 'validate'" in page.text
    assert not (tmp_path / "reliability.svg").exists()


def test_radiologists_stand_beside_the_model_and_a_missing_interval_is_named(results, subgroups, tmp_path):
    # One patient has the last finding, so that most resamples of patients have no film with it.
    scored, studies = labelled(120, 1), results.cohort["study_id"]
    scored.truth["Fracture"] = [1.0, 1.0] + [0.0] * 238

    # Three readers who are wrong in every fifth study.
    labels = scored.truth.groupby(studies.to_numpy())[list(FINDINGS)].max()
    for seed, name in enumerate(BENCHMARK):
        wrong = np.random.default_rng(seed).random(labels.shape) < 0.2
        readings = (labels != wrong).astype(int)
        readings.rename_axis("Study").reset_index().to_csv(tmp_path / name, index=False)

    config, own = replace(CONFIG, readers=tmp_path), {"findings": FINDINGS, "studies": list(studies), "why_not": ""}
    decided = decide_scores(config, scored, labelled(100, 2), **own)
    path = write_evaluation_report(replace(results, decided=decided), subgroups, tmp_path)
    page, thresholds = Tables(path.read_text(encoding="utf-8")), decided.decisions.set_index("finding")["threshold"]
    for name, measure in (("MCC", matthews_corrcoef), ("F1", f1_score)):
        for finding in FINDINGS:
            shown, truth = page.row("readers", finding, name), scored.truth[finding]
            model = measure(truth, scored.predictions[finding] >= thresholds[finding])
            others = [pd.read_csv(tmp_path / file, index_col="Study")[finding].loc[studies] for file in BENCHMARK]
            readers = np.mean([measure(truth, other) for other in others])
            for cell, value in zip(shown[2:5], (model, readers, model - readers), strict=True):
                assert cell.split()[0].lstrip("+") == f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
                assert cell.endswith("no interval") == (finding == "Fracture")
        assert page.row("readers", "mean", name)[-1] == "of 3 findings"
    assert "they hold for these radiologists only" in page.text


NOTHING_FITTED = {"policy": "youden", "calibration": "platt", "thresholds_file": False, "fitted_on": None}


def test_published_figures_stand_beside_the_measured_with_their_caveats(results, subgroups, tmp_path):
    protocol = load_protocol("nih14")
    names = dict(zip(FINDINGS, ("Cardiomegaly", "Edema", "Pneumonia"), strict=True))
    patients = results.cohort["subject_id"].tolist()
    renamed = {name: getattr(results, name).rename(columns=names) for name in ("predictions", "truth")}
    table = metrics_table(**renamed, subject_ids=patients, findings=list(names.values()), n_replicates=60)
    completed = with_headline(table, protocol, **renamed, subject_ids=patients, n_replicates=60, seed=0)
    plan = ProtocolPlan(
        protocol=protocol,
        config=CONFIG,
        labels=pd.DataFrame(),
        left_out={},
        settings={},
        deviations=("240 images instead of the published <25,596>",),
        record={},
    )
    beside = beside_published(completed, protocol)
    followed = replace(results, protocol=plan, beside=beside)
    page = Tables(write_evaluation_report(followed, subgroups, tmp_path).read_text(encoding="utf-8"))
    assert "240 images instead of the published <25,596>" in page.text
    shown = [[" ".join(cell.split()) for cell in row] for row in page.rows["published"][1:]]
    assert len(shown) == len(beside)
    for row, cells in zip(beside.to_dict("records"), shown, strict=True):
        assert cells[0] == row["of"]
        assert cells[2] == as_shown(row, "measured", "low", "high")
        assert cells[3] == as_shown(row, "published", "published_low", "published_high")
        assert row["caveat"] in cells[6]
    first = evaluation_page(followed, subgroups).headlines[0]
    assert (first.label, first.value) == ("Protocol: mean of 14", "too few")
    printed = beside.loc[beside["of"].eq("mean of 14") & beside["metric"].eq("AUROC"), "published"]
    assert first.note.endswith(f"{printed.min():.3f} to {printed.max():.3f} ({len(printed)} figures, see below).")
    assert beside["note"].iloc[0] in page.text
