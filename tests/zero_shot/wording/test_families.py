"""Families taken apart: which prompts they offer, and that together they are the prompt set."""

import json
from itertools import product

import pytest

from zero_shot.prompts import load_prompts, shipped_names
from zero_shot.wording.families import POOLED, load_family

MINE = {
    "name": "mine",
    "positive_templates": ["{}", "signs of {}"],
    "negative_templates": ["no {}", "{} is absent"],
    "qualifiers": ["{}", "left {}"],
    "findings": {
        "Edema": {"terms": ["edema", "congestion"], "qualifiers": ["{}", "mild {}"]},
        "Fracture": {"terms": ["fractures"], "negative_templates": ["no {}", "{} are absent"]},
        "Pneumonia": {"terms": ["pneumonia"], "negative_templates": [], "negative": ["clear lungs"]},
        "Edema again": {"positive": ["wet lungs"], "negative": ["dry lungs"]},
    },
}


@pytest.fixture
def family(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(MINE))
    return load_family(path)


def test_every_term_is_asked_in_every_pair_of_templates(family):
    asked = {
        (prompt.style, prompt.term): (prompt.pair.positive, prompt.pair.negative) for prompt in family.prompts("Edema")
    }
    expected = {
        (f'"{positive}" / "{negative}"', term): (
            tuple(positive.replace("{}", degree + term) for degree in ("", "mild ")),
            (negative.replace("{}", term),),
        )
        for positive, negative, term in product(
            ["{}", "signs of {}"], ["no {}", "{} is absent"], ["edema", "congestion"]
        )
    }
    pooled = asked.pop((POOLED, ""))
    assert asked == expected
    assert set(pooled[0]) == {phrase for positive, _ in expected.values() for phrase in positive}
    assert set(pooled[1]) == {phrase for _, negative in expected.values() for phrase in negative}


def test_a_findings_own_words_stand_for_the_style_of_the_family(family):
    styles = [prompt.style for prompt in family.prompts("Edema") if prompt.term == "edema"]
    own = [prompt for prompt in family.prompts("Fracture") if prompt.term]
    assert [prompt.style for prompt in own] == styles
    assert own[1].pair.negative == ("fractures are absent",)
    assert own[1].style == '"{}" / "{} is absent"'
    assert str(own[1]) == 'mine: "{}" / "{} is absent", fractures'


def test_a_side_without_templates_says_its_phrases_in_every_style(family):
    *single, pooled = family.prompts("Pneumonia")
    assert [prompt.style for prompt in single] == ['"{}" / as listed', '"signs of {}" / as listed']
    assert {prompt.pair.negative for prompt in (*single, pooled)} == {("clear lungs",)}


def test_phrases_without_terms_are_one_prompt(family):
    (only,) = family.prompts("Edema again")
    assert (only.style, only.pair.positive, only.pair.negative) == (POOLED, ("wet lungs",), ("dry lungs",))


@pytest.mark.parametrize("name", shipped_names())
def test_the_last_prompt_of_a_shipped_family_is_that_of_its_prompt_set(name):
    family, prompts = load_family(name), load_prompts(name)
    for finding in prompts.findings:
        assert family.prompts(finding)[-1].pair == prompts.pairs[finding]


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_families_have_no_two_prompts_of_one_name_or_one_wording(name):
    family = load_family(name)
    for finding in family.wordings:
        prompts = family.prompts(finding)
        assert len({str(prompt) for prompt in prompts}) == len({prompt.pair for prompt in prompts}) == len(prompts)


def test_chexzeros_family_asks_in_one_way():
    assert [str(prompt) for prompt in load_family("chexzero").prompts("Edema")] == ['chexzero: "{}" / "no {}", Edema']


def test_a_finding_that_a_family_does_not_know_is_named(family):
    with pytest.raises(ValueError, match="the prompt family 'mine' has no prompts for 'Oedema'; it knows Edema, Frac"):
        family.prompts("Oedema")
