"""Reports become distinct, normalised sentences."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort import report_sentences
from cohort.report_sentences import distinct_sentences, index_sentences, index_texts, normalise_sentence


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


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(report_sentences).failed == 0
