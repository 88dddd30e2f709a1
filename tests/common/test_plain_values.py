import pandas as pd
import pytest

from cohort.groups import assign, parse_groups
from cohort.labels import to_labels
from common.plain_values import comparable_ids, forms_of, one_spelling, plain_ids, plain_words


def applied(function, *texts: str) -> list[str]:
    return function(pd.Series(list(texts), dtype=str)).tolist()


def test_what_programs_write_for_a_missing_value_is_blank():
    missing = ["nan", "NaN", "NULL", "null", "NaT", "None", "<NA>", "#N/A", "n/a", "n.a.", " ", "\u00a0", "\u200b", "-"]
    assert applied(plain_words, *missing) == [""] * len(missing)
    assert applied(plain_words, " two\u00a0 words ", "Nanette", "0") == ["two words", "Nanette", "0"]


def test_words_that_differ_in_case_or_blanks_have_the_most_frequent_spelling():
    assert applied(one_spelling, "WHITE", "White", "white ", "White", "black ", "Black\u00a0", "nan") == [
        *("White", "White", "White", "White", "black", "black", "")
    ]


def test_ids_lose_what_a_spreadsheet_adds_and_nothing_else():
    assert applied(plain_ids, "10335852.0", " 007 ", "1.5", "p1", "NaN") == ["10335852", "007", "1.5", "p1", ""]


@pytest.mark.parametrize(
    "written", ["10335852", "10335852.0", "p10335852", " P10335852 ", "subject-10335852", "0010335852"]
)
def test_one_patient_has_one_comparable_id(written):
    assert applied(comparable_ids, written) == ["10335852"]


def test_other_ids_stay_different():
    assert applied(comparable_ids, "a1", "A1", "b1", "00.5", "x.png", "0") == ["a1", "a1", "b1", "00.5", "x", "0"]


def test_the_form_of_an_id_is_how_it_is_written():
    assert forms_of(pd.Series(["12", "345"])) == {"0"}
    assert forms_of(pd.Series(["sub-12", "sub-9"])) == {"a-0"}
    assert forms_of(pd.Series(["02aa804e-bde0afdd", ""])) == {"h-h"}


def test_groups_and_labels_follow_the_same_rule():
    frame = pd.DataFrame({"race": ["White", "WHITE", "black ", "Black", "Black", "nan", " ", None]})
    groups = assign(frame, parse_groups("race")).tolist()
    assert groups == ["White", "White", "Black", "Black", "Black", "unknown", "unknown", "unknown"]
    assert to_labels(pd.Series(["1", "null", "NaT", ""]), what="x").isna().tolist() == [False, True, True, True]
