import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort.report_sentences import split_sentences
from preprocess.text.prior_references import read_rules, without_priors

RULES = read_rules()
ALL = [*RULES.keep, *RULES.sentence, *RULES.phrase]


def left(text: str, level="phrases") -> str:
    return without_priors(text, level).text


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.name)
def test_every_rule_matches_its_example_and_leaves_what_the_table_says(rule):
    assert rule.pattern.search(rule.example)
    assert left(rule.example) == rule.result


def test_the_table_has_each_rule_once_and_a_protected_example_stays_as_it_is():
    names = [rule.name for rule in ALL]
    assert len(set(names)) == len(names)
    assert all(rule.result == rule.example for rule in RULES.keep)
    assert all(rule.result == "" for rule in RULES.sentence)
    assert all(rule.result not in {"", rule.example} for rule in RULES.phrase)


@pytest.mark.parametrize(
    "sentence",
    [
        "No pneumothorax.",
        "The lungs are clear.",
        "Right greater than left effusions.",
        "Increased interstitial markings may represent edema.",
        "Patient is status post prior CABG with intact sternotomy wires.",
        "Calcified granulomas are compatible with prior granulomatous disease.",
        "No evidence of prior infection.",
        "Clips from prior surgery.",
        "Healing fractures from ___ fall.",
        "No degenerative changes.",
        "No acute changes.",
        "Chronic interstitial changes without acute process.",
        "Recommend follow-up in 3 months to ensure interval resolution.",
        "New York Heart Association class III.",
        "Chest tube exchange without pneumothorax.",
        "Lungs are clear since no consolidation is seen.",
        "Unresolved questions are left to the clinician.",
        "A newborn with a nasogastric tube.",
        "Recommend clinical correlation.",
    ],
)
def test_words_that_only_look_like_a_reference_stay(sentence):
    assert without_priors(sentence, "phrases") == without_priors(sentence, "keep")
    assert left(sentence, "sentences") == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "No new focal consolidation, pleural effusion, or pneumothorax is seen.",
        "No pneumothorax, effusion, or new consolidation.",
        "The lungs are clear without new infiltrate.",
        "There is no worsening edema.",
        "No interval development of an effusion.",
    ],
)
def test_a_denied_change_is_never_turned_into_a_denied_finding(sentence):
    assert left(sentence) == ""


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("There is no effusion, but there is a new opacity.", "There is no effusion, but there is opacity."),
        ("There is no relevant change except for a new left effusion.", "Left effusion."),
        ("Degenerative changes of the spine are unchanged.", "Degenerative changes of the spine."),
        ("Stable postoperative changes in the left lung.", "Postoperative changes in the left lung."),
        ("Compared to prior, atelectasis has increased.", "Atelectasis."),
        (
            "In comparison with the study of ___, the tube is 4 cm above the carina.",
            "The tube is 4 cm above the carina.",
        ),
        ("Opacities, increased from prior, likely atelectasis.", "Opacities, likely atelectasis."),
        ("Opacities have worsened since the prior study, suggesting edema.", "Opacities, suggesting edema."),
        ("Markings are increased compared to the examination of XXXX.", "Markings."),
        ("Heart size is unchanged and remains mildly enlarged.", "Heart size is mildly enlarged."),
        ("The mediastinum is unchanged and within normal limits.", "The mediastinum is within normal limits."),
        ("The lungs remain clear.", "The lungs are clear."),
        ("An effusion persists in the left base.", "An effusion is present in the left base."),
        ("Small effusions may persist.", "Small effusions may persist."),
        ("There is a persistent opacity.", "There is an opacity."),
        ("There is an unchanged nodule.", "There is a nodule."),
        ("There is an unchanged unilateral opacity.", "There is a unilateral opacity."),
        ("There is an unchanged hazy opacity.", "There is a hazy opacity."),
        ("2. Stable cardiomegaly.", "2. Cardiomegaly."),
        ("Cardiomegaly is again seen, with worsening edema.", "Cardiomegaly is seen, with edema."),
        ("Findings are new since the study of ___ at 10:30 a.m. and were called in.", "Findings were called in."),
        ("The right line has been removed. The left PICC is unchanged.", "The left PICC."),
        ("The heart and lungs are stable.", ""),
        ("The patient was extubated in the interim.", ""),
        ("Atelectasis has nearly completely resolved.", ""),
        ("Little change.", ""),
        ("Unchanged compared to ___.", ""),
        ("Improving.", ""),
        ("This was not present on the previous study.", ""),
    ],
)
def test_tricky_sentences_keep_what_the_film_itself_can_show(sentence, expected):
    assert left(sentence) == expected


def test_phrases_and_sentences_are_counted_apart():
    found = without_priors("No change. Worsening edema, compared to ___. Clear left lung.", "phrases")
    assert (found.text, found.n_phrases, found.n_sentences) == ("Edema. Clear left lung.", 2, 1)
    found = without_priors("No change. Worsening edema, compared to ___. Clear left lung.", "sentences")
    assert (found.text, found.n_phrases, found.n_sentences) == ("Clear left lung.", 0, 2)


def test_nothing_is_removed_unless_asked_for():
    assert left("Unchanged  from ___.", "keep") == "Unchanged  from ___."


def test_a_sentence_of_more_than_a_thousand_characters_is_left_alone():
    endless = "again " * 200 + "edema"
    assert left(endless) == endless
    assert left("again " * 20 + "edema") == "Edema"


@pytest.mark.parametrize("run", ["_" * 300, "12/1" * 75, "prior ___ " * 60, "since XXXX " * 60])
def test_a_run_of_marks_or_dates_is_not_tried_in_all_its_pieces(run):
    assert left(f"Edema a{run}b.").startswith("Edema")


VOCABULARY = [
    "no",
    "new",
    "unchanged",
    "stable",
    "edema",
    ".",
    ",",
    ";",
    "___",
    "XXXX",
    "compared",
    "to",
    "prior",
    "study",
    "since",
    "is",
    "are",
    "and",
    "but",
    "effusion",
    "the",
    "interval",
    "change",
    "has",
    "been",
    "removed",
    "again",
    "seen",
    "1.",
    "(2)",
    "as",
    "before",
    "worsening",
    "from",
    "___",
]


@given(st.lists(st.sampled_from(VOCABULARY) | st.text(max_size=4), max_size=25).map(" ".join))
def test_whole_sentences_go_or_stay_and_the_rest_is_never_longer(text):
    for sentence in split_sentences(text):
        dropped, cut = left(sentence, "sentences"), left(sentence)
        assert dropped in {"", sentence}
        if dropped == sentence:
            assert cut == sentence
        assert re.search(r"\s\s", cut) is None
    joined = [left(sentence) for sentence in split_sentences(text)]
    assert left(text).split() == " ".join(joined).split()
