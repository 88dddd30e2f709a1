"""Sentences end where they should and nothing is lost; reports become distinct, normalised sentences."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort import report_sentences
from cohort.report_sentences import (
    distinct_sentences,
    index_sentences,
    index_texts,
    normalise_sentence,
    split_sentences,
)


@pytest.mark.parametrize(
    ("report", "wanted"),
    [
        ("No acute cardiopulmonary process.", ["no acute cardiopulmonary process"]),
        ("1. Edema, mild.\n2. Effusion.", ["edema, mild", "effusion"]),
        ("1) Edema. 2) Effusion", ["edema", "effusion"]),
        ("(1) Edema. (2) Effusion", ["edema", "effusion"]),
        ("- Edema.\n- Effusion.", ["edema", "effusion"]),
        ("Nodule of 2.5 cm, was 2.0 cm.", ["nodule of 2.5 cm, was 2.0 cm"]),
        ("Discussed with Dr. Smith vs. the team. Edema.", ["discussed with dr. smith vs. the team", "edema"]),
        ("Compared to ___, unchanged.", ["compared to , unchanged"]),
        ("Edema.  EDEMA;  edema!", ["edema"]),
        ("Edema\n\nEffusion", ["edema", "effusion"]),
        ("Mild\n edema.", ["mild edema"]),
        ("___.", []),
        ("", []),
        (" \n ", []),
        ("NO IMPRESSION", []),
        ("5 mm nodule. 10 mm nodule.", ["5 mm nodule", "10 mm nodule"]),
    ],
)
def test_reports_split_into_their_distinct_sentences(report, wanted):
    assert distinct_sentences(report) == wanted


@given(st.text(alphabet="ab1._- \n", max_size=40))
def test_splitting_is_stable_and_leaves_no_empty_or_repeated_sentence(report):
    found = distinct_sentences(report)
    assert len(found) == len(set(found))
    for sentence in found:
        assert sentence
        assert sentence == " ".join(sentence.split())


@given(st.text(alphabet="abc ,", min_size=1, max_size=30))
def test_writing_it_larger_or_numbering_it_makes_no_other_sentence(sentence):
    plain = normalise_sentence(sentence)
    assert normalise_sentence(sentence.upper()) == plain
    assert normalise_sentence(f"3. {sentence} ___.") == plain


def test_the_index_finds_every_sentence_of_every_report_again():
    reports = ["Edema. No effusion.", "", "No effusion. Clear lungs. Edema."]
    vocabulary, members = index_sentences(reports)
    assert vocabulary == sorted({"edema", "no effusion", "clear lungs"})
    assert [[vocabulary[i] for i in own] for own in members] == [distinct_sentences(report) for report in reports]


def test_a_model_reads_whole_reports_or_their_sentences():
    reports = ["Edema. No effusion.", "No effusion."]
    assert index_texts(reports, by_sentence=False) == (reports, [[0], [1]])
    assert index_texts(reports, by_sentence=True) == index_sentences(reports)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("No effusion", ["No effusion"]),
        ("No effusion. Clear lungs.", ["No effusion.", "Clear lungs."]),
        ("Nodule of 2.5 cm. Clear.", ["Nodule of 2.5 cm.", "Clear."]),
        ("1. Edema. 2. Nodule.", ["1. Edema.", "2. Nodule."]),
        ("(1) Edema. (2) Nodule.", ["(1) Edema.", "(2) Nodule."]),
        ("- Edema.\n- Nodule.", ["- Edema.", "- Nodule."]),
        ("Fracture of rib 6. No effusion.", ["Fracture of rib 6.", "No effusion."]),
        ("Told Dr. A at 5 p.m. on Monday.", ["Told Dr. A at 5 p.m. on Monday."]),
        ("Told Dr. A at 5 p.m. No effusion.", ["Told Dr. A at 5 p.m.", "No effusion."]),
        ("Edema (mild.) Clear.", ["Edema (mild.)", "Clear."]),
        ("Edema? Clear! Normal; small.", ["Edema?", "Clear!", "Normal;", "small."]),
        ("No stop\n \n here", ["No stop", "here"]),
        ("One line\n goes on.", ["One line goes on."]),
        ("Called to ___. Clear.", ["Called to ___.", "Clear."]),
        ("Pleural thickening vs. fluid.", ["Pleural thickening vs. fluid."]),
    ],
)
def test_sentences_are_cut_at_their_ends_only(text, expected):
    assert split_sentences(text) == expected


@given(
    st.lists(st.sampled_from([".", "1.", "Dr.", "a", "p.m.", "\n", "\n\n", "B;", "?", ")"]) | st.text(), max_size=20)
)
def test_nothing_is_added_or_lost(parts):
    text = " ".join(parts)
    found = split_sentences(text)
    assert [word for sentence in found for word in sentence.split()] == text.split()
    assert all(found)
    assert [again for sentence in found for again in split_sentences(sentence)] == found


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(report_sentences)
    assert result.attempted > 0
    assert result.failed == 0
