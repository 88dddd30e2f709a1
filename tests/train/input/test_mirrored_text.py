"""What a mirrored film's report says."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.input import mirrored_text as sides
from train.input.mirrored_text import swap_sides


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("small left pleural effusion", "small right pleural effusion"),
        ("Left-sided PICC. Right apical scarring.", "Right-sided PICC. Left apical scarring."),
        ("RLL and LUL opacities", "LLL and RUL opacities"),
        ("left greater than right", "right greater than left"),
        ("mild dextroscoliosis", "mild levoscoliosis"),
        ("rightward shift; lt effusion", "leftward shift; rt effusion"),
        ("right ij line", "left ij line"),
        ("bilateral effusions, patient upright", "bilateral effusions, patient upright"),
        ("no acute cardiopulmonary process", "no acute cardiopulmonary process"),
        ("levofloxacin was given", "levofloxacin was given"),
        ("cleft, alright, flt", "cleft, alright, flt"),
        ("nodule &lt; 1 cm", "nodule &lt; 1 cm"),
    ],
)
def test_left_and_right_change_places(text, wanted):
    assert swap_sides(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "opacity in the lingula",
        "Lingular atelectasis",
        "right middle lobe collapse",
        "RML pneumonia",
        "tip in the right atrium",
        "the left  ventricle is enlarged",
        "left-ventricular lead",
        "right heart border",
        "tip in the lower SVC",
        "superior vena cava",
        "air in the stomach on the left",
        "azygos lobe",
        "fluid in the minor fissure",
        "dextrocardia",
        "situs inversus",
        "L effusion",
        "patient left the room",
        "prominent aortic knob",
    ],
)
def test_texts_that_name_a_side_otherwise_cannot_be_swapped(text):
    assert swap_sides(text) is None


WORDS = ["left", "right", "Left", "RIGHT", "rll", "effusion", "lt", "levoscoliosis", "no", ".", "leftward", "rij"]


@given(st.lists(st.sampled_from(WORDS), max_size=8))
def test_swapping_twice_gives_the_text_again(words):
    text = " ".join(words)
    assert swap_sides(swap_sides(text)) == text


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(sides).failed == 0
