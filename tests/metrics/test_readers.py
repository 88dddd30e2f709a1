"""The comparison with readers against scikit-learn's scores on tables of copied rows."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from metrics import compare_with_readers, patient_weights, percentile_interval, unit_weights

FINDINGS = ["Edema", "Fracture"]
ORACLE = {"mcc": matthews_corrcoef, "f1": f1_score}


def flipped(labels, share, rng):
    return np.where(rng.random(labels.shape) < share, 1 - labels, labels)


@pytest.fixture
def study():
    """Sixty images of thirty patients, two findings, a model and three readers who make mistakes."""
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 2)) < 0.4).astype(float)
    decisions = flipped(labels, 0.2, rng) == 1
    readers = np.stack([flipped(labels, share, rng) for share in (0.1, 0.2, 0.3)])
    return labels, decisions, readers, patient_weights(np.arange(60) // 2, 40, rng)


@pytest.mark.parametrize("measure", ["mcc", "f1"])
def test_values_and_paired_intervals_equal_scikit_learn_on_copied_rows(study, measure):
    labels, decisions, readers, weights = study
    result = compare_with_readers(labels, decisions, readers, weights, findings=FINDINGS, measure=measure)
    draws = np.zeros((2, 40, 2))
    for c, finding in enumerate(FINDINGS):
        ours = result.by_finding[finding]
        scores = [ORACLE[measure](labels[:, c], reader[:, c]) for reader in readers]
        model = ORACLE[measure](labels[:, c], decisions[:, c])
        assert ours.by_reader == pytest.approx(scores)
        assert ours.model.value == pytest.approx(model)
        assert ours.readers.value == pytest.approx(np.mean(scores))
        assert ours.difference.value == pytest.approx(model - np.mean(scores))
        assert (ours.n, ours.n_pos, ours.reason) == (60, labels[:, c].sum(), "")
        for b in range(40):
            rows = np.repeat(np.arange(60), weights.counts[b, weights.unit])
            draws[0, b, c] = ORACLE[measure](labels[rows, c], decisions[rows, c])
            draws[1, b, c] = np.mean([ORACLE[measure](labels[rows, c], reader[rows, c]) for reader in readers])
        _assert_intervals(ours, draws[:, :, c])
    values = [result.by_finding[finding] for finding in FINDINGS]
    assert result.measure == measure
    assert result.mean.difference.value == pytest.approx(np.mean([one.difference.value for one in values]))
    assert result.mean.by_reader == pytest.approx(np.mean([one.by_reader for one in values], axis=0))
    assert result.mean.reason == "of 2 findings: Edema, Fracture"
    assert result.mean.n == 120
    _assert_intervals(result.mean, draws.mean(axis=2))


def _assert_intervals(ours, draws):
    for estimate, expected in (
        (ours.model, draws[0]),
        (ours.readers, draws[1]),
        (ours.difference, draws[0] - draws[1]),
    ):
        assert estimate.interval[:2] == pytest.approx(percentile_interval(expected)[:2], abs=1e-12)


def test_a_model_that_copies_the_only_reader_differs_by_nothing_in_every_replicate(study):
    labels, decisions, _, weights = study
    result = compare_with_readers(labels, decisions, decisions[None].astype(float), weights, findings=FINDINGS)
    assert result.mean.difference.value == 0
    assert result.mean.difference.interval[:2] == (0, 0)
    low, high, *_ = result.mean.model.interval
    assert low < result.mean.model.value < high


def test_a_reader_who_skipped_images_is_compared_on_what_was_read(study):
    labels, decisions, readers, weights = study
    readers[1, :20] = np.nan
    labels[50:55, 0] = np.nan
    ours = compare_with_readers(labels, decisions, readers, weights, findings=FINDINGS).by_finding["Edema"]
    labelled = ~np.isnan(labels[:, 0])
    read = [labelled & ~np.isnan(reader[:, 0]) for reader in readers]
    model = [matthews_corrcoef(labels[rows, 0], decisions[rows, 0]) for rows in read]
    reader = [matthews_corrcoef(labels[rows, 0], readers[q, rows, 0]) for q, rows in enumerate(read)]
    assert ours.model.value == pytest.approx(np.mean(model))
    assert ours.readers.value == pytest.approx(np.mean(reader))
    assert (ours.n, ours.n_pos) == (55, (labels[:, 0] == 1).sum())


def test_what_cannot_be_compared_is_nan_with_a_reason_and_stays_out_of_the_mean(study):
    labels, decisions, readers, weights = study

    def reason(labels, decisions, readers, measure="mcc"):
        result = compare_with_readers(labels, decisions, readers, weights, findings=FINDINGS, measure=measure)
        one = result.by_finding["Fracture"]
        assert np.isnan(one.difference.value)
        assert np.isnan(one.difference.interval.low)
        assert one.difference.interval.reason.startswith("sparse")
        assert result.mean.model == result.by_finding["Edema"].model
        assert result.mean.reason == "of 1 findings: Edema"
        return one.reason

    def with_fracture(array, value):
        changed = array.copy()
        changed[..., 1] = value
        return changed

    silent = readers.copy()
    silent[2, :, 1] = 0
    unread = readers.copy()
    unread[1, :, 1] = np.nan
    for measure in ("mcc", "f1"):
        none = reason(with_fracture(labels, 0.0), decisions, readers, measure)
        assert none == "not evaluable: no positives among the images of reader 1"
    assert reason(labels, with_fracture(decisions, True), readers) == (
        "not evaluable: the model decided the same for all images"
    )
    assert reason(labels, decisions, silent) == "not evaluable: reader 3 decided the same for all images"
    assert reason(labels, decisions, unread) == "not evaluable: reader 2 read no labelled image"


def test_without_any_finding_to_compare_the_mean_is_nan():
    nothing = np.zeros((4, 1))
    result = compare_with_readers(nothing, nothing == 1, nothing[None], unit_weights(4), findings=["Edema"])
    assert np.isnan(result.mean.model.value)
    assert result.mean.reason == "not evaluable: no finding is"


def test_arrays_that_do_not_fit_are_refused(study):
    labels, decisions, readers, weights = study
    with pytest.raises(ValueError, match=r"weights for 3 images and findings \['Edema', 'Fracture'\] do not fit"):
        compare_with_readers(labels, decisions, readers, unit_weights(3), findings=FINDINGS)
    for names in (["Edema"], ["Edema", "Edema"]):
        with pytest.raises(ValueError, match="do not fit"):
            compare_with_readers(labels, decisions, readers, weights, findings=names)
    with pytest.raises(ValueError, match="at least one reader"):
        compare_with_readers(labels, decisions, readers[:0], weights, findings=FINDINGS)
    readers[0, 0, 0] = 0.5
    with pytest.raises(ValueError, match=r"readers' decisions must be 0, 1 or NaN; found 0.5"):
        compare_with_readers(labels, decisions, readers, weights, findings=FINDINGS)
    labels[3, 1] = -1
    with pytest.raises(ValueError, match="labels must be 0, 1 or NaN; found -1"):
        compare_with_readers(labels, decisions, readers, weights, findings=FINDINGS)
