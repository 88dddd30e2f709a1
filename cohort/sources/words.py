"""An archive's words for view, sex, race and age as the cohort's, with everything that is lost on the way counted."""

import re

import pandas as pd

from cohort.demographics.ages import parse_ages
from cohort.flow import Flow
from cohort.value_tables import read_value_table
from common.plain_values import plain_ids

_BESIDE_THE_VIEW = frozenset(
    {
        *(
            "view",
            "views",
            "projection",
            "radiograph",
            "film",
            "chest",
            "xray",
            "x",
            "ray",
            "xr",
            "cxr",
            "cr",
            "dx",
            "dr",
        ),
        *(
            "portable",
            "mobile",
            "bedside",
            "erect",
            "upright",
            "standing",
            "sitting",
            "semi",
            "semierect",
            "single",
            "one",
        ),
    }
)
"""Words that stand beside a view and do not change it."""


def translated(
    frame: pd.DataFrame, raw: pd.Series, *, what: str, table: str, flow: Flow, unlisted: str = ""
) -> pd.Series:
    """Return `raw` translated by a value table; words that it does not know become `unlisted` and are counted.

    Args:
        frame: The images, (n,).
        raw: One word per image, (n,).
        what: Name of the attribute, for the flow.
        table: Table of `cohort/tables/`, or a path.
        flow: Receives the counts.
        unlisted: Value of words that the table does not know; "" is unknown.
    """
    values = read_value_table(table)
    for word, count in values.unlisted(raw).items():
        flow.note(frame, f"{what} {str(word)!r} is not in {values.name}: {unlisted or 'unknown'}", rows=int(count))
    return values.translate(raw, unlisted=unlisted)


def add_views(frame: pd.DataFrame, raw: pd.Series, flow: Flow) -> pd.DataFrame:
    """Return the images with `view`, one of `cohort.VIEWS`, and the archive's word as `raw_view`."""
    bare = raw.map({word: _bare_view(word) for word in raw.unique()}).astype(str)
    view = translated(frame, bare, what="view", table="view.csv", flow=flow, unlisted="OTHER")
    return frame.assign(raw_view=raw, view=view)


def _bare_view(word: str) -> str:
    """Return a view without the words beside it, "AP" for "AP portable"; a word of nothing else stays as it is."""
    known = read_value_table("view.csv")
    if known.knows(word):
        return word
    undotted = word.replace(".", "")
    rest = " ".join(one for one in re.split(r"[^A-Za-z]+", undotted) if one and one.lower() not in _BESIDE_THE_VIEW)
    return rest if known.knows(rest) and rest else word


def add_sex(frame: pd.DataFrame, raw: pd.Series, flow: Flow) -> pd.DataFrame:
    """Return the images with `sex` (F, M or blank) and the archive's word as `raw_sex`."""
    sex = translated(frame, raw, what="sex", table="sex.csv", flow=flow)
    flow.note(frame, "sex unknown", rows=int(sex.eq("").sum()))
    return frame.assign(raw_sex=raw, sex=sex)


def add_ages(frame: pd.DataFrame, texts: pd.Series, flow: Flow) -> pd.DataFrame:
    """Return the images with `age_years`, and `age_reason` where it is missing; `texts` is read by `parse_ages`."""
    ages = parse_ages(texts)
    for reason, count in ages.loc[ages["age_reason"].ne(""), "age_reason"].value_counts().items():
        flow.note(frame, f"no age: {reason}", rows=int(count))
    return frame.assign(age_years=ages["age_years"], age_reason=ages["age_reason"])


def without(frame: pd.DataFrame, *names: str, flow: Flow, why: str = "not recorded in this archive") -> pd.DataFrame:
    """Return the images with blank columns for what is not known of any of them ("race", "insurance", ...)."""
    flow.note(frame, f"no {' and no '.join(names)}: {why}", rows=len(frame))
    return frame.assign(**dict.fromkeys(names, ""))


def whole_number(texts: pd.Series) -> pd.Series:
    """Return numbers without what spreadsheets add: "00000013" and "13.0" give "13"; other texts stay as they are."""
    return plain_ids(texts).str.replace(r"^0+(?=\d)", "", regex=True)
