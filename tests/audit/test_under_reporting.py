"""Under-reporting is recovered as the number that was planted."""

import numpy as np
import pandas as pd
import pytest

from audit import report_sensitivity
from audit.under_reporting import POOLED

FINDINGS = ["Edema", "Pneumonia"]


def archive(*, dropped, patients=900, seed=0):
    """Return tables in which reports keep 90 % of what is there, and lose the share `dropped` of that for "F"."""
    rng = np.random.default_rng(seed)
    ids = [f"i{k:04d}" for k in range(patients)]
    sex = rng.choice(["F", "M"], patients)
    present = rng.random((patients, 2)) < 0.3
    kept = 0.9 * np.where(sex == "F", 1 - dropped, 1.0)
    said = present & (rng.random((patients, 2)) < kept[:, None])
    labels = np.where(said, np.where(rng.random((patients, 2)) < 0.2, -1.0, 1.0), np.nan)
    make = lambda values: pd.concat([pd.DataFrame({"image_id": ids}), pd.DataFrame(values, columns=FINDINGS)], axis=1)  # noqa: E731
    groups = pd.DataFrame({"image_id": ids, "subject_id": ids, "sex": sex})
    return make(labels), make(present.astype(float)), groups


def pooled_row(table, group):
    return table[(table["finding"] == POOLED) & (table["group"] == group)].iloc[0]


def test_the_planted_shortfall_is_recovered_with_sign_and_interval():
    found = pooled_row(report_sensitivity(*archive(dropped=0.3), findings=FINDINGS, n_replicates=300), "F")
    assert found["flagged"]
    assert found["difference"] < 0
    assert found["shortfall_low"] < 0.3 < found["shortfall_high"]
    assert found["shortfall"] == pytest.approx(0.3, abs=0.08)


def test_without_under_reporting_nothing_is_flagged():
    table = report_sensitivity(*archive(dropped=0.0), findings=FINDINGS, n_replicates=300)
    assert not table["flagged"].any()
    found = pooled_row(table, "F")
    assert found["shortfall_low"] < 0 < found["shortfall_high"]


def test_the_pooled_share_is_the_plain_ratio_of_counts():
    labels, truth, groups = archive(dropped=0.3)
    found = pooled_row(report_sensitivity(labels, truth, groups, findings=FINDINGS, n_replicates=40), "overall")
    present = truth[FINDINGS].to_numpy() == 1
    said = labels[FINDINGS].notna().to_numpy()
    assert found["value"] == pytest.approx((said & present).sum() / present.sum())
    assert found["n_pos"] == present.sum()
    assert found["patients"] == present.any(axis=1).sum()


def test_no_finding_is_left_out_and_labels_without_a_finding_do_not_count():
    labels, truth, groups = archive(dropped=0.3)
    expected = report_sensitivity(labels, truth, groups, findings=FINDINGS, n_replicates=40)
    labels, truth = labels.assign(**{"No Finding": 1.0}), truth.assign(**{"No Finding": 0.0})
    labels.loc[truth["Edema"] == 0, "Edema"] = 1.0
    table = report_sensitivity(labels, truth, groups, findings=[*FINDINGS, "No Finding"], n_replicates=40)
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda labels, truth: (labels.assign(Edema=2.0), truth), "wanted 1, 0, -1"),
        (lambda labels, truth: (labels.drop(columns="Edema"), truth), r"labels: wanted the columns \['Edema'\]"),
        (lambda labels, truth: (labels, truth.assign(Edema=0.0, Pneumonia=0.0)), "no image shows any"),
        (lambda labels, truth: (labels.iloc[1:], truth), r"first \['i0000'\]"),
    ],
)
def test_bad_tables_are_refused(change, message):
    labels, truth, groups = archive(dropped=0.3, patients=60)
    with pytest.raises(ValueError, match=message):
        report_sensitivity(*change(labels, truth), groups, findings=FINDINGS, n_replicates=40)
