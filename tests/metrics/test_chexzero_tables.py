"""CheXzero's evaluation tables against the reference's own output."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from metrics.chexzero_tables import COMPETITION, bootstrap, compute_cis, compute_f1, compute_mcc, evaluate


@pytest.fixture(scope="module")
def tables(golden):
    folder = golden / "eval"
    y_true, y_pred = pd.read_csv(folder / "y_true.csv"), pd.read_csv(folder / "y_pred.csv")
    result, intervals = bootstrap(y_pred.to_numpy(), y_true.to_numpy(), list(y_true.columns))
    return folder, y_true, y_pred, result, intervals


@pytest.mark.golden
def test_areas_equal_the_reference(tables):
    folder, y_true, y_pred, _, _ = tables
    ours = evaluate(y_pred.to_numpy(), y_true.to_numpy(), list(y_true.columns))
    expected = pd.read_csv(folder / "expected_auc.csv")
    pd.testing.assert_frame_equal(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.golden
def test_the_bootstrap_matrix_equals_the_reference_cell_by_cell(tables):
    folder, _, _, ours, _ = tables
    expected = pd.read_csv(folder / "expected_bootstrap.csv")
    assert list(ours.columns) == list(expected.columns)
    np.testing.assert_array_equal(ours.isna(), expected.isna())
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.golden
def test_the_interval_table_equals_the_reference_exactly(tables):
    folder, _, _, _, ours = tables
    expected = pd.read_csv(folder / "expected_ci.csv", index_col=0)
    pd.testing.assert_frame_equal(ours, expected, check_exact=True, check_names=False)


def test_alternative_labels_are_scored_against_the_column_they_map_to():
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 2, (50, 2))
    y_pred = rng.random((50, 3))
    names = ["Effusion", "fluid", "Edema"]
    ours = evaluate(y_pred, y_true, names, label_idx_map={"Effusion": 1, "fluid": 1, "Edema": 0})
    for column, truth in enumerate((1, 1, 0)):
        one = evaluate(y_pred[:, [column]], y_true[:, [truth]], ["x"]).iloc[0, 0]
        assert ours[f"{names[column]}_auc"].item() == one


def test_a_label_of_one_class_is_nan_and_the_others_are_not():
    y_true = np.array([[0, 0], [0, 1], [0, 0]])
    row = evaluate(np.array([[0.1, 0.2], [0.2, 0.9], [0.3, 0.4]]), y_true, ["none", "one"]).iloc[0]
    assert np.isnan(row["none_auc"])
    assert row["one_auc"] == 1.0


def test_too_few_replicates_are_refused_instead_of_taking_the_largest_as_lower_end():
    with pytest.raises(ValueError, match="39 replicates are too few"):
        compute_cis(pd.DataFrame({"a_auc": np.linspace(0, 1, 39)}))


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="1 labels do not fit"):
        evaluate(np.zeros((3, 2)), np.zeros((3, 2)), ["a"])
    with pytest.raises(ValueError, match="give label_idx_map"):
        evaluate(np.zeros((3, 2)), np.zeros((3, 1)), ["a", "b"])
    with pytest.raises(ValueError, match="no column for b"):
        evaluate(np.zeros((3, 2)), np.zeros((3, 1)), ["a", "b"], {"a": 0})


NAMES = [*COMPETITION, "Pleural Other"]


@pytest.fixture(scope="module")
def scored():
    """Forty images; the sixth label has one positive, so that many resamples have none."""
    rng = np.random.default_rng(0)
    y_true = (rng.random((40, 6)) < 0.4).astype(int)
    y_true[:, 5] = np.arange(40) == 0
    return np.round(rng.normal(size=(40, 6)) + y_true, 1), y_true, dict(zip(NAMES, np.linspace(0.2, 2, 6), strict=True))


@pytest.mark.filterwarnings("ignore:A single label was found")  # in a resample, which is what we look at
@pytest.mark.parametrize(
    ("ours", "oracle"),
    [(compute_f1, lambda y, p: f1_score(y, p, zero_division=1.0)), (compute_mcc, matthews_corrcoef)],
)
def test_tables_of_decisions_equal_scikit_learn_on_the_same_resamples(scored, ours, oracle):
    y_pred, y_true, thresholds = scored
    table = ours(y_pred, y_true, NAMES, thresholds, rng=np.random.default_rng(3), n_samples=45)
    rng, rows = np.random.default_rng(3), []
    for _ in range(45):
        drawn = rng.integers(0, 40, 40)
        rows.append([oracle(y_true[drawn, c], y_pred[drawn, c] >= thresholds[name]) for c, name in enumerate(NAMES)])
    expected = pd.DataFrame(rows, columns=NAMES)
    assert (expected["Pleural Other"] == (1 if ours is compute_f1 else 0)).any()  # the undefined case occurs
    expected["Mean"] = expected[NAMES[:5]].mean(axis=1)
    pd.testing.assert_frame_equal(table, compute_cis(expected), check_exact=True)


def test_tables_of_decisions_take_alternative_labels_and_a_score_at_the_threshold_is_positive(scored):
    _, y_true, _ = scored
    swapped = {name: 5 - c for c, name in enumerate(NAMES)}
    perfect = dict.fromkeys(NAMES, 1.0)
    table = compute_f1(y_true[:, ::-1].astype(float), y_true, NAMES, perfect, swapped, rng=np.random.default_rng(0))
    assert (table == 1).all(axis=None)


def test_a_missing_competition_label_threshold_or_score_is_refused(scored):
    y_pred, y_true, thresholds = scored
    with pytest.raises(ValueError, match="no scores for Pleural Effusion"):
        compute_f1(y_pred[:, :4], y_true[:, :4], NAMES[:4], thresholds, rng=np.random.default_rng(0))
    less = {name: value for name, value in thresholds.items() if name != "Edema"}
    with pytest.raises(ValueError, match="no threshold for Edema"):
        compute_mcc(y_pred, y_true, NAMES, less, rng=np.random.default_rng(0))
    holed = np.where(np.arange(240).reshape(40, 6) == 9, np.nan, y_pred)
    with pytest.raises(ValueError, match="1 of 40 scores are NaN"):
        compute_mcc(holed, y_true, NAMES, thresholds, rng=np.random.default_rng(0))
