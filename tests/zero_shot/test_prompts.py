"""Prompt sets: what they expand to, and what cannot be asked."""

import json

import pytest

from cohort import FINDINGS
from zero_shot.prompts import PromptPair, PromptSet, expand, from_templates, load_prompts, shipped_names


def test_five_shipped_families_have_prompts_for_the_14_findings_in_order():
    names = shipped_names(FINDINGS)
    assert names == ("chexzero", "cxr_clip", "radiologist", "sentence", "synonyms")
    assert [load_prompts(name).findings for name in names] == [FINDINGS] * 5
    assert {"nih14", "padchest", "vindr"} == set(shipped_names()) - set(names)


@pytest.mark.parametrize("name", shipped_names())
def test_no_shipped_prompt_negates_twice_or_is_repeated(name):
    for pair in load_prompts(name).pairs.values():
        phrases = [*pair.positive, *pair.negative]
        assert len(set(phrases)) == len(phrases)
        assert not any("no no " in phrase.lower() for phrase in phrases)


def test_radiologist_weighs_devices_against_both_sides_of_everything_else_instead_of_a_denial():
    """No report says "no pacemaker"; the background must not be made of health alone, or the sick pass for intubated."""
    pairs = dict(load_prompts("radiologist").pairs)
    devices = pairs.pop("Support Devices")
    sides = [phrases[0] for pair in pairs.values() for phrases in (pair.positive, pair.negative)]
    assert set(devices.negative) == set(sides)


def test_the_chexzero_set_is_the_label_against_its_negation_but_for_no_finding():
    for finding, pair in load_prompts("chexzero").pairs.items():
        if finding != "No Finding":
            assert (pair.positive, pair.negative) == ((finding,), (f"no {finding}",))


def test_the_golden_templates_give_the_same_prompts(golden):
    content = json.loads((golden / "model" / "prompts.json").read_text())
    ours = load_prompts("chexzero").pairs
    for label in content["labels"]:
        if label != "No Finding":
            assert ours[label].positive == (content["positive_template"].replace("{}", label),)
            assert ours[label].negative == (content["negative_template"].replace("{}", label),)


@pytest.mark.parametrize(
    "phrase",
    [
        "no No Finding",
        "NO NO FINDING",
        "without no finding",
        "there is no no finding here",
        "no evidence of No Finding",
        "no findings suggesting no effusion",
        "absence of no finding",
        "free of no edema",
    ],
)
def test_a_double_negation_cannot_be_constructed(phrase):
    with pytest.raises(ValueError, match="negates twice"):
        PromptPair(positive=("normal",), negative=(phrase,))


def test_templates_refuse_no_finding_by_name():
    with pytest.raises(ValueError, match="prompts for 'No Finding': the prompt 'no No Finding' negates twice"):
        from_templates(["Edema", "No Finding"], ("{}", "no {}"))


@pytest.mark.parametrize(
    "phrase",
    ["no nodule", "no nonspecific opacity", "no pneumothorax and no effusion", "no evidence of nodules"],
)
def test_two_findings_denied_and_words_that_begin_with_no_are_no_double_negation(phrase):
    assert PromptPair(positive=("nodule",), negative=(phrase,)).negative == (phrase,)


def test_a_finding_without_a_name_and_an_empty_term_are_refused():
    pair = PromptPair(positive=("edema",), negative=("no edema",))
    with pytest.raises(ValueError, match="the prompt set 'mine' has a finding without a name"):
        PromptSet(name="mine", pairs={" ": pair})
    with pytest.raises(ValueError, match=r"prompts for 'Edema ': the prompt .* both positive and negative"):
        from_templates(["Edema "], ("{}", "{}"))
    with pytest.raises(ValueError, match="prompts for '': a term is empty text"):
        from_templates([""], ("{}", "no {}"))


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ({"positive": (), "negative": ("no edema",)}, "no positive prompt"),
        ({"positive": ("edema",), "negative": ()}, "no negative prompt"),
        ({"positive": ("edema", " "), "negative": ("no edema",)}, "a positive prompt is empty text"),
        ({"positive": ("edema",), "negative": ("",)}, "a negative prompt is empty text"),
        ({"positive": ("edema",), "negative": ("edema",)}, "both positive and negative"),
    ],
)
def test_pairs_that_say_nothing_are_refused(pair, message):
    with pytest.raises(ValueError, match=message):
        PromptPair(**pair)


def test_terms_go_into_every_template():
    assert expand(["PICC line", "pacemaker"], ["{}", "there is a {}"]) == (
        "PICC line",
        "pacemaker",
        "there is a PICC line",
        "there is a pacemaker",
    )
    with pytest.raises(ValueError, match=r"'no finding' must contain \{\} once"):
        expand(["x"], ["no finding"])


def test_selecting_orders_columns_and_names_what_is_unknown():
    prompts = load_prompts("radiologist")
    assert prompts.select(["Edema", "Atelectasis"]).findings == ("Edema", "Atelectasis")
    with pytest.raises(ValueError, match="no prompts for Pneumonnia; it knows Atelectasis"):
        prompts.select(["Edema", "Pneumonnia"])
    with pytest.raises(ValueError, match="named twice"):
        prompts.select(["Edema", "Edema"])


def test_a_set_from_a_file_may_mix_terms_and_literal_phrases(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(
        json.dumps(
            {
                "name": "mine",
                "positive_templates": ["{}", "signs of {}"],
                "negative_templates": ["no {}"],
                "findings": {"Edema": {"terms": ["edema"], "negative": ["clear lungs"]}},
            }
        )
    )
    prompts = load_prompts(path)
    assert prompts.to_json() == {
        "Edema": {"positive": ["edema", "signs of edema"], "negative": ["clear lungs", "no edema"]}
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a JSON file"),
        ("[]", "wanted an object with name, about, positive_templates"),
        ('{"findings": {}}', "has no findings"),
        ('{"findings": {"Edema": {"positiv": ["x"]}}}', "prompts for 'Edema': .* found 'positiv'"),
        (
            '{"findings": {"Edema": {"positive": "x"}}}',
            "prompts for 'Edema': positive must be a list of texts, found 'x'",
        ),
        (
            '{"findings": {"Edema": {"positive": [""], "negative": ["y"]}}}',
            "prompts for 'Edema': a positive prompt is empty",
        ),
        ('{"findings": {"Edema": ["x"]}}', "prompts for 'Edema': wanted an object"),
        ('{"findings": [1]}', r"wanted an object of findings; found \[1\]"),
        ('{"name": "x"}', "wanted an object of findings; found None"),
        (
            '{"positive_templates": ["{}", "a {}"], "findings": {"Edema": {"positive_templates": ["some {}"]}}}',
            "prompts for 'Edema': positive_templates must be as many as the file's, 2; found 1",
        ),
        (
            '{"positive_templates": ["{}"], "qualifiers": ["mild"], "findings": {"Edema": {"terms": ["edema"]}}}',
            "prompts for 'Edema': the template 'mild' must contain",
        ),
    ],
)
def test_files_that_are_no_prompt_set_are_refused_with_the_finding(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_prompts(path)


def test_a_set_that_does_not_exist_lists_those_that_do():
    with pytest.raises(
        FileNotFoundError,
        match="no prompt set 'nope': wanted one of chexzero, cxr_clip, nih14, padchest, radiologist, sentence, synonyms",
    ):
        load_prompts("nope")
