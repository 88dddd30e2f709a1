"""The metrics table and the specification."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import metrics
from zero_shot import auroc_table as evaluate_module
from zero_shot import load_prompts, metrics_table
from zero_shot.ensemble import Member
from zero_shot.evaluation.spec import build_spec, hash_of

FINDINGS = ["Edema", "Fracture", "No Finding"]


def tables(n=300, seed=0):
    rng = np.random.default_rng(seed)
    ids = [f"i{k:04d}" for k in range(n)]
    labels = (rng.random((n, 3)) < 0.4).astype(float)
    scores = (labels + rng.normal(size=(n, 3))).astype(np.float32)
    predictions, truth = (pd.DataFrame(values, columns=FINDINGS) for values in (scores, labels))
    predictions.insert(0, "image_id", ids)
    truth.insert(0, "image_id", ids)
    return predictions, truth, [f"p{k // 3}" for k in range(n)]


def evaluate(predictions, truth, subjects, **options):
    options = {"findings": FINDINGS, "n_replicates": 200} | options
    return metrics_table(predictions, truth, subjects, **options).set_index("finding")


def test_aurocs_equal_scikit_learn_and_lie_in_their_intervals():
    predictions, truth, subjects = tables()
    table = evaluate(predictions, truth, subjects)
    for finding in FINDINGS:
        row = table.loc[finding]
        assert row["auroc"] == pytest.approx(roc_auc_score(truth[finding], predictions[finding]), abs=1e-12)
        assert row["low"] < row["auroc"] < row["high"]
        assert (row["n"], row["n_pos"], row["status"], row["reason"]) == (300, truth[finding].sum(), "ok", "")
        assert row["patients"] == 100


def test_the_mean_is_of_the_findings_without_no_finding_and_narrower_than_each():
    table = evaluate(*tables())
    mean = table.loc["mean"]
    assert mean["auroc"] == pytest.approx(table.loc[["Edema", "Fracture"], "auroc"].mean(), abs=1e-15)
    assert mean["reason"] == "of 2 findings: Edema, Fracture"
    widths = (table["high"] - table["low"])[["Edema", "Fracture", "mean"]]
    assert widths["mean"] < widths[["Edema", "Fracture"]].min()


def test_the_interval_of_the_mean_knows_that_findings_vary_together():
    predictions, truth, subjects = tables()
    for table in (predictions, truth):
        table["Fracture"] = table["Edema"]
    result = evaluate(predictions, truth, subjects)
    assert result.loc["mean", ["low", "high"]].tolist() == result.loc["Edema", ["low", "high"]].tolist()


def test_constant_and_unlabelled_findings_are_not_evaluable_and_stop_nothing():
    predictions, truth, subjects = tables()
    truth["Edema"], truth["Fracture"] = 0.0, np.nan
    table = evaluate(predictions, truth, subjects)
    assert table.loc["Edema", ["status", "reason"]].tolist() == ["undefined", "not evaluable: no positives"]
    assert table.loc["Fracture", ["status", "reason"]].tolist() == ["undefined", "not evaluable: nobody labelled it"]
    assert table.loc[["Edema", "Fracture", "mean"], ["auroc", "low", "high"]].isna().all(axis=None)
    assert table.loc["No Finding", "status"] == "ok"
    assert table.loc["mean", "reason"] == "not evaluable: no finding has status ok"


def test_few_positives_are_small_and_very_few_lose_their_interval():
    predictions, truth, subjects = tables()
    truth["Edema"] = (np.arange(300) % 30 == 0).astype(float)
    truth["Fracture"] = (np.arange(300) == 0).astype(float)
    table = evaluate(predictions, truth, subjects)
    assert table.loc["Edema", "status"] == "small"
    assert table.loc["Edema", "reason"] == "10 positives (wanted 30)"
    assert table.loc["Fracture", "status"] == "sparse"
    assert table.loc["Fracture", "reason"].startswith("sparse: undefined in ")
    assert np.isnan(table.loc["Fracture", "low"])
    assert not np.isnan(table.loc["Fracture", "auroc"])


def test_blank_labels_leave_an_image_out_of_that_finding_only():
    predictions, truth, subjects = tables()
    truth.loc[:99, "Edema"] = np.nan
    table = evaluate(predictions, truth, subjects)
    expected = roc_auc_score(truth["Edema"][100:], predictions["Edema"][100:])
    assert table.loc["Edema", "auroc"] == pytest.approx(expected, abs=1e-12)
    assert (table.loc["Edema", "n"], table.loc["Fracture", "n"]) == (200, 300)


def test_row_order_changes_no_digit_and_the_seed_does():
    predictions, truth, subjects = tables()
    order = np.random.default_rng(5).permutation(300)
    turned = evaluate(predictions.iloc[order], truth.iloc[order], [subjects[k] for k in order])
    pd.testing.assert_frame_equal(turned, evaluate(predictions, truth, subjects), check_exact=True)
    assert evaluate(predictions, truth, subjects, seed=1).loc["Edema", "low"] != turned.loc["Edema", "low"]


def average_precision(labels, scores, weights):
    """Stand in for another metric of the signature of `metrics.auroc_matrix`."""
    columns = []
    for y, s in zip(labels.T, scores.T, strict=True):
        known = ~np.isnan(y)
        drawn = weights.take(slice(None), np.flatnonzero(known))
        columns.append(
            [
                average_precision_score(y[known], s[known], sample_weight=row) if (row * y[known]).any() else np.nan
                for row in drawn
            ]
        )
    return np.array(columns, dtype=float).T


def test_another_metric_gets_columns_of_its_own_on_the_same_draw():
    predictions, truth, subjects = tables()
    truth["Fracture"] = 0.0
    options = {"n_replicates": 40, "further": {"auprc": average_precision, "again": metrics.auroc_matrix}}
    table = evaluate(predictions, truth, subjects, **options)
    plain = evaluate(predictions, truth, subjects, n_replicates=40)
    pd.testing.assert_frame_equal(table[plain.columns], plain, check_exact=True)
    np.testing.assert_array_equal(table[["again", "again_low", "again_high"]], table[["auroc", "low", "high"]])
    expected = average_precision_score(truth["Edema"], predictions["Edema"])
    assert table.loc[["Edema", "mean"], "auprc"].tolist() == pytest.approx([expected] * 2, abs=1e-12)
    assert table.loc["Edema", "auprc_low"] < expected < table.loc["Edema", "auprc_high"]
    assert table.loc["Fracture", ["auprc", "auprc_low", "auprc_high"]].isna().all()


def test_an_interval_that_only_another_metric_lacks_is_told_with_its_name():
    predictions, truth, subjects = tables()

    def often_undefined(labels, scores, weights):
        figures = metrics.auroc_matrix(labels, scores, weights)
        figures[1::2] = np.nan
        return figures

    row = evaluate(predictions, truth, subjects, further={"odd": often_undefined}).loc["Edema"]
    assert (row["status"], row["reason"]) == ("ok", "odd: sparse: undefined in 100 of 200 replicates")
    assert np.isnan(row["odd_low"])


def test_nan_scores_and_other_ids_are_refused():
    predictions, truth, subjects = tables()
    with pytest.raises(ValueError, match="same images in the same order"):
        evaluate(predictions.iloc[::-1], truth, subjects)
    twice = [table.assign(image_id=["i0000", "i0000", *table["image_id"][2:]]) for table in (predictions, truth)]
    with pytest.raises(ValueError, match="the predictions: 1 image ids occur more than once, first i0000"):
        evaluate(*twice, subjects)
    predictions.loc[7, "Fracture"] = np.nan
    with pytest.raises(ValueError, match="1 scores of 'Fracture' are NaN, first for image i0007"):
        evaluate(predictions, truth, subjects)


def spec(**changes):
    member = Member(
        path=changes.pop("path", "a"),
        name="tiny",
        weights=changes.pop("weights", "f" * 64),
        architecture=changes.pop("architecture", "a" * 64),
        preprocessing={"image_size": 112},
        logit_scale=20.0,
        logit_bias=changes.pop("logit_bias", None),
        scores=np.zeros((1, 1), np.float32),
    )
    prompts = load_prompts(changes.pop("prompts", "radiologist")).select(["Edema"])
    parts = {"scoring": "temperature", "images": {"split": "test"}, "labels": {}, "interval": {"seed": 0}} | changes
    return build_spec([member], prompts, **parts)


def test_the_hash_covers_what_matters_and_not_where_files_lie():
    base = spec()
    assert spec(path="elsewhere")["hash"] == base["hash"]
    # the name of a split or of a prompt set moves no number: what they hold is there as content
    assert spec(images={"split": "all"})["hash"] == base["hash"]
    for change in (
        {"weights": "0" * 64},
        {"architecture": "0" * 64},
        {"averaged": "features"},
        {"prompts": "chexzero"},
        {"scoring": "chexzero"},
        {"images": {"fingerprint": "0"}},
    ):
        assert spec(**change)["hash"] != base["hash"]
    # Both have temperature 1: only the word tells them apart.
    assert spec(scoring="single")["hash"] != spec(scoring="chexzero")["hash"]


def test_the_specification_survives_json_with_its_hash():
    read = json.loads(json.dumps(spec(), allow_nan=False))
    assert hash_of(read["evaluation"]) == read["hash"]
    assert read["evaluation"]["temperature"] == [0.05]
    assert read["evaluation"]["prompts"]["Edema"]["negative"] == [
        "no pulmonary edema",
        "no edema",
        "pulmonary vasculature is normal",
    ]


def test_the_specification_says_how_cosines_became_figures():
    said = spec(images={"split": "test", "resolution": 320}, logit_bias=-10.0, scoring="sigmoid")["evaluation"]
    assert said["temperature"] == [0.05]
    assert said["logit_bias"] == [-10.0]
    assert said["aggregation"]["negative_phrases"] == "not used"
    assert said["images"] == {"split": "test", "resolution": 320}
    assert said["models"][0]["preprocessing"] == {"image_size": 112}
    assert said["no_finding"] == "not scored"
    assert set(said["metrics"]) >= {"auroc", "interval", "mean"}
    pair = spec(logit_bias=-10.0)["evaluation"]
    # The bias cancels out of a pair, and the specification says that it was not used.
    assert (pair["logit_bias"], pair["aggregation"]["negative_phrases"]) == ([None], "used")
    assert pair["aggregation"]["order"] == ["phrases", "positive against negative", "checkpoints"]


def test_the_rule_for_no_finding_is_part_of_the_specification_where_it_is_scored():
    prompts = load_prompts("radiologist")
    said = build_spec([], prompts, scoring="mixture", images={}, labels={}, interval={})["evaluation"]
    assert said["no_finding"] == {"prompts": "its own, never a negation of its name", "in_mean": False}


def test_the_metric_versions_are_part_of_the_hash(monkeypatch):
    base = spec()["hash"]
    monkeypatch.setitem(evaluate_module.VERSIONS, "auroc", 99)
    assert spec()["hash"] != base


def test_a_perfect_auroc_is_not_certain():
    y = np.arange(80) % 2
    ids = [f"i{k:02d}" for k in range(80)]
    scores, truth = (pd.DataFrame({"image_id": ids, "Edema": values}) for values in (y + 0.001 * np.arange(80), y))
    table = metrics_table(scores, truth, ids, findings=["Edema"], n_replicates=100, seed=0).set_index("finding")
    assert table.loc["Edema", "auroc"] == table.loc["Edema", "high"] == 1.0
    # 40 + 40 normal scores of an AUROC of .97 are all in order once in twenty times.
    assert 0.93 < table.loc["Edema", "low"] < 0.98
