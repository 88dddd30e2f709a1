"""Patients and visits show what was planted, no more and no less."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

import phantom
from phantom.patients.disease import simulate_visits
from phantom.patients.people import Person
from phantom.patients.population import simulate
from phantom.patients.scenario import ABNORMALITIES, PREVALENCE

N = 1000
LIMIT = 4.5
"""Standard errors: with some 200 comparisons here a true null passes with 99.9 %."""


@pytest.fixture(scope="module")
def usual():
    return simulate(phantom.default(), n_patients=N, seed=3)


@pytest.fixture(scope="module")
def equal():
    return simulate(phantom.null(), n_patients=N, seed=4)


@pytest.fixture(scope="module")
def failing():
    return simulate(phantom.underdiagnosis(), n_patients=N, seed=5)


def z_of_patients(residuals_by_patient):
    """Sum of residuals over its standard error, patients being independent and their studies not."""
    sums = np.array([sum(residuals) for residuals in residuals_by_patient])
    return sums.sum() / math.sqrt((sums**2).sum())


def residuals(patients, finding, expected):
    return [
        [(finding in study.visit.findings) - expected(study.person) for study in patient.studies]
        for patient in patients
    ]


@pytest.mark.parametrize("finding", PREVALENCE)
def test_the_planted_prevalence_is_recovered(usual, finding):
    scenario = phantom.default()
    found = residuals(usual, finding, lambda person: scenario.prevalence_of(person)[finding])
    assert abs(z_of_patients(found)) < LIMIT


def test_a_planted_odds_ratio_is_visible_in_its_group():
    scenario = replace(
        phantom.null(),
        race_shares={"Black": 0.5, "White": 0.5},
        prevalence_odds={"race=Black": {"Cardiomegaly": 3.0}},
    )
    patients = simulate(scenario, n_patients=700, seed=9)
    table = Counter((patient.person.race, "Cardiomegaly" in patient.studies[0].visit.findings) for patient in patients)
    log_odds = math.log(table["Black", True] * table["White", False] / (table["Black", False] * table["White", True]))
    error = math.sqrt(sum(1 / count for count in table.values()))
    assert abs(log_odds - math.log(3.0)) < LIMIT * error
    assert log_odds > LIMIT * error


@pytest.mark.parametrize("attribute", ["sex", "race", "insurance", "old"])
def test_in_the_null_scenario_no_group_has_another_prevalence(equal, attribute):
    groups = {}
    for patient in equal:
        person = patient.person
        key = person.age_years >= 65 if attribute == "old" else getattr(person, attribute)
        groups.setdefault(key, []).append(patient)
    large = [group for group in groups.values() if len(group) >= 80]
    assert len(large) > 1
    for group in large:
        for finding, share in PREVALENCE.items():
            # One study per patient, so that the count is binomial.
            n_found = sum(finding in patient.studies[0].visit.findings for patient in group)
            assert binomtest(n_found, len(group), share).pvalue > 1e-5


def test_the_share_left_out_is_the_planted_one_in_every_group(failing):
    scenario = phantom.underdiagnosis()
    by_group = {}
    for patient in failing:
        person = patient.person
        missed = scenario.underreporting_of(person)
        left_out = [
            (finding in study.omitted) - missed
            for study in patient.studies
            for finding in ABNORMALITIES
            if finding in study.visit.findings
        ]
        by_group.setdefault((person.race == "Black", person.insurance == "Medicaid"), []).append(left_out)
    assert len(by_group) == 4
    for group in by_group.values():
        assert abs(z_of_patients(group)) < LIMIT
    assert not any("Support Devices" in study.omitted for patient in failing for study in patient.studies)


def test_only_what_is_visible_is_left_out_and_only_what_is_reported_is_hedged(usual):
    for patient in usual:
        for study in patient.studies:
            assert study.omitted <= study.visit.findings
            assert study.hedged <= study.visit.findings - study.omitted


def log_odds_ratio(studies, one, other):
    table = Counter((one(study), other(study)) for study in studies)
    value = math.log(table[True, True] * table[False, False] / (table[True, False] * table[False, True]))
    return value, math.sqrt(sum(1 / count for count in table.values()))


def has(finding):
    return lambda study: finding in study.visit.findings


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (has("Edema"), has("Pleural Effusion")),
        (has("Edema"), has("Cardiomegaly")),
        (has("Pneumonia"), has("Consolidation")),
        (has("Pneumothorax"), has("Fracture")),
        (has("Support Devices"), lambda study: study.portable),
    ],
)
def test_findings_come_together_as_in_life(equal, one, other):
    value, error = log_odds_ratio([patient.studies[0] for patient in equal], one, other)
    assert value > 0.5
    assert value > 3 * error


def test_findings_without_a_common_cause_are_independent(equal):
    studies = [patient.studies[0] for patient in equal]
    value, error = log_odds_ratio(studies, has("Lung Lesion"), has("Edema"))
    assert abs(value) < LIMIT * error


def test_normal_studies_are_a_quarter_to_a_third(usual, equal):
    for patients in (usual, equal):
        normal = [not study.visit.findings - {"Support Devices"} for p in patients for study in p.studies]
        assert 0.25 < np.mean(normal) < 0.35


def test_a_scar_stays_where_it_is_and_an_oedema_goes(equal):
    again = {"Pleural Other": [], "Edema": []}
    for patient in equal:
        for first, second in zip(patient.studies, patient.studies[1:], strict=False):
            for finding, stayed in again.items():
                if finding in first.visit.findings:
                    stayed.append(finding in second.visit.findings)
                    if stayed[-1]:
                        places = [
                            (lesion.side, lesion.zone)
                            for study in (first, second)
                            for lesion in study.visit.lesions
                            if lesion.finding == finding
                        ]
                        assert places[0] == places[1]
    assert np.mean(again["Pleural Other"]) > 0.8
    assert np.mean(again["Edema"]) < 0.6


def test_a_pacemaker_is_never_taken_out(usual):
    for patient in usual:
        worn = ["pacemaker" in {lesion.kind for lesion in study.visit.lesions} for study in patient.studies]
        assert worn == sorted(worn)


def test_severities_lie_in_the_planted_range_and_mild_ones_are_commoner(equal):
    low, high = phantom.null().severity_range
    found = [lesion.severity for p in equal for study in p.studies for lesion in study.visit.lesions]
    assert low <= min(found)
    assert max(found) <= high
    assert np.median(found) < (low + high) / 2


def test_the_splits_hold_the_planted_shares_to_the_patient(usual):
    counts = Counter(patient.split for patient in usual)
    assert counts == {"train": 650, "validate": 70, "test": 280}


def test_identifiers_look_like_those_of_mimic(usual):
    subjects = [patient.subject_id for patient in usual]
    assert subjects == sorted(set(subjects))
    assert {str(subject)[:2] for subject in subjects} == {str(prefix) for prefix in range(10, 20)}
    studies = [study.study_id for patient in usual for study in patient.studies]
    assert len(set(studies)) == len(studies)
    assert all(50_000_000 <= study < 60_000_000 for study in studies)
    images = [image.dicom_id for patient in usual for study in patient.studies for image in study.images]
    assert len(set(images)) == len(images)
    assert all(len(name) == 44 and name.count("-") == 4 for name in images)


def test_age_at_study_is_anchor_age_plus_the_years_gone_by(usual):
    for patient in usual:
        for study in patient.studies:
            assert study.person.age_years == patient.anchor_age + study.time.year - patient.anchor_year
        assert list(patient.studies) == sorted(patient.studies, key=lambda study: study.time)


def test_shares_of_children_women_and_races_are_the_planted_ones(usual):
    scenario = phantom.default()
    checks = {scenario.share_children: [p.anchor_age < 18 for p in usual]}
    checks[scenario.share_female] = [p.person.sex == "F" for p in usual]
    checks[scenario.race_shares["Black"]] = [p.person.race == "Black" for p in usual]
    for share, found in checks.items():
        assert abs(np.mean(found) - share) < LIMIT * math.sqrt(share * (1 - share) / N)


def test_films_of_a_group_are_made_with_the_planted_dose_and_contrast(failing):
    scenario = phantom.underdiagnosis()
    films = {"Black": [], "White": []}
    for patient in failing:
        if patient.person.race in films and patient.person.insurance == "Private":
            for study in patient.studies:
                films[patient.person.race] += [i.exposure for i in study.images if i.view == "PA"]
    for name, planted in (("dose", scenario.dose["race=Black"]), ("contrast", scenario.contrast["race=Black"])):
        logs = {race: np.log([getattr(exposure, name) for exposure in found]) for race, found in films.items()}
        error = math.sqrt(sum(values.var() / len(values) for values in logs.values()))
        assert abs(logs["Black"].mean() - logs["White"].mean() - math.log(planted)) < LIMIT * error


def test_films_of_a_badly_positioned_group_are_turned_and_shallow_by_the_planted_factors(failing):
    scenario = phantom.underdiagnosis()
    films = {"Black": [], "White": []}
    for patient in failing:
        if patient.person.race in films and patient.person.insurance == "Private":
            for study in patient.studies:
                films[patient.person.race] += [i.exposure for i in study.images if i.view != "AP"]
    turned = {race: np.std([exposure.rotation_degrees for exposure in found]) for race, found in films.items()}
    assert turned["Black"] / turned["White"] == pytest.approx(scenario.mispositioning["race=Black"], rel=0.2)
    depth = {race: np.mean([exposure.inspiration for exposure in found]) for race, found in films.items()}
    assert depth["Black"] / depth["White"] == pytest.approx(scenario.inspiration["race=Black"], rel=0.05)


def test_an_opacity_is_not_drawn_into_a_new_consolidation(usual):
    for patient in usual:
        places = {}
        for lesion in patient.studies[0].visit.lesions:
            places.setdefault((lesion.side, lesion.zone), set()).add(lesion.finding)
        for found in places.values():
            assert "Lung Opacity" not in found or not found & {"Consolidation", "Pneumonia"}


def test_hearts_grow_with_age_by_the_planted_slope(usual):
    scenario = phantom.default()
    adults = [patient for patient in usual if patient.person.age_years >= 18]
    ages = np.array([patient.person.age_years for patient in adults])
    ratios = np.array([patient.body(patient.studies[0], scenario).cardiothoracic_ratio for patient in adults])
    slope = np.polyfit(ages, ratios, 1)[0] * 10
    error = 10 * scenario.heart_ratio_sd / (ages.std() * math.sqrt(len(ages)))
    assert abs(slope - scenario.heart_ratio_per_decade) < LIMIT * error


def test_the_null_scenario_draws_all_bodies_at_one_age(equal):
    scenario = phantom.null()
    assert {patient.body(patient.studies[0], scenario).age_years for patient in equal} == {scenario.drawn_age_years}


def test_the_ill_are_imaged_at_the_bedside_more_often(equal):
    acuity = {True: [], False: []}
    for patient in equal:
        for study in patient.studies:
            acuity[study.portable].append(study.visit.acuity)
    assert np.mean(acuity[True]) > np.mean(acuity[False]) + 0.7


def test_a_visit_is_the_same_whatever_happens_to_other_patients():
    people = [Person(age_years=70.0, sex="F", race="White", insurance="Medicare")] * 2
    one = simulate_visits(people, scenario=phantom.default(), rng=np.random.default_rng(1))
    assert one == simulate_visits(people, scenario=phantom.default(), rng=np.random.default_rng(1))


def test_the_same_seed_gives_the_same_patients_and_another_seed_gives_others():
    once, twice, other = (simulate(phantom.default(), n_patients=30, seed=seed) for seed in (1, 1, 2))
    assert once == twice
    assert {p.subject_id for p in once} != {p.subject_id for p in other}


@pytest.mark.parametrize(
    ("n_patients", "seed", "message"),
    [(0, 0, "n_patients must lie between 1 and 1000000, found 0"), (5, -1, "seed must be 0 or more, found -1")],
)
def test_impossible_archives_are_refused(n_patients, seed, message):
    with pytest.raises(ValueError, match=message):
        simulate(phantom.default(), n_patients=n_patients, seed=seed)
