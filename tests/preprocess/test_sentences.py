import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess import deidentification, language, references, sentences
from preprocess.deidentification import count_marks, without_marks
from preprocess.language import language_of
from preprocess.sentences import split_sentences


@pytest.mark.parametrize("module", [deidentification, language, references, sentences], ids=lambda one: one.__name__)
def test_the_examples_in_the_docstrings_are_true(module):
    result = doctest.testmod(module)
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


@pytest.mark.parametrize(
    ("text", "expected", "marks"),
    [
        ("Compared to ___, unchanged.", "Compared, unchanged.", 1),
        ("Discussed with Dr. ___ by Dr. ___ at ___ on ___.", "Discussed.", 4),
        ("Small effusion (___) on the left.", "Small effusion on the left.", 1),
        ("___ year old man.", "year old man.", 1),
        ("Normal chest XXXX.", "Normal chest.", 1),
        ("Clear. ___. Normal.", "Clear. Normal.", 1),
        ("___/___", "", 2),
        ("One _ and XXX stay,  with blanks.", "One _ and XXX stay,  with blanks.", 0),
    ],
)
def test_marks_go_with_the_words_that_introduce_them(text, expected, marks):
    assert without_marks(text) == expected
    assert count_marks(text) == marks
    assert count_marks(expected) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No acute cardiopulmonary process.", "en"),
        ("Heart size is normal. The lungs are clear.", "en"),
        ("cambi pulmonar cronic sever . sign fibrosis bibasal", "es"),
        ("sin hallazg patolog", "es"),
        ("derram pleural izquierd y cardiomegali", "es"),
        ("Silueta cardiaca normal, sin derrame pleural.", "es"),
        ("Radiographie du thorax de face montrant une opacité de la base droite", "fr"),
        ("Kein Pleuraerguss, Herz nicht vergrößert.", "de"),
        ("Não há derrame pleural à esquerda.", "pt"),
        ("___ 12/3", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_language_is_told_by_common_words(text, expected):
    assert language_of(text) == expected
