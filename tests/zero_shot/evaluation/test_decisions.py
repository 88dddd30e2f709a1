"""Thresholds and calibration fitted on validation images and judged on others."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss, confusion_matrix, f1_score, matthews_corrcoef, roc_curve

import metrics
from audit import Thresholds
from metrics.threshold_policy import thresholds_to_json
from zero_shot.evaluation.decision_rule import LabelledScores, fit_decisions, read_thresholds
from zero_shot.evaluation.decision_tables import (
    calibrated,
    calibration_table,
    decisions_table,
    readers_table,
    reliability_bins,
)

FINDINGS = ("Edema", "Fracture")
YOUDEN = metrics.ThresholdPolicy(rule="youden")


def sample(seed, n=600, *, offset=0.0, slope=1.0, images_per_patient=2):
    """Return images whose margin m means P(y = 1) = sigmoid(offset + slope m); the stored score is sigmoid(m)."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(0, 1.5, (n, len(FINDINGS)))
    labels = (rng.random(margins.shape) < expit(offset + slope * margins)).astype(float)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    ids = [f"image-{seed}-{k}" for k in range(n)]
    predictions = pd.DataFrame(expit(margins).astype(np.float32), columns=list(FINDINGS))
    truth = pd.DataFrame(labels, columns=list(FINDINGS))
    for table in (predictions, truth):
        table.insert(0, "image_id", ids)
    patients = [f"p{seed}-{k // images_per_patient}" for k in range(n)]
    return LabelledScores(predictions=predictions, truth=truth, subject_ids=patients)


def drawn(judged, n=200):
    return metrics.patient_weights(judged.subject_ids, n, np.random.default_rng(0))


def fitted_on(judged, family="platt", policy=YOUDEN):
    return fit_decisions(judged, findings=FINDINGS, policy=policy, family=family)


def test_decisions_are_those_of_scikit_learn_at_the_threshold_of_the_validation_images():
    validation, test = sample(0), sample(1)
    table = decisions_table(fitted_on(validation), test, drawn(test)).set_index("finding")
    for finding in FINDINGS:
        _, y, s = validation.known(finding)
        fpr, tpr, candidates = roc_curve(y, s, drop_intermediate=False)
        best = candidates[1:][np.argmax((tpr - fpr)[1:])]
        _, y, s = test.known(finding)
        called = s >= best
        tn, fp, fn, tp = confusion_matrix(y, called).ravel()
        row = table.loc[finding]
        assert row["threshold"] == best
        assert row[["n", "n_pos"]].tolist() == [len(y), y.sum()]
        wanted = [tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)]
        assert row[["sensitivity", "specificity", "ppv", "npv"]].tolist() == pytest.approx(wanted)
        assert row["f1"] == pytest.approx(f1_score(y, called))
        assert row["mcc"] == pytest.approx(matthews_corrcoef(y, called))
        assert (row["policy"], row["fitted_n"]) == ("youden, fitted-on-validation", len(validation.known(finding)[1]))


def test_intervals_resample_the_patients_of_the_judged_images():
    validation, test = sample(0), sample(1, n=80)
    weights = drawn(test, 60)
    row = decisions_table(fitted_on(validation), test, weights).set_index("finding").loc["Edema"]
    known, y, s = test.known("Edema")
    rates = []
    for replicate in weights.take(slice(None), np.flatnonzero(known)):
        rows = np.repeat(np.arange(len(y)), replicate)
        tn, fp, _, _ = confusion_matrix(y[rows], s[rows] >= row["threshold"]).ravel()
        rates.append(tn / (tn + fp))
    low, high = np.quantile(rates, [0.025, 0.975])
    assert row[["specificity_low", "specificity_high"]].tolist() == pytest.approx([low, high])


@pytest.mark.parametrize("family", ["platt", "temperature", "isotonic"])
def test_nothing_that_is_fitted_depends_on_the_judged_images(family):
    validation, test = sample(0), sample(1)
    fitted = fitted_on(validation, family)
    turned = replace(test, truth=test.truth.assign(Edema=1 - test.truth["Edema"]))
    for table in (decisions_table, calibration_table):
        ours, others = (table(fitted, judged, drawn(test, 40)) for judged in (test, turned))
        same = ours["finding"] == "Fracture"
        pd.testing.assert_frame_equal(ours[same], others[same])
    assert fitted.to_json() == fitted_on(validation, family).to_json()


def test_planted_miscalibration_is_seen_before_and_mended_after():
    shape = {"offset": -1.5, "slope": 0.5}
    validation, test = sample(0, n=6000, **shape), sample(1, n=6000, **shape)
    fitted = fitted_on(validation)
    assert fitted.calibrators["Edema"].slope == pytest.approx(0.5, abs=0.05)
    assert fitted.calibrators["Edema"].intercept == pytest.approx(-1.5, abs=0.1)
    rows = calibration_table(fitted, test, drawn(test, 100)).set_index(["finding", "stage"])
    before, after = rows.loc[("Edema", "before")], rows.loc[("Edema", "after")]
    assert (before["slope"], before["intercept"]) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1.5, abs=0.1))
    assert (after["slope"], after["intercept"]) == (pytest.approx(1, abs=0.1), pytest.approx(0, abs=0.15))
    assert before["calibration_error_low"] > 0.1
    assert after["calibration_error"] < 0.03
    assert after["calibration_error_low"] == 0
    _, y, s = test.known("Edema")
    assert before["brier"] == pytest.approx(brier_score_loss(y, s))
    assert after["brier"] < before["brier_low"]


def test_bins_are_those_of_the_validation_scores_whoever_is_judged():
    validation, test = sample(0), sample(1, n=300)
    bins = reliability_bins(fitted_on(validation), test, drawn(test, 40))
    own = bins[(bins["finding"] == "Edema") & (bins["stage"] == "before")]
    _, _, s = validation.known("Edema")
    assert own["high_edge"].tolist()[:-1] == pytest.approx(np.quantile(s, np.arange(1, 10) / 10).tolist())
    assert own["n"].sum() == len(test.known("Edema")[1])


def test_calibrated_probabilities_follow_the_formula_of_their_family():
    validation, test = sample(0), sample(1)
    platt, temperature = (fitted_on(validation, family) for family in ("platt", "temperature"))
    margins = logit(test.predictions["Edema"].to_numpy(np.float64))
    own = platt.calibrators["Edema"]
    wanted = expit(own.intercept + own.slope * margins)
    assert calibrated(platt, test.predictions)["Edema"].to_numpy() == pytest.approx(wanted, abs=1e-9)
    wanted = expit(margins / temperature.calibrators["Edema"].temperature)
    assert calibrated(temperature, test.predictions)["Edema"].to_numpy() == pytest.approx(wanted, abs=1e-9)


def test_a_finding_without_positives_among_the_validation_images_is_not_evaluable_and_says_why():
    validation, test = sample(0), sample(1)
    none = replace(validation, truth=validation.truth.assign(Edema=validation.truth["Edema"] * 0))
    fitted = fitted_on(none)
    row = decisions_table(fitted, test, drawn(test, 40)).set_index("finding").loc["Edema"]
    assert row["reason"] == "not evaluable: no threshold, no positives where it was fitted"
    assert row[["threshold", "sensitivity", "mcc_low"]].isna().all()
    rows = calibration_table(fitted, test, drawn(test, 40)).set_index(["finding", "stage"])
    assert rows.loc[("Edema", "before"), "reason"] == ""
    assert rows.loc[("Edema", "after"), "reason"] == "not evaluable: no positives"
    assert calibrated(fitted, test.predictions)["Edema"].isna().all()
    assert calibrated(fitted, test.predictions)["Fracture"].notna().all()


def test_a_finding_that_nobody_labelled_has_no_decisions():
    validation, test = sample(0), sample(1)
    blank = replace(test, truth=test.truth.assign(Edema=np.nan))
    row = decisions_table(fitted_on(validation), blank, drawn(blank, 40)).set_index("finding").loc["Edema"]
    assert (row["n"], row["reason"]) == (0, "not evaluable: nobody labelled it")
    rows = calibration_table(fitted_on(validation), blank, drawn(blank, 40)).set_index(["finding", "stage"])
    assert set(rows.loc["Edema", "reason"]) == {"not evaluable: nobody labelled it"}


def test_tables_of_other_images_are_refused():
    one, other = sample(0), sample(1)
    with pytest.raises(ValueError, match="same images in the same order"):
        LabelledScores(predictions=one.predictions, truth=other.truth, subject_ids=one.subject_ids)


def test_the_audit_takes_validation_thresholds_and_names_them():
    fitted = fitted_on(sample(0))
    taken = Thresholds.of(fitted.thresholds)
    assert taken.label == "youden, fitted-on-validation"
    assert taken.by_finding == {finding: fitted.thresholds[finding].value for finding in FINDINGS}
    mixed = {"Edema": fitted.thresholds["Edema"], "Fracture": replace(fitted.thresholds["Fracture"], fitted_on="test")}
    with pytest.raises(ValueError, match=r"one policy.*youden on test, youden on validation"):
        Thresholds.of(mixed)


def test_thresholds_of_an_earlier_run_are_read_by_name(tmp_path):
    fitted = fitted_on(sample(0))
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps(thresholds_to_json(fitted.thresholds)))
    assert read_thresholds(path, ("Fracture",)) == {"Fracture": fitted.thresholds["Fracture"]}
    with pytest.raises(ValueError, match="has no threshold for Mass; it has Edema, Fracture"):
        read_thresholds(path, ("Mass",))
    with pytest.raises(FileNotFoundError, match=r"wanted a thresholds\.json that an earlier run wrote"):
        read_thresholds(tmp_path / "nothing.json", FINDINGS)
    path.write_text("no")
    with pytest.raises(ValueError, match=r"is not a thresholds\.json"):
        read_thresholds(path, FINDINGS)


def test_readers_are_compared_with_decisions_at_the_fitted_thresholds(tmp_path):
    validation, test = sample(0), sample(1, n=120, images_per_patient=1)
    whole = replace(test, truth=test.truth.fillna(0.0))
    studies = [f"patient{k}/study1" for k in range(120)]
    rng = np.random.default_rng(2)
    readings = {name: (rng.random((120, 2)) < 0.4).astype(int) for name in ("bc4", "bc6", "bc8")}
    for name, called in readings.items():
        table = pd.DataFrame(called, columns=list(FINDINGS))[list(reversed(FINDINGS))]
        table.insert(0, "Study", [f"CheXpert-v1.0/test/{study}" for study in studies])
        table.sample(frac=1, random_state=0).to_csv(tmp_path / f"{name}.csv", index=False)
    fitted = fitted_on(validation)
    table = readers_table(tmp_path, fitted, whole, studies, drawn(whole, 40)).set_index(["measure", "finding"])
    for c, finding in enumerate(FINDINGS):
        y, s = whole.truth[finding], whole.predictions[finding].to_numpy(np.float64)
        model = matthews_corrcoef(y, s >= fitted.thresholds[finding].value)
        readers = np.mean([matthews_corrcoef(y, called[:, c]) for called in readings.values()])
        row = table.loc[("mcc", finding)]
        assert row[["model", "readers", "difference"]].tolist() == pytest.approx([model, readers, model - readers])
    assert table.loc[("f1", "mean"), "model"] == pytest.approx(table.loc["f1"]["model"].iloc[:2].mean())
