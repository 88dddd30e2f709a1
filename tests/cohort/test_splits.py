import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort.splits import split_by_patient

SHARES = {"train": 0.7, "validate": 0.1, "test": 0.2}


@given(st.lists(st.integers(0, 60).map(str), min_size=1, max_size=200), st.integers(0, 5))
def test_no_patient_is_ever_on_two_sides(drawn, seed):
    subjects = [*drawn, *map(str, range(20))]
    splits = split_by_patient(subjects, fractions=SHARES, seed=seed)
    sides = pd.DataFrame({"subject": subjects, "split": splits}).groupby("subject")["split"].nunique()
    assert (sides == 1).all()
    assert set(splits) == set(SHARES)


@given(st.lists(st.integers(0, 40).map(str), min_size=30, max_size=80), st.randoms())
def test_a_patients_side_does_not_depend_on_the_order_or_number_of_rows(drawn, random):
    subjects = [*drawn, *map(str, range(15))]
    shuffled = random.sample(subjects, len(subjects)) + drawn
    first = dict(zip(subjects, split_by_patient(subjects, fractions=SHARES, seed=3), strict=True))
    second = dict(zip(shuffled, split_by_patient(shuffled, fractions=SHARES, seed=3), strict=True))
    assert first == second


def test_shares_are_those_asked_for_and_the_seed_matters():
    subjects = pd.Series([f"p{number}" for number in range(1000)], index=range(5, 1005))
    splits = split_by_patient(subjects, fractions=SHARES, seed=0)
    assert splits.value_counts().to_dict() == {"train": 700, "validate": 100, "test": 200}
    assert splits.index.equals(subjects.index)
    assert splits.equals(split_by_patient(subjects, fractions=SHARES, seed=0))
    assert not splits.equals(split_by_patient(subjects, fractions=SHARES, seed=1))


@pytest.mark.parametrize("fractions", [{}, {"train": 0.9}, {"train": 1.5, "test": -0.5}, {"train": 1.0, "test": 0.0}])
def test_shares_that_make_no_whole_are_refused(fractions):
    with pytest.raises(ValueError, match="wanted positive shares that sum to 1"):
        split_by_patient(["a", "b"], fractions=fractions, seed=0)


def test_too_few_patients_and_blank_patients_are_refused():
    with pytest.raises(ValueError, match="2 patients are too few"):
        split_by_patient(["a", "b"], fractions=SHARES, seed=0)
    with pytest.raises(ValueError, match="have no subject_id"):
        split_by_patient(["a", ""], fractions=SHARES, seed=0)


def test_two_spellings_of_one_patient_fall_on_one_side():
    ids = [spelling.format(number) for number in range(100, 200) for spelling in ("{}", "{}.0", "p{}")]
    split = split_by_patient(ids, fractions={"train": 0.5, "test": 0.5}, seed=0)
    assert (split.to_numpy().reshape(100, 3) == split.to_numpy()[::3, None]).all()
    assert split.value_counts().to_dict() == {"train": 150, "test": 150}
    plain = split_by_patient(ids[::3], fractions={"train": 0.5, "test": 0.5}, seed=0)
    assert plain.tolist() == split.tolist()[::3], "the split of plain ids is as it was"
