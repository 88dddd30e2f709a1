"""The planted numbers: what each preset promises, and what a wrong scenario is told."""

import itertools
import json
import math
from dataclasses import fields, replace

import pytest

import cohort
import phantom
from phantom.patients.people import INSURANCES, RACES, Person
from phantom.patients.scenario import ABNORMALITIES, Scenario

EVERYBODY = [
    Person(age_years=age, sex=sex, race=race, insurance=insurance)
    for age, sex, race, insurance in itertools.product((20.0, 60.0, 90.0), "FM", RACES, INSURANCES)
]
WHITE_MAN = Person(age_years=60.0, sex="M", race="White", insurance="Private")


def test_phantom_and_cohort_name_the_same_findings_in_the_same_order():
    assert phantom.FINDINGS == cohort.FINDINGS


def test_every_preset_is_called_by_its_own_name():
    assert [PRESET().name for PRESET in phantom.PRESETS.values()] == list(phantom.PRESETS)


def test_the_null_scenario_treats_every_person_alike():
    scenario = phantom.null()
    for finding, share in scenario.prevalence.items():
        assert [scenario.prevalence_of(person)[finding] for person in EVERYBODY] == pytest.approx(
            [share] * len(EVERYBODY)
        )
    missed = [scenario.underreporting_of(person) for person in EVERYBODY]
    assert missed == pytest.approx([scenario.underreporting] * len(EVERYBODY))
    assert {scenario.dose_of(person) for person in EVERYBODY} == {1.0}
    assert {scenario.contrast_of(person) for person in EVERYBODY} == {1.0}
    assert {scenario.inspiration_of(person) for person in EVERYBODY} == {1.0}
    assert {scenario.mispositioning_of(person) for person in EVERYBODY} == {1.0}
    assert {scenario.ap_share_of(person, 0.7) for person in EVERYBODY} == {scenario.ap_share_of(WHITE_MAN, 0.7)}
    assert {scenario.heart_ratio_of(person.age_years) for person in EVERYBODY} == {scenario.heart_ratio}
    assert scenario.drawn_age_years is not None
    assert scenario.share_children == 0


def test_the_underdiagnosis_scenario_fails_black_patients_and_less_so_medicaid_but_changes_no_prevalence():
    scenario = phantom.underdiagnosis()
    medicaid, black = replace(WHITE_MAN, insurance="Medicaid"), replace(WHITE_MAN, race="Black")
    for measure in (scenario.dose_of, scenario.contrast_of, scenario.inspiration_of):
        assert measure(black) < measure(medicaid) < measure(WHITE_MAN)
    for measure in (scenario.underreporting_of, scenario.mispositioning_of):
        assert measure(black) > measure(medicaid) > measure(WHITE_MAN)
    assert scenario.race_shares["Black"] >= 0.3
    for finding in ABNORMALITIES:
        assert scenario.prevalence_of(black)[finding] == scenario.prevalence_of(WHITE_MAN)[finding]


def test_few_children_differs_from_default_in_nothing_else():
    few, usual = phantom.few_children(), phantom.default()
    assert few.share_children < usual.share_children / 3
    assert replace(few, name=usual.name, share_children=usual.share_children) == usual


def test_prevalence_multiplies_the_odds_by_age_and_by_every_group_of_the_person():
    scenario = Scenario(
        name="odds",
        prevalence_age_slope={"Edema": 0.5},
        prevalence_odds={"race=Black": {"Edema": 2.0}, "race=Black,sex=F": {"Edema": 3.0}, "sex=M": {"Edema": 7.0}},
    )
    person = Person(age_years=80.0, sex="F", race="Black", insurance="Other")
    p = scenario.prevalence["Edema"]
    logit = math.log(p / (1 - p)) + 2 * 0.5 + math.log(2) + math.log(3)
    assert scenario.prevalence_of(person)["Edema"] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-12)


def test_underreporting_in_two_groups_leaves_out_the_findings_that_either_leaves_out():
    scenario = Scenario(
        name="both", underreporting=0.1, underreporting_in_group={"race=Black": 0.5, "insurance=Medicaid": 0.2}
    )
    person = Person(age_years=50.0, sex="F", race="Black", insurance="Medicaid")
    assert scenario.underreporting_of(person) == pytest.approx(1 - 0.9 * 0.5 * 0.8)


@pytest.mark.parametrize("preset", phantom.PRESETS.values())
def test_the_json_of_a_scenario_holds_every_number(preset):
    written = json.loads(json.dumps(preset().to_json(), allow_nan=False))
    assert set(written) == {field.name for field in fields(Scenario)}
    again = Scenario(**{name: tuple(v) if isinstance(v, list) else v for name, v in written.items()})
    assert again == preset()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"race_shares": {"White": 0.6, "Black": 0.3}}, r"race_shares must add up to 1, found 0\.9"),
        ({"race_shares": {"Martian": 1.0}}, "names 'Martian'; it may name White, Black"),
        ({"split_shares": {"train": 1.4, "test": -0.4}}, r"split_shares\['train'\] is a share: wanted 0 to 1"),
        ({"underreporting_in_group": {"race=black": 0.4}}, "group 'race=black' is not understood: write e.g. 'race="),
        ({"dose": {"Black": 0.4}}, "group 'Black' is not understood"),
        ({"mispositioning": {"age=Old": 2.0}}, "group 'age=Old' is not understood"),
        ({"contrast": {"race=Black": 0.0}}, r"factors above 0, found 0\.0 for 'race=Black'"),
        ({"underreporting_in_group": {"sex=F": 1.2}}, r"underreporting_in_group\['sex=F'\] is a share.*found 1\.2"),
        ({"prevalence_odds": {"sex=F": {"Effusion": 2.0}}}, "names the finding 'Effusion'; findings are Atelectasis"),
        ({"prevalence": {"Edema": 0.1}}, "each finding but 'No Finding' once; look at 'Atelectasis'"),
        ({"severity_range": (0.8, 0.4)}, "0 < mildest <= worst <= 1"),
        ({"ap_share": 1.0}, "ap_share must lie between 0 and 1"),
        ({"share_children": -0.1}, r"share_children is a share: wanted 0 to 1, found -0\.1"),
        ({"share_findings_only": 0.9}, "share_findings_only .* is a share"),
        ({"insurance_shares": {}}, "insurance_shares wants the bands under 18, 18 to 64, 65 and over; found none"),
    ],
)
def test_a_wrong_number_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        Scenario(name="wrong", **changes)
