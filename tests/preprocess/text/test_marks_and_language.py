"""De-identification marks and the language of a text."""

import doctest

import pytest

from preprocess.text import deidentification, language
from preprocess.text import prior_references as references
from preprocess.text.deidentification import count_marks, without_marks
from preprocess.text.language import language_of


@pytest.mark.parametrize("module", [deidentification, language, references], ids=lambda one: one.__name__)
def test_the_examples_in_the_docstrings_are_true(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


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
