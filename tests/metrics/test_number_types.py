"""Every metric gives the same number for the same scores, in whatever numeric type they are stored."""

import numpy as np
import pytest

import metrics
from metrics.calibration import calibration_error, calibrators, logistic, reliability
from metrics.delong import auroc_covariance
from metrics.precision_recall import partial_auroc
from metrics.ranks import first_hit_ranks, image_to_text_ranks, text_to_image_ranks
from metrics.rates import decide
from metrics.threshold_rules import (
    max_f1_threshold,
    max_mcc_threshold,
    threshold_at_fpr,
    threshold_at_tpr,
    youden_threshold,
)

TYPES = ("uint8", "uint16", "uint64", "int8", "int64", "float16", "float32", "float64")
Y = np.array([0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0])
S = np.array([0, 100, 3, 100, 120, 7, 1, 120, 3, 90, 7, 0])
PATIENTS = np.arange(12) // 2
ONE = metrics.patient_weights(PATIENTS, 5, np.random.default_rng(0))

OF_SCORES = {
    "auroc": lambda s: metrics.auroc(Y, s),
    "auroc_replicates": lambda s: metrics.auroc_replicates(Y, s, ONE),
    "auprc": lambda s: metrics.auprc(Y, s),
    "partial_auroc": lambda s: partial_auroc(Y, s, 0.3),
    "roc_points": lambda s: np.stack(metrics.roc_points(Y, s)),
    "youden": lambda s: youden_threshold(Y, s),
    "f1": lambda s: max_f1_threshold(Y, s),
    "mcc": lambda s: max_mcc_threshold(Y, s),
    "at_fpr": lambda s: threshold_at_fpr(Y, s, 0.2),
    "at_no_fpr": lambda s: threshold_at_fpr(Y, s, 0.0),
    "at_tpr": lambda s: threshold_at_tpr(Y, s, 0.9),
    "decide": lambda s: decide(s, 6.5),
    "delong": lambda s: metrics.compare_delong(Y, s, s[::-1], subject_ids=PATIENTS).error,
    "covariance": lambda s: auroc_covariance(Y, np.stack([s, s[::-1]], axis=1))[1],
    "temperature": lambda s: calibrators.fit_temperature(Y, s, PATIENTS).reason,
    "platt": lambda s: calibrators.fit_platt(Y, s, PATIENTS).slope,
    "isotonic": lambda s: np.array(calibrators.fit_isotonic(Y, s, PATIENTS).probabilities),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", OF_SCORES)
def test_scores_of_any_numeric_type_give_the_number_of_float64(name, kind):
    stored = S.astype(kind)
    expected = OF_SCORES[name](stored.astype(np.float64))
    np.testing.assert_array_equal(OF_SCORES[name](stored), expected)


@pytest.mark.parametrize("kind", [*TYPES, "bool"])
def test_labels_of_any_numeric_type_give_the_number_of_float64(kind):
    y, s = Y.astype(kind), S / 128
    assert metrics.auroc(y, s) == metrics.auroc(Y, s)
    assert metrics.auprc(y, s) == metrics.auprc(Y, s)
    assert youden_threshold(y, s) == youden_threshold(Y, s)
    assert metrics.brier_score(y, s)[0] == np.mean((s - Y) ** 2)
    assert metrics.compare_delong(y, s, s[::-1]) == metrics.compare_delong(Y, s, s[::-1])


@pytest.mark.parametrize("kind", ["uint8", "int8", "float16", "float32"])
def test_probabilities_of_any_numeric_type_give_the_number_of_float64(kind):
    s = (np.arange(12) % 2 if "int" in kind else np.arange(12) / 16).astype(kind)
    wide, edges = s.astype(np.float64), np.array([0, 0.3, 0.6, 1.0])
    for measure in (
        lambda p: metrics.brier_score(Y, p),
        lambda p: calibration_error.bin_edges(p, 3),
        lambda p: calibration_error.bin_totals(Y, p, edges).squared_error(),
        lambda p: reliability.reliability_table(Y, p, edges, ONE).low,
        lambda p: np.array(reliability.brier_parts(Y, p, edges)),
        lambda p: metrics.calibration_line(Y, p).slope,
        logistic.margin_of,
    ):
        np.testing.assert_array_equal(measure(s), measure(wide))


@pytest.mark.parametrize("kind", TYPES)
def test_weights_of_any_numeric_type_give_the_number_of_float64(kind):
    w = np.array([0, 100, 1, 100, 3, 100, 0, 100, 90, 100, 7, 100]).astype(kind)
    wide = w.astype(np.float64)
    assert metrics.auroc(Y, S / 128, w) == metrics.auroc(Y, S / 128, wide)
    assert metrics.auprc(Y, S / 128, w) == metrics.auprc(Y, S / 128, wide)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int32", "float16", "float32"])
def test_features_of_any_numeric_type_are_ranked_as_float64(kind):
    rng = np.random.default_rng(0)
    images, texts = (rng.integers(0, 100, (6, 40)).astype(kind) for _ in range(2))
    wide = [features.astype(np.float64) for features in (images, texts)]
    for rank in (image_to_text_ranks, text_to_image_ranks):
        np.testing.assert_array_equal(rank(images, texts, np.arange(6)), rank(*wide, np.arange(6)))
    similarity, relevant = images[:, :6], np.eye(6, dtype=bool)
    expected = first_hit_ranks(similarity.astype(np.float64), relevant)
    np.testing.assert_array_equal(first_hit_ranks(similarity, relevant), expected)


def test_a_threshold_just_above_the_highest_score_calls_nothing_positive_in_float32():
    y, s = np.array([0, 1, 0]), np.array([0.9, 0.5, 0.1], dtype=np.float32)
    t = threshold_at_fpr(y, s, 0.0)
    assert t > float(s.max())
    assert not decide(s, t).any()


def test_a_score_is_compared_with_the_threshold_itself_not_with_its_rounding():
    # The float32 nearest to 0.7 lies below 0.7.
    assert not decide(np.array([0.7], dtype=np.float32), 0.7).any()
    assert decide(np.array([200], dtype=np.uint8), 199.5).all()
