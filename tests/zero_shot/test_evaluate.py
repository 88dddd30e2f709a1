"""The metrics table and the specification."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from zero_shot import build_spec, load_prompts, metrics_table
from zero_shot.ensemble import Member
from zero_shot.spec import hash_of

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


def test_nan_scores_and_other_ids_are_refused():
    predictions, truth, subjects = tables()
    with pytest.raises(ValueError, match="same images in the same order"):
        evaluate(predictions.iloc[::-1], truth, subjects)
    predictions.loc[7, "Fracture"] = np.nan
    with pytest.raises(ValueError, match="1 scores of 'Fracture' are NaN, first for image i0007"):
        evaluate(predictions, truth, subjects)


def spec(**changes):
    member = Member(
        path=changes.pop("path", "a"),
        name="tiny",
        weights=changes.pop("weights", "f" * 64),
        preprocessing={"image_size": 112},
        logit_scale=20.0,
        scores=np.zeros((1, 1), np.float32),
    )
    prompts = load_prompts(changes.pop("prompts", "radiologist")).select(["Edema"])
    parts = {"scoring": "temperature", "images": {"split": "test"}, "labels": {}, "interval": {"seed": 0}} | changes
    return build_spec([member], prompts, **parts)


def test_the_hash_covers_what_matters_and_not_where_files_lie():
    base = spec()
    assert spec(path="elsewhere")["hash"] == base["hash"]
    for change in (
        {"weights": "0" * 64},
        {"prompts": "chexzero"},
        {"scoring": "chexzero"},
        {"images": {"split": "all"}},
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
