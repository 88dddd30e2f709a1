import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort.groups import assign, group_table, parse_groups

AGES = "age:0,18,40,60,80,+"


def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": list("abcdef"),
            "subject_id": list("112345"),
            "age_years": [0.0, 17.99, 18.0, 80.0, 120.0, np.nan],
            "sex": ["F", "F", "M", "", "M", "F"],
            "race": ["Black", "Black", "Other", "", "conflict", "White"],
        }
    )


def test_bins_hold_their_lower_edge_and_the_last_is_open():
    assert assign(people(), parse_groups(AGES)).tolist() == ["0-18", "0-18", "18-40", "80+", "80+", "unknown"]


def test_unknown_is_a_group_and_not_other():
    assert assign(people(), parse_groups("race")).tolist() == [
        "Black",
        "Black",
        "Other",
        "unknown",
        "conflict",
        "White",
    ]
    assert assign(people(), parse_groups("sex")).tolist() == ["F", "F", "M", "unknown", "M", "F"]


def test_attributes_are_crossed_by_a_star():
    spec = parse_groups("race * sex")
    assert spec.name == "race*sex"
    names = assign(people(), spec).tolist()
    assert names == ["Black x F", "Black x F", "Other x M", "unknown x unknown", "conflict x M", "White x F"]
    crossed = parse_groups("age:0,40,+*sex")
    assert crossed.name == "age*sex"
    assert assign(people(), crossed).tolist()[2] == "0-40 x M"


def test_ages_that_no_bin_holds_are_outside_and_stay_visible():
    assert assign(people(), parse_groups("age:10,18,80")).tolist() == [
        "outside",
        "10-18",
        "18-80",
        "outside",
        "outside",
        "unknown",
    ]


def test_a_number_column_can_be_a_group_of_names():
    frame = people().assign(scanner=pd.array([1, 2, None, 1, 1, 2], dtype="Int64"))
    assert assign(frame, parse_groups("scanner")).tolist() == ["1", "2", "unknown", "1", "1", "2"]


def test_the_group_table_joins_by_image_and_patient():
    table = group_table(people(), [parse_groups("sex"), parse_groups(AGES)])
    assert list(table.columns) == ["image_id", "subject_id", "sex", "age"]
    with pytest.raises(ValueError, match="two specifications have the same name"):
        group_table(people(), [parse_groups("age:0,18,+"), parse_groups(AGES)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an attribute is empty"),
        ("race*", "an attribute is empty"),
        ("sex*sex", "an attribute is there twice"),
        ("age", "age needs edges"),
        ("age:", "are no numbers"),
        ("age:a,b", "are no numbers"),
        ("age:18", "wanted increasing edges"),
        ("age:+", "wanted increasing edges"),
        ("age:18,18,+", "wanted increasing edges"),
        ("age:40,18", "wanted increasing edges"),
        ("age:0,inf", "wanted increasing edges"),
        ("race:White,Black", "are no numbers"),
    ],
)
def test_a_specification_that_cannot_be_read_is_answered_with_examples(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_groups(text)
    assert "age:0,18,40,60,80,+" in str(caught.value)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"no column 'insurance'; found 'image_id'"):
        assign(people(), parse_groups("insurance"))


ages = st.one_of(st.none(), st.integers(0, 120).map(float), st.floats(0, 120))
edges = st.lists(st.integers(0, 110), min_size=1, max_size=6, unique=True).map(sorted)


@given(st.lists(ages, min_size=1, max_size=30), edges)
def test_every_age_is_in_the_one_bin_whose_edges_hold_it(values, bounds):
    frame = pd.DataFrame({"age_years": pd.Series(values, dtype="float64")})
    names = assign(frame, parse_groups(f"age:{','.join(map(str, bounds))},+"))
    for age, name in zip(values, names, strict=True):
        if age is None:
            assert name == "unknown"
        elif age < bounds[0]:
            assert name == "outside"
        elif name.endswith("+"):
            assert age >= bounds[-1] == int(name[:-1])
        else:
            low, high = map(int, name.split("-"))
            assert low <= age < high


@given(st.lists(st.tuples(ages, st.sampled_from(["F", "M", ""])), min_size=1, max_size=20), st.randoms())
def test_groups_do_not_depend_on_the_order_of_rows(rows, random):
    frame = pd.DataFrame(rows, columns=["age_years", "sex"]).astype({"age_years": "float64"})
    shuffled = frame.iloc[random.sample(range(len(frame)), len(frame))]
    spec = parse_groups("age:0,18,40,60,80,+*sex")
    pd.testing.assert_series_equal(assign(shuffled, spec).sort_index(), assign(frame, spec))
