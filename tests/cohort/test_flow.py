import doctest
from importlib import import_module

import pandas as pd
import pytest

from cohort.flow import Flow


def images(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(n)],
            "study_id": [f"s{row // 2}" for row in range(n)],
            "subject_id": [f"p{row // 4}" for row in range(n)],
        }
    )


def test_each_line_counts_what_went_and_what_remains(tmp_path):
    flow = Flow()
    frame = images(8)
    flow.start(frame, "listed")
    frame = flow.keep(frame, frame["image_id"].ne("i0"), "broken")
    frame = flow.keep(frame, frame["subject_id"].eq("p1"), "other patient")
    flow.note(frame, "no age", rows=2)
    flow.note(frame, "never seen", rows=0)
    flow.write(tmp_path / "flow.csv")
    expected = (
        "step,reason,rows,images,studies,patients\n"
        "start,listed,8,8,4,2\n"
        "left out,broken,1,7,4,2\n"
        "left out,other patient,3,4,2,1\n"
        "noted,no age,2,4,2,1\n"
    )
    assert (tmp_path / "flow.csv").read_text() == expected
    assert frame.index.tolist() == [0, 1, 2, 3]


def test_a_rule_that_leaves_nobody_out_is_written_too():
    flow = Flow()
    flow.keep(images(2), images(2)["image_id"].ne(""), "no id")
    assert flow.to_frame()["rows"].tolist() == [0]


def test_study_numbers_of_different_patients_are_different_studies():
    frame = images(4).assign(study_id="1", subject_id=["a", "a", "b", "b"])
    flow = Flow()
    flow.start(frame, "listed")
    assert flow.steps[0].studies == 2


@pytest.mark.parametrize("mask", [pd.Series([True]), pd.Series([1, 0]), pd.Series([True, None])])
def test_a_mask_that_is_none_is_refused(mask):
    with pytest.raises(ValueError, match=r"flow \(why\): wanted 2 true/false values"):
        Flow().keep(images(2), mask, "why")


@pytest.mark.parametrize("module", ["flow", "groups"])
def test_the_examples_in_the_docstrings_hold(module):
    result = doctest.testmod(import_module(f"cohort.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
