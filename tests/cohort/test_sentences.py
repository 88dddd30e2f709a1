"""Sentences: where they end, and that nothing is lost."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort import report_sentences as sentences
from cohort.report_sentences import split_sentences


def test_the_example_in_the_docstring_is_true():
    result = doctest.testmod(sentences)
    assert result.attempted > 0
    assert result.failed == 0


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
