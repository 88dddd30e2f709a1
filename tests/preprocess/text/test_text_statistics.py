import statistics

import numpy as np
import pandas as pd
import pytest

from preprocess.text.edits import EditCounts
from preprocess.text.report_files import NO_USABLE_TEXT, StudyText
from preprocess.text.text_statistics import COLUMNS, text_statistics

STUDIES = [
    StudyText(text="No acute process.", section_used="impression"),
    StudyText(text="No acute process.", section_used="impression"),
    StudyText(
        text="1. The heart is enlarged. 2. No effusion.", section_used="impression", removed=EditCounts(phrases=2)
    ),
    StudyText(text="Seen by Dr. ___.", section_used="findings", fallback="impression: absent"),
    StudyText(text="sin derram pleural", section_used="full report", removed=EditCounts(sentences=3, marks=1)),
    StudyText(reason=NO_USABLE_TEXT, fallback="impression: absent"),
    StudyText(reason="report is not UTF-8"),
]


def row(table: pd.DataFrame, by: str, value: str) -> pd.Series:
    found = table[(table["by"] == by) & (table["value"] == value)]
    assert len(found) == 1
    return found.iloc[0]


def test_every_grouping_covers_every_study_once():
    table = text_statistics(STUDIES)
    assert tuple(table.columns) == COLUMNS
    assert table.groupby("by")["texts"].sum().eq(len(STUDIES)).all()
    assert np.allclose(table.groupby("by")["share"].sum(), 1.0, atol=5e-4)


def test_the_numbers_of_a_group_are_those_of_its_texts():
    texts = [study.text for study in STUDIES if study.text]
    all_of_them = row(text_statistics(STUDIES), "all", "all")
    words = [len(text.split(" ")) for text in texts]
    assert all_of_them["words_median"] == statistics.median(words)
    assert (all_of_them["words_min"], all_of_them["words_max"]) == (min(words), max(words))
    assert all_of_them["words_p95"] == pytest.approx(np.percentile(words, 95))
    assert all_of_them["sentences_median"] == 1
    assert all_of_them["distinct"] == 4
    assert (all_of_them["with_marks"], all_of_them["edited"]) == (1, 2)
    removed = ["phrases_removed", "sentences_removed", "marks_removed"]
    assert all_of_them[removed].tolist() == [2, 3, 1]


def test_sections_languages_fallbacks_and_reasons_are_counted():
    counts = text_statistics(STUDIES).set_index(["by", "value"])["texts"]
    assert counts["section_used"].to_dict() == {"impression": 3, "none": 2, "findings": 1, "full report": 1}
    assert counts["language"].to_dict() == {"en": 4, "no text": 2, "es": 1}
    assert counts["fallback"].to_dict() == {"not needed": 5, "impression: absent": 2}
    assert counts["reason"].to_dict() == {"usable": 5, "report has no usable text": 1, "report is not UTF-8": 1}


def test_a_group_without_texts_has_counts_but_no_lengths():
    bad = row(text_statistics(STUDIES), "reason", "report is not UTF-8")
    assert (bad["texts"], bad["distinct"]) == (1, 0)
    assert np.isnan(bad["words_median"])


def test_the_table_does_not_depend_on_the_order_of_the_studies():
    pd.testing.assert_frame_equal(text_statistics(STUDIES), text_statistics(STUDIES[::-1]))


def test_no_studies_give_one_row_of_zeros():
    table = text_statistics([])
    assert table["by"].tolist() == ["all"]
    assert table["texts"].tolist() == [0]
