"""Prompt sets: what they expand to, and what cannot be asked."""

import json

import pytest

from cohort import FINDINGS
from zero_shot.prompts import PromptPair, expand, from_templates, load_prompts


@pytest.mark.parametrize("name", ["chexzero", "radiologist"])
def test_shipped_sets_have_prompts_for_the_14_findings_in_order(name):
    assert load_prompts(name).findings == FINDINGS


@pytest.mark.parametrize("name", ["chexzero", "radiologist"])
def test_no_shipped_prompt_negates_twice_or_is_repeated(name):
    for pair in load_prompts(name).pairs.values():
        phrases = [*pair.positive, *pair.negative]
        assert len(set(phrases)) == len(phrases)
        assert not any("no no " in phrase.lower() for phrase in phrases)


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
    "phrase", ["no No Finding", "NO NO FINDING", "without no finding", "there is no no finding here"]
)
def test_a_double_negation_cannot_be_constructed(phrase):
    with pytest.raises(ValueError, match="negates twice"):
        PromptPair(positive=("normal",), negative=(phrase,))


def test_templates_refuse_no_finding_by_name():
    with pytest.raises(ValueError, match="prompts for 'No Finding': the prompt 'no No Finding' negates twice"):
        from_templates(["Edema", "No Finding"], ("{}", "no {}"))


def test_no_as_part_of_another_word_is_no_negation():
    PromptPair(positive=("nodule",), negative=("no nodule", "no nonspecific opacity"))


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
    ],
)
def test_files_that_are_no_prompt_set_are_refused_with_the_finding(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_prompts(path)


def test_a_set_that_does_not_exist_lists_those_that_do():
    with pytest.raises(
        FileNotFoundError, match="no prompt set 'nope': wanted one of chexzero, nih14, padchest, radiologist"
    ):
        load_prompts("nope")
