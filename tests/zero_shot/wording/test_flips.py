"""Rank flips, on tables small enough to be counted by hand."""

import numpy as np
import pandas as pd
import pytest

from zero_shot.wording.flips import rank_flips

NOTHING = np.zeros(4)


def aurocs(**by_model):
    rows = []
    for model, values in by_model.items():
        for place, value in enumerate(values):
            rows.append(
                {"model": model, "finding": "Edema", "prompt": f"p{place}", "auroc": value, "is_default": place == 0}
            )
    return pd.DataFrame(rows)


def flips(**by_model):
    return rank_flips(aurocs(**by_model), {model: {"Edema": NOTHING} for model in by_model})


def test_flips_are_counted_and_named():
    row = flips(a=[0.9, 0.8, 0.7, 0.6], b=[0.8, 0.7, 0.7, 0.9]).iloc[0]
    assert row[["first", "second", "finding"]].tolist() == ["a", "b", "Edema"]
    assert row[["n_prompts", "first_better", "second_better", "equal"]].tolist() == [4, 2, 1, 1]
    assert (row["share"], row["prompts"]) == (0.25, "p3")
    assert row["difference"] == pytest.approx(0.1)


def test_exchanging_the_models_exchanges_the_counts_and_names_the_same_prompts():
    one, other = ([0.9, 0.8, 0.7, 0.6], [0.8, 0.7, 0.7, 0.9])
    there, back = flips(a=one, b=other).iloc[0], flips(b=other, a=one).iloc[0]
    assert (there["first_better"], there["second_better"]) == (back["second_better"], back["first_better"])
    assert (there["share"], there["prompts"]) == (back["share"], back["prompts"])


def test_in_a_draw_the_prompts_of_the_second_are_named():
    row = flips(a=[0.9, 0.5], b=[0.8, 0.6]).iloc[0]
    assert (row["share"], row["prompts"]) == (0.5, "p1")


def test_an_order_that_never_turns_has_no_flips():
    assert flips(a=[0.9, 0.8], b=[0.7, 0.8]).iloc[0][["share", "prompts"]].tolist() == [0.0, ""]


def test_every_pair_of_models_is_compared_once():
    table = flips(a=[0.9], b=[0.8], c=[0.7])
    assert list(zip(table["first"], table["second"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]


def test_an_undefined_prompt_is_not_counted():
    row = flips(a=[0.9, np.nan], b=[0.8, np.nan]).iloc[0]
    assert (row["n_prompts"], row["equal"], row["share"]) == (1, 0, 0.0)


def test_the_interval_is_of_the_paired_difference():
    rng = np.random.default_rng(0)
    common = rng.normal(0.8, 0.1, 500)
    replicates = {"a": {"Edema": common + 0.01}, "b": {"Edema": common}}
    row = rank_flips(aurocs(a=[0.81], b=[0.8]), replicates).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((0.01, 0.01))


def test_models_that_were_asked_different_prompts_are_refused():
    table = aurocs(a=[0.9, 0.8], b=[0.8, 0.7])
    table.loc[3, "prompt"] = "another"
    with pytest.raises(ValueError, match="a and b have different prompts for 'Edema'"):
        rank_flips(table, {"a": {}, "b": {}})
