"""DeLong's and Obuchowski's variances against their definitions over all pairs, closed forms and the bootstrap."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from metrics import auroc_replicates, compare_delong, patient_weights
from metrics.delong import auroc_covariance


def sample(n, seed, models=2, patients=None):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(int)
    common = rng.normal(size=n)
    scores = np.stack([np.round(y + common + rng.normal(size=n) * (j + 1) / 2, 1) for j in range(models)], axis=1)
    return y, scores, rng.integers(0, patients or n, n)


def components(y, s):
    """V10 and V01 from the matrix of all pairs."""
    x, z = s[y == 1], s[y == 0]
    psi = (x[:, None] > z) + 0.5 * (x[:, None] == z)
    return psi.mean(axis=1), psi.mean(axis=0)


def test_the_covariance_is_that_of_the_components_over_all_pairs():
    for seed in range(10):
        y, scores, _ = sample(60, seed, models=3)
        v10, v01 = (np.stack(parts) for parts in zip(*[components(y, s) for s in scores.T], strict=True))
        auroc, covariance = auroc_covariance(y, scores)
        assert auroc == pytest.approx([roc_auc_score(y, s) for s in scores.T], abs=1e-12)
        expected = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
        np.testing.assert_allclose(covariance, expected, rtol=1e-10, atol=1e-15)


def obuchowski(y, first, second, patients):
    """The formulas with one loop over patients, straight from the paper's definitions."""
    everyone, sides = sorted(set(patients.tolist())), []
    for s in (first, second):
        v10, v01 = components(y, s)
        a = roc_auc_score(y, s)
        own = [(patients[y == 1] == p, patients[y == 0] == p) for p in everyone]
        sides.append([(v10[pos].sum() - pos.sum() * a, v01[neg].sum() - neg.sum() * a) for pos, neg in own])
    m, n, i = (y == 1).sum(), (y == 0).sum(), len(everyone)
    i10, i01 = len(set(patients[y == 1].tolist())), len(set(patients[y == 0].tolist()))
    s10 = i10 / ((i10 - 1) * m) * sum(u[0] * v[0] for u, v in zip(*sides, strict=True))
    s01 = i01 / ((i01 - 1) * n) * sum(u[1] * v[1] for u, v in zip(*sides, strict=True))
    s11 = i / (i - 1) * sum(u[0] * v[1] for u, v in zip(*sides, strict=True))
    s11_swapped = i / (i - 1) * sum(u[1] * v[0] for u, v in zip(*sides, strict=True))
    return s10 / m + s01 / n + (s11 + s11_swapped) / (m * n)


def test_clustered_covariances_equal_a_loop_over_patients():
    y, scores, patients = sample(90, 1, patients=30)
    _, covariance = auroc_covariance(y, scores, subject_ids=patients)
    for a in range(2):
        for b in range(2):
            assert covariance[a, b] == pytest.approx(obuchowski(y, scores[:, a], scores[:, b], patients), rel=1e-10)


def test_one_image_per_patient_is_delong():
    y, scores, _ = sample(80, 2)
    alone = auroc_covariance(y, scores)[1]
    np.testing.assert_allclose(auroc_covariance(y, scores, subject_ids=np.arange(80))[1], alone, rtol=1e-12)


def test_copies_of_a_patients_image_add_no_evidence():
    """Three equal films of every patient: the clustered error is that of one film, DeLong's is √3 too small."""
    y, scores, _ = sample(100, 3, models=1)
    one = auroc_covariance(y, scores)[1][0, 0]
    thrice, patients = np.repeat(np.arange(100), 3), np.repeat(np.arange(100), 3)
    clustered = auroc_covariance(y[thrice], scores[thrice], subject_ids=patients)[1][0, 0]
    naive = auroc_covariance(y[thrice], scores[thrice])[1][0, 0]
    assert clustered == pytest.approx(one, rel=1e-12)
    assert naive == pytest.approx(one / 3, rel=0.02)


def test_the_clustered_error_is_that_of_the_patient_bootstrap():
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(200), 4)
    y = (np.repeat(rng.normal(size=200), 4) + rng.normal(size=800) > 0.5).astype(int)
    s = y + np.repeat(rng.normal(size=200), 4) + rng.normal(size=800) / 2
    variance = auroc_covariance(y, s[:, None], subject_ids=patients)[1][0, 0]
    resampled = auroc_replicates(y, s, patient_weights(patients, 2000, rng)).std(ddof=1)
    assert np.sqrt(variance) == pytest.approx(resampled, rel=0.06)


def test_a_worked_example_by_hand():
    """Positives .8 .4 and negatives .6 .2: V10 = V01 = (1, ½), A = ¾, variance ⅛ / 2 + ⅛ / 2."""
    y, s = np.array([1, 1, 0, 0]), np.array([0.8, 0.4, 0.6, 0.2])
    auroc, covariance = auroc_covariance(y, s[:, None])
    assert auroc[0] == 0.75
    assert covariance[0, 0] == pytest.approx(1 / 8)


def test_the_test_of_a_difference_follows_from_the_covariance_matrix():
    y, scores, patients = sample(150, 5, patients=60)
    for ids in (None, patients):
        auroc, v = auroc_covariance(y, scores, subject_ids=ids)
        error = np.sqrt(v[0, 0] + v[1, 1] - 2 * v[0, 1])
        result = compare_delong(y, scores[:, 0], scores[:, 1], subject_ids=ids, level=0.9)
        z = (auroc[0] - auroc[1]) / error
        assert (result.difference, result.error, result.z) == pytest.approx((auroc[0] - auroc[1], error, z))
        assert result.p == pytest.approx(2 * (1 - NormalDist().cdf(abs(z))))
        assert (result.low, result.high) == pytest.approx(
            (result.difference - 1.644854 * error, result.difference + 1.644854 * error), rel=1e-6
        )


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_swapping_models_and_reordering_rows_change_only_the_sign(seed, random):
    y, scores, patients = sample(50, seed, patients=20)
    order = np.array(random.sample(range(50), 50))
    one = compare_delong(y, scores[:, 0], scores[:, 1], subject_ids=patients)
    two = compare_delong(y[order], scores[order, 1], scores[order, 0] * 3 - 1, subject_ids=patients[order])
    if one.reason == "":
        assert (two.difference, two.error, two.p) == pytest.approx((-one.difference, one.error, one.p), abs=1e-12)
        assert (two.low, two.high) == pytest.approx((-one.high, -one.low), abs=1e-12)


def test_the_test_keeps_its_level_when_two_models_are_equally_good():
    rng, rejected = np.random.default_rng(6), 0
    for _ in range(400):
        y = (rng.random(200) < 0.4).astype(int)
        common = rng.normal(size=200)
        first, second = (y + common + rng.normal(size=200) for _ in range(2))
        rejected += compare_delong(y, first, second).p < 0.05
    # five per cent, with three binomial standard errors
    assert rejected / 400 == pytest.approx(0.05, abs=0.033)


def test_what_cannot_be_tested_says_why():
    y, s = np.array([1, 1, 0, 0]), np.array([0.8, 0.4, 0.6, 0.2])
    alike = compare_delong(y, s, 2 * s)
    assert (alike.difference, alike.error) == (0.0, 0.0)
    assert np.isnan(alike.p)
    assert alike.reason.startswith("the models differ in no pair")
    none = compare_delong(np.zeros(4), s, s)
    assert none.reason == "no positives"
    assert np.isnan(none.first)
    one = compare_delong(np.array([1, 0, 0, 0]), s, s)
    assert one.reason == "fewer than two images in a class"
    assert one.first == 1.0
    together = compare_delong(y, s, s[::-1].copy(), subject_ids=np.array(["a", "a", "b", "c"]))
    assert together.reason == "fewer than two patients in a class"
    assert np.isnan([together.error, together.low, together.high, together.z, together.p]).all()


def test_bad_input_is_refused():
    y, s = np.array([0, 1]), np.array([0.1, 0.2])
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        compare_delong(y, s, np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="2 labels and 3 patients"):
        auroc_covariance(y, s[:, None], subject_ids=["a", "b", "c"])
    with pytest.raises(ValueError, match="1 images have no subject_id"):
        auroc_covariance(y, s[:, None], subject_ids=np.array(["a", ""]))
