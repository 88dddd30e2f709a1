"""The subgroup table against closed forms, scikit-learn on explicit resamples, and its own null."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact, norm
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

import metrics
from audit import Thresholds, disaggregate
from metrics.evidence import MEAN

NUMBERS = ["value", "low", "high", "rest", "difference", "difference_low", "difference_high", "ratio"]


def audit_of(cohort, **options):
    options = {"n_replicates": 200, **options}
    return disaggregate(cohort.predictions, cohort.truth, cohort.groups, findings=cohort.findings, **options)


def row(table, finding, group, metric):
    found = table[(table["finding"] == finding) & (table["group"] == group) & (table["metric"] == metric)]
    assert len(found) == 1
    return found.iloc[0]


def test_a_large_cohort_gives_the_closed_form_auroc_tpr_and_fpr_of_every_group(make_cohort):
    cohort = make_cohort(patients=6000, findings=1, delta={"F": -0.5}, shift={"F": 0.3})
    table = audit_of(cohort, thresholds={"finding 0": 0.7})
    for group in ("F", "M"):
        assert row(table, "finding 0", group, "auroc")["value"] == pytest.approx(cohort.auroc(group), abs=0.015)
        assert row(table, "finding 0", group, "tpr")["value"] == pytest.approx(cohort.tpr(group, 0.7), abs=0.02)
        assert row(table, "finding 0", group, "fpr")["value"] == pytest.approx(cohort.fpr(group, 0.7), abs=0.02)


def test_a_planted_difference_is_flagged_with_its_sign_and_inside_its_interval(make_cohort):
    cohort = make_cohort(patients=1500, delta={"F": -0.6})
    found = row(audit_of(cohort), MEAN, "F", "auroc")
    planted = cohort.auroc("F") - cohort.auroc("M")
    assert planted < 0
    assert found["flagged"]
    assert found["family"] == "confirmatory"
    assert found["difference_low"] < planted < found["difference_high"] < 0


def test_a_planted_shift_of_scores_moves_the_false_positive_rate_but_not_the_auroc(make_cohort):
    table = audit_of(make_cohort(patients=1500, shift={"F": 0.5}))
    assert row(table, MEAN, "F", "fpr")["flagged"]
    assert row(table, MEAN, "F", "fpr")["difference"] > 0
    assert not row(table, MEAN, "F", "auroc")["flagged"]


def test_where_nothing_differs_the_whole_table_is_seldom_flagged(make_cohort):
    flagged = 0
    for seed in range(25):
        cohort = make_cohort(seed=seed, patients=120, findings=3)
        table = audit_of(cohort, n_replicates=100, seed=seed, min_n=20)
        flagged += table.loc[table["family"] == "confirmatory", "flagged"].any()
    # At 5 % a count above 5 of 25 has probability 0.001.
    assert flagged <= 5


@pytest.mark.slow
def test_family_wise_error_is_close_to_five_percent_and_coverage_to_ninety_five(make_cohort):
    flags, covered, rounds = {"confirmatory": 0, "exploratory": 0}, [], 300
    for seed in range(rounds):
        cohort = make_cohort(seed=seed, patients=240, findings=8)
        table = audit_of(cohort, n_replicates=400, seed=seed)
        for family in flags:
            flags[family] += table.loc[table["family"] == family, "flagged"].any()
        single = row(table, "finding 0", "F", "auroc")
        covered.append(single["low"] <= cohort.auroc("F") <= single["high"])
    assert flags["confirmatory"] / rounds <= 0.075
    assert flags["exploratory"] / rounds <= 0.09
    assert 0.91 <= np.mean(covered) <= 0.98


def test_one_cell_equals_scikit_learn_on_explicitly_repeated_patients(make_cohort):
    # So many that the intervals are percentiles: 40 patients on the wrong side in every cell.
    cohort = make_cohort(seed=3, patients=800, findings=1)
    table = audit_of(cohort, n_replicates=60, seed=9, thresholds={"finding 0": 0.5})
    joined = cohort.groups.assign(s=cohort.predictions["finding 0"], y=cohort.truth["finding 0"])
    patients = sorted(joined["subject_id"].unique())
    own = dict(list(joined.groupby("subject_id")))
    weights = metrics.patient_weights(patients, 60, np.random.default_rng(9))
    aurocs, gaps, rates = [], [], []
    for counts in weights.counts:
        drawn = pd.concat([own[patient] for patient, k in zip(patients, counts, strict=True) for _ in range(k)])
        women, men = drawn[drawn["sex"] == "F"], drawn[drawn["sex"] == "M"]
        aurocs.append(roc_auc_score(women["y"], women["s"]))
        gaps.append(aurocs[-1] - roc_auc_score(men["y"], men["s"]))
        rates.append((women.loc[women["y"] == 1, "s"] >= 0.5).mean())
    found = row(table, "finding 0", "F", "auroc")
    assert [found["low"], found["high"]] == pytest.approx(np.percentile(aurocs, [2.5, 97.5]), abs=1e-12)
    assert [found["pointwise_low"], found["pointwise_high"]] == pytest.approx(
        np.percentile(gaps, [2.5, 97.5]), abs=1e-12
    )
    found = row(table, "finding 0", "F", "tpr")
    assert [found["low"], found["high"]] == pytest.approx(np.percentile(rates, [2.5, 97.5]), abs=1e-12)


def test_the_mean_and_its_interval_are_those_of_the_averaged_replicates(make_cohort):
    cohort = make_cohort(seed=4, patients=80, findings=2)
    one, two = (
        disaggregate(cohort.predictions, cohort.truth, cohort.groups, findings=[name], n_replicates=100)
        for name in cohort.findings
    )
    both = audit_of(cohort, n_replicates=100, min_n=5)
    value = row(both, MEAN, "F", "auroc")["value"]
    singles = [row(t, name, "F", "auroc")["value"] for t, name in zip((one, two), cohort.findings, strict=True)]
    assert value == pytest.approx(np.mean(singles))
    lows = [row(t, name, "F", "auroc")["low"] for t, name in zip((one, two), cohort.findings, strict=True)]
    assert row(both, MEAN, "F", "auroc")["low"] > np.mean(lows), "averaging findings narrows the interval"


def test_counts_of_a_cell_equal_those_of_a_plain_group_by(make_cohort):
    cohort = make_cohort(seed=5)
    cohort.truth.loc[::7, "finding 1"] = np.nan
    table = audit_of(cohort)
    joined = cohort.groups.assign(y=cohort.truth["finding 1"]).dropna(subset="y")
    for age, part in joined.groupby("age"):
        found = row(table, "finding 1", age, "auroc")
        positive, negative = part[part["y"] == 1], part[part["y"] == 0]
        assert (found["n"], found["n_pos"], found["n_neg"]) == (len(part), len(positive), len(negative))
        assert found["patients"] == part["subject_id"].nunique()
        assert found["patients_pos"] == positive["subject_id"].nunique()
        assert found["patients_neg"] == negative["subject_id"].nunique()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_row_order_of_any_table_changes_nothing(make_cohort, seed):
    cohort = make_cohort(patients=60, findings=2)
    rng = np.random.default_rng(seed)
    shuffled = [t.iloc[rng.permutation(len(t))] for t in (cohort.predictions, cohort.truth, cohort.groups)]
    expected = audit_of(cohort, n_replicates=40)
    pd.testing.assert_frame_equal(disaggregate(*shuffled, findings=cohort.findings, n_replicates=40), expected)


@settings(max_examples=6, deadline=None)
@given(names=st.permutations(["0-18", "18-40", "40-80", "80+"]))
def test_group_names_carry_no_meaning(make_cohort, names):
    cohort = make_cohort(patients=100, findings=2)
    renamed = dict(zip(["0-18", "18-40", "40-80", "80+"], names, strict=True))
    before = audit_of(cohort, n_replicates=40, min_n=10)
    relabelled = cohort.groups.assign(age=cohort.groups["age"].map(renamed))
    after = disaggregate(
        cohort.predictions, cohort.truth, relabelled, findings=cohort.findings, n_replicates=40, min_n=10
    )
    before["group"] = before["group"].replace(renamed)
    keys = ["attribute", "group", "metric", "finding"]
    before, after = before.sort_values(keys, ignore_index=True), after.sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(before, after, check_exact=False, rtol=1e-9)


def test_images_of_one_patient_are_not_counted_as_independent(make_cohort):
    cohort = make_cohort(patients=60, findings=1, images=8, sigma_patient=1.2, sigma_image=0.1)
    of_patients = row(audit_of(cohort), "finding 0", "overall", "fpr")
    as_images = cohort.groups.assign(subject_id=cohort.groups["image_id"])
    table = disaggregate(cohort.predictions, cohort.truth, as_images, findings=cohort.findings, n_replicates=200)
    of_images = row(table, "finding 0", "overall", "fpr")
    assert of_patients["high"] - of_patients["low"] > 1.3 * (of_images["high"] - of_images["low"])


def tiny(n_pos, n_neg, *, others=60):
    """Return tables with one group "A" of the given make-up beside a plain group "B"; one patient per image."""
    y = np.array([1] * n_pos + [0] * n_neg + [1, 0] * (others // 2), dtype=float)
    rng = np.random.default_rng(0)
    ids = [f"i{k:03d}" for k in range(len(y))]
    groups = pd.DataFrame({"image_id": ids, "subject_id": ids, "g": ["A"] * (n_pos + n_neg) + ["B"] * others})
    make = lambda values: pd.DataFrame({"image_id": ids, "f": values})  # noqa: E731
    return make(y + rng.normal(size=len(y))), make(y), groups


@pytest.mark.parametrize(
    ("n_pos", "n_neg", "metric", "status", "reason"),
    [
        (0, 40, "tpr", "undefined:no positives", "no positive image among 40"),
        (0, 40, "auroc", "undefined:no positives", "no positive image among 40"),
        (40, 0, "fpr", "undefined:no negatives", "no negative image among 40"),
        (12, 40, "tpr", "small", "12 positive images, fewer than 30"),
        (12, 40, "fpr", "ok", ""),
        (3, 4, "auroc", "suppressed", "7 patients, fewer than 10"),
    ],
)
def test_a_cell_without_enough_evidence_says_why(n_pos, n_neg, metric, status, reason):
    found = row(disaggregate(*tiny(n_pos, n_neg), findings=["f"], n_replicates=100), "f", "A", metric)
    assert (found["status"], found["reason"]) == (status, reason)
    if status != "ok":
        assert not found["flagged"]
        assert np.isnan(found["difference_low"])
    if status.startswith(("undefined", "suppressed")):
        assert found[NUMBERS].drop("rest").isna().all()


def test_a_suppressed_group_cannot_be_read_off_its_only_neighbour():
    # Everybody less B is A, so that B is withheld too: its value, and what is outside it.
    found = row(disaggregate(*tiny(3, 4), findings=["f"], n_replicates=100), "f", "B", "auroc")
    assert found["status"] == "suppressed"
    assert found["reason"] == "with the other groups it would give away one of fewer than 10 patients"
    assert found[[*NUMBERS, "pointwise_low"]].isna().all()


def shares_by_hand(table, *names):
    """Return hits and positives by (attribute, group) of the TPR cells that are shown, as anybody could."""
    shown = table[(table["finding"] == "f") & (table["metric"] == "tpr") & table["value"].notna()]
    return {
        (cell.attribute, cell.group): (round(cell.value * cell.n_pos), cell.n_pos)
        for cell in shown.itertuples()
        if not names or cell.attribute in names
    }


def audit_people(people, **options):
    """Audit one image per patient, all positive; `people` has a column per attribute."""
    ids = [f"i{k:04d}" for k in range(len(people))]
    make = lambda values: pd.DataFrame({"image_id": ids, "f": values})  # noqa: E731
    groups = people.assign(image_id=ids, subject_id=ids)
    scores = (np.arange(len(people)) % 3 > 0).astype(float)
    options = {"thresholds": {"f": 0.5}, "metric_names": ["tpr"], "n_replicates": 40, **options}
    return disaggregate(make(scores), make(np.ones(len(people))), groups, findings=["f"], **options)


def test_a_suppressed_group_takes_the_smallest_other_one_with_it():
    people = pd.DataFrame({"race": ["A"] * 5 + ["B"] * 40 + ["C"] * 70 + ["D"] * 90})
    table = audit_people(people)
    hidden = table[(table["finding"] == "f") & (table["status"] == "suppressed")]
    assert list(hidden["group"]) == ["A", "B"]
    assert hidden[NUMBERS].isna().all(axis=None)
    # What can be had by subtraction is A and B together.
    shown = shares_by_hand(table)
    left = shown["overall", "overall"][1] - shown["race", "C"][1] - shown["race", "D"][1]
    assert left == 45
    # C and D are compared with a rest of more than 10 patients.
    assert row(table, "f", "C", "tpr")["status"] == "ok"


def test_two_suppressed_groups_that_are_few_together_take_another_one_with_them():
    people = pd.DataFrame({"race": ["A"] * 3 + ["B"] * 4 + ["C"] * 40 + ["D"] * 90})
    hidden = audit_people(people).query("finding == 'f' and status == 'suppressed'")
    assert list(hidden["group"]) == ["A", "B", "C"]
    people = pd.DataFrame({"race": ["A"] * 8 + ["B"] * 9 + ["C"] * 40 + ["D"] * 90})
    hidden = audit_people(people).query("finding == 'f' and status == 'suppressed'")
    assert list(hidden["group"]) == ["A", "B"], "17 patients together are enough"


def test_an_intersection_is_not_given_away_by_its_parents():
    ages = ["60-80"] * 200 + ["80+"] * 50
    sexes = ["F"] * 100 + ["M"] * 100 + ["F"] * 6 + ["M"] * 44
    people = pd.DataFrame({"age": ages, "sex": sexes})
    people["age*sex"] = people["age"] + " x " + people["sex"]
    table = audit_people(people)
    shown = shares_by_hand(table)
    assert ("age*sex", "80+ x F") not in shown
    # Neither 80+ less 80+ x M, nor F less 60-80 x F, nor all of the intersections that are left, can be formed.
    assert not {("age", "80+"), ("age*sex", "80+ x M")} <= set(shown)
    assert not {("sex", "F"), ("age*sex", "60-80 x F")} <= set(shown)
    assert ("overall", "overall") in shown
    # Brute force: no sum of shown cells with weights -1, 0 and 1 is a set of fewer than 10 patients.
    sets = [(people[name] == group).to_numpy() if name != "overall" else np.ones(250) for name, group in shown]
    for weights in product((-1, 0, 1), repeat=len(sets)):
        total = sum((w * np.asarray(s, dtype=int) for w, s in zip(weights, sets, strict=True)), np.zeros(250, int))
        if set(np.unique(total)) == {0, 1}:
            assert total.sum() >= 10


def test_nothing_more_is_withheld_where_no_group_is_small():
    people = pd.DataFrame({"race": ["A"] * 40 + ["B"] * 40, "sex": ["F", "M"] * 40})
    assert (audit_people(people)["status"] == "ok").all()


def test_an_interval_over_too_few_defined_resamples_is_withheld():
    predictions, truth, groups = tiny(2, 40)
    found = row(disaggregate(predictions, truth, groups, findings=["f"], n_replicates=200), "f", "A", "tpr")
    assert not np.isnan(found["value"])
    assert np.isnan(found["low"])
    assert "sparse: undefined in" in found["reason"]


def test_a_perfect_small_cell_is_not_taken_for_a_certain_one():
    predictions, truth, groups = tiny(30, 30, others=400)
    women = groups["g"] == "A"
    predictions.loc[women & (truth["f"] == 1), "f"] = 9.0
    predictions.loc[~women, "f"] = np.where(truth.loc[~women, "f"] == 1, 9.0, -9.0)
    predictions.loc[~women & (np.arange(len(groups)) % 40 == 0), "f"] = -9.0
    found = row(disaggregate(predictions, truth, groups, findings=["f"], thresholds={"f": 0.0}), "f", "A", "tpr")
    assert found["value"] == found["high"] == 1.0
    # Wilson's lower limit of 30 of 30, with Student's quantile.
    assert found["low"] == pytest.approx(30 / (30 + student.ppf(0.975, df=29) ** 2))
    assert found["difference"] > 0
    assert not found["flagged"]


def test_the_mean_leaves_out_no_finding_and_whatever_cannot_be_compared(make_cohort):
    cohort = make_cohort(patients=300, findings=3)
    rename = {"finding 0": "No Finding"}
    predictions, truth = cohort.predictions.rename(columns=rename), cohort.truth.rename(columns=rename)
    truth.loc[(cohort.groups["sex"] == "F") & (np.arange(len(truth)) > 20), "finding 1"] = np.nan
    findings = ["No Finding", "finding 1", "finding 2"]
    table = disaggregate(predictions, truth, cohort.groups, findings=findings, n_replicates=100)
    for sex in ("F", "M"):
        mean, only = row(table, MEAN, sex, "auroc"), row(table, "finding 2", sex, "auroc")
        assert mean["n_findings"] == 1
        assert mean["value"] == pytest.approx(only["value"])
    assert row(table, MEAN, "overall", "auroc")["n_findings"] == 2


def test_unknown_is_a_group_of_its_own_and_comes_last(make_cohort):
    cohort = make_cohort()
    groups = cohort.groups.assign(sex=cohort.groups["sex"].where(np.arange(len(cohort.groups)) % 5 > 0))
    table = disaggregate(cohort.predictions, cohort.truth, groups, findings=cohort.findings, n_replicates=40)
    assert list(table.loc[table["attribute"] == "sex", "group"].unique()) == ["F", "M", "unknown"]


def test_spellings_of_one_group_are_one_group_and_words_of_a_missing_value_are_unknown(make_cohort):
    cohort = make_cohort()
    spellings = np.resize(["White", "WHITE", "white ", "White", "Black", " ", "nan", "Unknown", "unknown"], 10**4)
    groups = cohort.groups.assign(race=spellings[: len(cohort.groups)])
    table = disaggregate(cohort.predictions, cohort.truth, groups, findings=cohort.findings, n_replicates=40)
    assert list(table.loc[table["attribute"] == "race", "group"].unique()) == ["Black", "White", "unknown"]


def test_thresholds_from_the_audited_rows_are_marked_and_given_ones_are_used_with_ties_positive():
    predictions, truth, groups = tiny(40, 40)
    table = disaggregate(predictions, truth, groups, findings=["f"], n_replicates=40)
    assert row(table, "f", "A", "tpr")["threshold_policy"] == "youden, fitted-on-test"
    assert row(table, "f", "A", "auroc")["threshold_policy"] == ""
    cut = float(predictions["f"].max())
    chosen = Thresholds(by_finding={"f": cut}, policy="youden", fitted_on="validation")
    table = disaggregate(predictions, truth, groups, findings=["f"], thresholds=chosen, n_replicates=40)
    overall = {metric: row(table, "f", "overall", metric) for metric in ("tpr", "fpr")}
    assert (
        sum(found["value"] * found[f"n_{side}"] for found, side in zip(overall.values(), ("pos", "neg"), strict=True))
        == 1
    )
    assert overall["tpr"]["threshold_policy"] == "youden, fitted-on-validation"


def test_simultaneous_intervals_are_wider_than_pointwise_ones(make_cohort):
    table = audit_of(make_cohort(patients=400), n_replicates=400)
    tested = table[table["family"] != ""]
    assert (tested["difference_high"] > tested["pointwise_high"]).all()


def rates_of(hits, n, *, images=1):
    """Return tables of groups with `hits` of `n` positives called positive; one finding, scores 0 and 1."""
    y, s, names, subjects = [], [], [], []
    for name, found, of in zip("ABCDEFGH", hits, n, strict=False):
        s += [1.0] * found + [0.0] * (of - found)
        y += [1.0] * of
        names += [name] * of
        subjects += [f"{name}{k // images:03d}" for k in range(of)]
    ids = [f"i{k:04d}" for k in range(len(y))]
    make = lambda values: pd.DataFrame({"image_id": ids, "f": values})  # noqa: E731
    return make(s), make(y), pd.DataFrame({"image_id": ids, "subject_id": subjects, "g": names})


def audit_rates(hits, n, **options):
    tables = rates_of(hits, n, images=options.pop("images", 1))
    return disaggregate(*tables, findings=["f"], thresholds={"f": 0.5}, metric_names=["tpr"], **options)


def test_forty_of_forty_against_380_of_400_is_no_difference():
    found = row(audit_rates([40, 380], [40, 400]), MEAN, "A", "tpr")
    assert fisher_exact([[40, 0], [380, 20]]).pvalue == pytest.approx(0.24, abs=0.01)
    assert found["difference"] == pytest.approx(0.05)
    assert not found["flagged"]
    assert found["difference_low"] < -0.02
    assert found["difference_high"] == pytest.approx(0.05 + (0.95 - 0.9241) + 0.001, abs=0.005)


@pytest.mark.parametrize(("hits", "n"), [([0, 0], [60, 60]), ([60, 60], [60, 60]), ([0, 60], [60, 60])])
def test_no_interval_has_width_zero_whatever_the_resamples_repeat(hits, n):
    table = audit_rates(hits, n)
    cells = table[(table["attribute"] == "g") & (table["status"] == "ok")]
    assert len(cells) == 4
    for low, high in (("low", "high"), ("difference_low", "difference_high"), ("pointwise_low", "pointwise_high")):
        assert (cells[high] - cells[low] > 0.03).all(), low
    assert cells["flagged"].all() == (hits == [0, 60])


def test_a_rate_near_one_has_wilson_s_interval_with_students_quantile():
    found = row(audit_rates([39, 200], [40, 400]), "f", "A", "tpr")
    p, n, z = 39 / 40, 40, student.ppf(0.975, df=39)
    # One patient of 40 was missed: a tenth of what would be believed of the resamples, which say the same.
    low, high = binomtest(39, 40).proportion_ci(2 * norm.cdf(z) - 1, method="wilson")
    assert [found["low"], found["high"]] == pytest.approx([low, high], abs=0.004)
    assert p < found["high"] < 1
    assert n == found["n_pos"]


def test_images_of_one_patient_widen_an_interval_at_the_end_of_the_scale():
    alone, together = (row(audit_rates([60, 200], [60, 400], images=k), "f", "A", "tpr") for k in (1, 3))
    for found, patients in ((alone, 60), (together, 20)):
        z = student.ppf(0.975, df=patients - 1)
        assert [found["low"], found["high"]] == pytest.approx([patients / (patients + z**2), 1.0])


def test_a_perfect_auroc_of_forty_and_forty_is_not_certain():
    y = np.arange(80) % 2
    ids = [f"i{k:03d}" for k in range(80)]
    make = lambda values: pd.DataFrame({"image_id": ids, "f": values})  # noqa: E731
    groups = pd.DataFrame({"image_id": ids, "subject_id": ids})
    table = disaggregate(make(y + np.linspace(0, 0.1, 80)), make(y.astype(float)), groups, findings=["f"])
    found = row(table, "f", "overall", "auroc")
    assert found["value"] == found["high"] == 1.0
    # The exact chance that 40 + 40 normal scores of an AUROC of .97 are all in order is about 0.05.
    assert 0.93 < found["low"] < 0.98


@pytest.mark.slow
@pytest.mark.parametrize("tpr", [0.9, 0.95, 0.98])
@pytest.mark.parametrize("n", [30, 60, 150])
def test_intervals_of_rates_near_one_cover_as_often_as_they_say(tpr, n):
    rng, covered = np.random.default_rng(n), []
    hits = rng.binomial(n, tpr, 200)
    for found in sorted(set(hits.tolist())):
        cell = row(audit_rates([found, 200], [n, 400], n_replicates=400), "f", "A", "tpr")
        covered.append(((cell["low"] <= tpr <= cell["high"]), int((hits == found).sum())))
    assert sum(inside * times for inside, times in covered) / 200 >= 0.93


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p, t, g: (p.drop(columns="f"), t, g), r"predictions: wanted the columns \['f'\]"),
        (lambda p, t, g: (p.iloc[1:], t, g), r"0 only in predictions.*1 only in truth \(first \['i000'\]\)"),
        (lambda p, t, g: (p, t, g.iloc[1:]), r"only in predictions \(first \['i000'\]\)"),
        (lambda p, t, g: (pd.concat([p, p.iloc[:1]]), t, g), r"1 image_ids occur more than once, first \['i000'\]"),
        (lambda p, t, g: (p.assign(f=np.nan), t, g), "scores are not finite, first 'f' of image 'i000'"),
        (lambda p, t, g: (p, t.assign(f=-1.0), g), "first -1 for 'f' of image 'i000'.*uncertain"),
        (lambda p, t, g: (p, t, g.assign(subject_id=None)), "have no subject_id"),
        (lambda p, t, g: (p, t, g.assign(overall="x")), "rename this attribute"),
        (lambda p, t, g: (p.iloc[:0], t, g), "no rows"),
    ],
)
def test_bad_tables_are_refused_with_the_first_offender(damage, message):
    with pytest.raises(ValueError, match=message):
        disaggregate(*damage(*tiny(30, 30)), findings=["f"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric_names": ["ppv"]}, "metric_names: wanted some of"),
        ({"n_replicates": 10}, "at least 40"),
        ({"thresholds": {"other": 0.5}}, r"found none for \['f'\]"),
        ({"findings": []}, "findings: wanted at least one column to audit"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        disaggregate(*tiny(30, 30), **{"findings": ["f"], **options})


def test_a_mean_over_nothing_shows_what_there_was_and_says_that_it_is_not_enough(make_cohort):
    cohort = make_cohort(patients=60, prevalence=0.1)
    table = audit_of(cohort, min_n=1000)
    found = row(table, MEAN, "F", "auroc")
    single = table[(table["group"] == "F") & (table["metric"] == "auroc") & (table["finding"] != MEAN)]
    assert (found["status"], found["reason"]) == ("undefined:no finding", "too few patients per finding")
    assert found["n_pos"] == single["n_pos"].sum() > 0
    assert found["n_findings"] == 0
    few = row(audit_of(cohort, min_n=1000, min_patients=1000), MEAN, "F", "auroc")
    assert few["status"] == "suppressed"
    assert few["reason"] == f"{few['patients']} patients, fewer than 1000"


def test_a_mean_pools_findings_that_are_each_too_small_to_be_tested_alone(make_cohort):
    cohort = make_cohort(patients=400, findings=4, prevalence=0.2)
    table = audit_of(cohort, min_n=150)
    mean = row(table, MEAN, "40-80", "tpr")
    single = [row(table, finding, "40-80", "tpr") for finding in cohort.findings]
    assert {cell["status"] for cell in single} == {"small"}
    assert all(cell["n_pos"] < 150 for cell in single)
    assert mean["status"] == "ok"
    assert mean["n_findings"] == 4
    assert mean["n_pos"] == sum(cell["n_pos"] for cell in single) > 150
    assert mean["value"] == pytest.approx(np.mean([cell["value"] for cell in single]))
    assert np.isfinite(mean["difference_low"])
    cohort.truth.loc[::2, "finding 0"] = np.nan
    assert row(audit_of(cohort, min_n=150), MEAN, "40-80", "tpr")["n_findings"] == 3, "too rare overall"
