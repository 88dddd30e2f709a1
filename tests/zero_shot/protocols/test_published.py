"""Measured beside published: the headline, its interval, and what is said where nothing was measured."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from zero_shot import metrics_table
from zero_shot.protocols.protocol import HeadlineMean, Labels, Protocol, Reference
from zero_shot.protocols.published import WARNING, beside_published, beside_text, headline_findings, with_headline

FINDINGS = ("Edema", "Fracture", "No Finding")
OTHERS = {"evidence": "memory", "source": "a paper", "caveat": "another list of images"}
REFERENCES = (
    Reference(system="A", figures={"mean": (0.8, 0.7, 0.9), "Edema": 0.75}, **OTHERS),
    Reference(system="B", figures={"mean": 0.5}, metric="MCC", **OTHERS),
    Reference(system="C", counts={0.7: (38, 57)}, **OTHERS | {"caveat": "n > 50"}),
)


def protocol(references=REFERENCES, **headline):
    return Protocol(
        name="test",
        about="for a test",
        datasets=("csv",),
        images="some",
        prompts="radiologist",
        split="all",
        findings=FINDINGS,
        labels=Labels(form="findings", source="us"),
        headline=HeadlineMean(**{"name": "mean of 2", "findings": ("Edema", "Fracture")} | headline),
        references=references,
    )


def data(n=300, positives=(0.4, 0.03, 0.5)):
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 3)) < np.array(positives)).astype(float)
    truth = pd.DataFrame(labels, columns=list(FINDINGS))
    predictions = pd.DataFrame(labels + rng.normal(size=(n, 3)), columns=list(FINDINGS))
    for table in (truth, predictions):
        table.insert(0, "image_id", [f"i{k:04d}" for k in range(n)])
    return predictions, truth, [f"p{k}" for k in range(n)]


def measured(predictions, truth, subjects, chosen=None):
    options = {"n_replicates": 200, "seed": 0}
    findings = list(predictions.columns[1:])
    table = metrics_table(predictions, truth, subjects, findings=findings, **options)
    return with_headline(
        table, chosen or protocol(), predictions=predictions, truth=truth, subject_ids=subjects, **options
    )


def test_the_headline_is_of_its_findings_however_few_their_positives():
    predictions, truth, subjects = data()
    table = measured(predictions, truth, subjects).set_index("finding")
    assert table.loc["Fracture", "status"] == "small"
    assert table.loc["mean", "reason"] == "of 1 findings: Edema"
    aurocs = [roc_auc_score(truth[finding], predictions[finding]) for finding in ("Edema", "Fracture")]
    assert table.loc["headline", "auroc"] == pytest.approx(np.mean(aurocs), abs=1e-12)
    assert table.loc["headline", "low"] < table.loc["headline", "auroc"] < table.loc["headline", "high"]
    assert table.loc["headline", "status"] == "ok"


def test_the_headlines_interval_knows_that_findings_vary_together():
    predictions, truth, subjects = data(positives=(0.4, 0.4, 0.5))
    for table in (predictions, truth):
        table["Fracture"] = table["Edema"]
    result = measured(predictions, truth, subjects).set_index("finding")
    assert result.loc["headline", ["low", "high"]].tolist() == result.loc["Edema", ["low", "high"]].tolist()


def test_a_headline_with_a_finding_that_cannot_be_measured_is_no_mean_of_the_rest():
    predictions, truth, subjects = data()
    truth["Fracture"] = 0.0
    row = measured(predictions, truth, subjects).set_index("finding").loc["headline"]
    assert row[["auroc", "low", "high"]].isna().all()
    assert (row["status"], row["reason"]) == ("undefined", "Fracture: not evaluable: no positives")
    truth["Fracture"] = (np.arange(len(truth)) == 0).astype(float)
    row = measured(predictions, truth, subjects).set_index("finding").loc["headline"]
    assert not np.isnan(row["auroc"])
    assert np.isnan(row["low"])
    assert row["status"] == "sparse"
    without = data()[0].drop(columns="Fracture")
    row = measured(without, truth, subjects).set_index("finding").loc["headline"]
    assert row["reason"] == "not evaluable: not scored: Fracture"


def test_more_positives_than_means_more_and_never_the_normal_ones():
    predictions, truth, subjects = data()
    counts = truth[list(FINDINGS)].sum().astype(int)
    table = measured(predictions, truth, subjects)
    for least, expected in (
        (counts["Fracture"] - 1, ("Edema", "Fracture")),
        (counts["Fracture"], ("Edema",)),
        (counts["Edema"], ()),
    ):
        rule = protocol(findings=(), more_positives_than=int(least))
        assert headline_findings(table, rule) == expected
    none = measured(predictions, truth, subjects, protocol(findings=(), more_positives_than=1000))
    assert none.set_index("finding").loc["headline", "reason"] == "not evaluable: no finding has enough positives"


def test_every_published_figure_has_its_row_with_the_measured_one_beside_it():
    table = measured(*data())
    beside = beside_published(table, protocol())
    assert beside["of"].tolist() == ["mean of 2", "Edema", "mean of 2", "findings with AUROC >= 0.70"]
    by_finding = table.set_index("finding")
    mean, edema, mcc, count = beside.to_dict("records")
    assert [mean[name] for name in ("measured", "low", "high")] == by_finding.loc[
        "headline", ["auroc", "low", "high"]
    ].tolist()
    assert [mean[name] for name in ("published", "published_low", "published_high")] == [0.8, 0.7, 0.9]
    assert (edema["measured"], edema["published"]) == (by_finding.loc["Edema", "auroc"], 0.75)
    assert np.isnan(edema["published_low"])
    assert np.isnan(mcc["measured"])
    assert mcc["note"] == "not measured"
    reached = sum(by_finding.loc[finding, "auroc"] >= 0.7 for finding in ("Edema", "Fracture"))
    assert (count["measured"], count["published"], count["note"]) == (reached, 38.0, "of 2 measured")
    assert (beside["evidence"] == "memory").all()
    assert beside["caveat"].tolist() == ["another list of images"] * 3 + ["published of 57 findings; n > 50"]


def test_mcc_is_shown_where_the_table_has_it():
    table = measured(*data()).assign(mcc=0.25)
    assert beside_published(table, protocol()).set_index("metric").loc["MCC", "measured"] == 0.25


def test_a_protocol_without_published_figures_shows_its_headline_alone():
    beside = beside_published(measured(*data()), protocol(references=()))
    assert beside[["of", "system"]].to_numpy().tolist() == [["mean of 2", ""]]
    assert beside["caveat"].tolist() == ["no published figure of it is on record"]
    assert not np.isnan(beside["measured"][0])


def test_the_text_warns_first_and_gives_every_caveat_once():
    beside = beside_published(measured(*data()), protocol())
    text = beside_text(beside)
    assert text.startswith(WARNING)
    assert text.count("a paper: another list of images") == 1
    assert text.count("a paper: published of 57 findings; n > 50") == 1
    assert "0.800 (0.700 to 0.900)" in text
    assert "not measured" in text
    assert text.count("[memory]") == 4
    assert "comparable" not in text.replace("not be comparable", "")
