import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort.demographics import insurance
from cohort.demographics.ages import age_at_study, parse_ages
from cohort.demographics.insurance import insurance_by_study, study_time
from cohort.demographics.race import CONFLICT, race_by_patient, raw_by_patient
from cohort.flow import Flow
from cohort.sources.words import add_views
from cohort.value_tables import TABLES, read_value_table


def ages_of(anchor_age, anchor_year, study_date):
    columns = [pd.Series([value], dtype=str) for value in (anchor_age, anchor_year, study_date)]
    return age_at_study(*columns).iloc[0]


@pytest.mark.parametrize(
    ("anchor_age", "anchor_year", "study_date", "age", "reason", "top"),
    [
        ("52", "2180", "21800506", 52, "", ""),
        ("52", "2180", "21831231", 55, "", ""),
        ("52", "2180", "21760101", 48, "", ""),
        ("91", "2130", "21320101", 93, "", "yes"),
        ("91", "2130", "21250101", None, "top-coded at the anchor, film of an earlier year", "yes"),
        ("91", "2130", "21300101", 91, "", "yes"),
        ("89", "2130", "21330101", 92, "", ""),
        ("0", "2150", "21500101", 0, "", ""),
        ("18", "2180", "21600101", None, "negative", ""),
        ("91", "2130", "21600101", None, "over 120", "yes"),
        ("", "", "21800506", None, "no MIMIC-IV patient", ""),
        ("52", "2180", "2180-05-06", None, "unparsable date or anchor", ""),
        ("52", "2180", "", None, "unparsable date or anchor", ""),
        ("old", "2180", "21800506", None, "unparsable date or anchor", ""),
    ],
)
def test_age_at_study_moves_with_the_years_since_the_anchor(anchor_age, anchor_year, study_date, age, reason, top):
    row = ages_of(anchor_age, anchor_year, study_date)
    assert row["age_reason"] == reason
    assert row["age_top_coded"] == top
    assert (pd.isna(row["age_years"]) and age is None) or row["age_years"] == age


@pytest.mark.parametrize(
    ("text", "age", "reason"),
    [
        ("63", 63, ""),
        (" 0.5 ", 0.5, ""),
        ("063Y", 63, ""),
        ("007M", 7 / 12, ""),
        ("010D", 10 / 365.25, ""),
        ("002W", 14 / 365.25, ""),
        ("", None, "not given"),
        ("414", None, "over 120"),
        ("-3", None, "negative"),
        ("inf", None, "unparsable"),
        ("nan", None, "not given"),
        ("sixty", None, "unparsable"),
    ],
)
def test_ages_are_read_in_years_and_in_dicoms_spelling(text, age, reason):
    row = parse_ages(pd.Series([text])).iloc[0]
    assert row["age_reason"] == reason
    assert (pd.isna(row["age_years"]) and age is None) or row["age_years"] == pytest.approx(age)


def test_race_is_one_per_patient_and_unknown_yields_to_known():
    records = pd.DataFrame(
        [
            ("1", "White"),
            ("1", ""),
            ("2", "White"),
            ("2", "Other"),
            ("3", ""),
            ("4", "Black"),
            ("4", "Black"),
        ],
        columns=["subject", "group"],
    )
    expected = {"1": "White", "2": CONFLICT, "3": "", "4": "Black"}
    assert race_by_patient(records["subject"], records["group"]).to_dict() == expected


records = st.lists(st.tuples(st.sampled_from("1234"), st.sampled_from(["", "White", "Black", "Asian"])), min_size=1)


@given(records, st.randoms())
def test_the_order_of_records_never_decides_a_race(drawn, random):
    """The oracle is the policy in plain sets."""
    expected = {}
    for subject in {subject for subject, _ in drawn}:
        known = {group for other, group in drawn if other == subject} - {""}
        expected[subject] = CONFLICT if len(known) > 1 else next(iter(known), "")
    shuffled = pd.DataFrame(random.sample(drawn, len(drawn)), columns=["subject", "group"])
    assert race_by_patient(shuffled["subject"], shuffled["group"]).to_dict() == expected


def test_the_raw_words_of_a_patient_are_all_kept():
    subjects, words = pd.Series(list("1112")), pd.Series(["WHITE", "ASIAN", "WHITE", ""])
    assert raw_by_patient(subjects, words).to_dict() == {"1": "ASIAN | WHITE"}


def brute_force(taken, subject, admissions):
    """Insurance by walking over every admission of the patient: the definition, slowly."""
    if pd.isna(taken):
        return "", ""
    candidates = []
    for stay in admissions.itertuples():
        if stay.subject_id != subject or pd.isna(stay.admittime):
            continue
        end = stay.admittime if pd.isna(stay.dischtime) else max(stay.admittime, stay.dischtime)
        if stay.admittime <= taken <= end:
            order = (0, 0.0)
        elif not pd.isna(stay.edregtime) and not pd.isna(stay.edouttime) and stay.edregtime <= taken <= stay.edouttime:
            order = (1, 0.0)
        else:
            distance = stay.admittime - taken if taken < stay.admittime else taken - end
            order = (2, distance.total_seconds())
        candidates.append((*order, stay.admittime, stay.hadm_id, stay.insurance))
    if not candidates:
        return "", ""
    best = min(candidates)
    return best[4], ("admission", "emergency", "nearest")[best[0]]


def moments(rng, n, days):
    """Draw days, a tenth of them missing."""
    drawn = pd.Series(pd.Timestamp("2180-01-01") + pd.to_timedelta(rng.integers(0, days, n), unit="D"))
    return drawn.mask(rng.random(n) < 0.1)


@pytest.mark.parametrize("seed", range(3))
def test_insurance_is_that_of_the_admission_which_contains_the_study(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    n_stays, n_studies, days = 150, 200, 12
    admissions = pd.DataFrame(
        {
            "subject_id": rng.choice(list("abcdefghijklmnopqrstuvwxyz"), n_stays),
            "hadm_id": [f"h{number}" for number in rng.permutation(n_stays)],
            **{name: moments(rng, n_stays, days) for name in ("admittime", "dischtime", "edregtime", "edouttime")},
            "insurance": rng.choice(["Medicare", "Medicaid", "Other", ""], n_stays),
        }
    )
    studies = pd.DataFrame({"subject_id": rng.choice(list("abcdefghijklmnopqrstuvwxyz0"), n_studies)})
    studies = studies.assign(taken=moments(rng, n_studies, days + 5)).set_axis(range(10, 10 + n_studies))
    monkeypatch.setattr(insurance, "STUDIES_AT_A_TIME", 30)  # Blocks must not show.
    found = insurance_by_study(studies, admissions)
    assert found.index.equals(studies.index)
    expected = [brute_force(row.taken, row.subject_id, admissions) for row in studies.itertuples()]
    assert list(zip(found["raw_insurance"], found["insurance_link"], strict=True)) == expected
    assert set(found["insurance_link"]) == {"admission", "emergency", "nearest", ""}


@pytest.mark.parametrize(
    ("date", "time", "moment"),
    [
        ("21800506", "213014.531", "2180-05-06 21:30:14.531"),
        ("21800506", "91500.0", "2180-05-06 09:15:00"),
        ("21800506", "5", "2180-05-06 00:00:05"),
        ("21800506", "", "2180-05-06 12:00:00"),
        ("21800506", "soon", "2180-05-06 12:00:00"),
        ("2180", "120000", None),
        ("21801332", "120000", None),
    ],
)
def test_study_times_are_read_without_their_leading_zeros(date, time, moment):
    read = study_time(pd.Series([date]), pd.Series([time])).iloc[0]
    assert pd.isna(read) if moment is None else abs(read - pd.Timestamp(moment)) < pd.Timedelta(milliseconds=1)


def test_the_race_tables_say_what_the_published_word_lists_say():
    v2, v1 = read_value_table("race_mimic_v2.csv"), read_value_table("race_mimic_v1.csv")
    assert len(v2.groups) == 34, "33 words and nothing"
    assert len(v1.groups) == 9
    words = pd.Series(["BLACK/CAPE VERDEAN", "HISPANIC/LATINO - COLUMBIAN", "UNABLE TO OBTAIN", "", "OTHER", "white "])
    assert v2.translate(words).tolist() == ["Black", "Hispanic", "", "", "Other", "White"]
    groups = {"White", "Black", "Asian", "Hispanic", "AIAN", "NHPI", "Multiple", "Other", ""}
    assert set(v2.groups.values()) == groups
    assert set(v1.groups.values()) == groups - {"NHPI", "Multiple"}
    shared = set(v1.groups) & set(v2.groups)
    assert {word: v1.groups[word] for word in shared} == {word: v2.groups[word] for word in shared}


@pytest.mark.parametrize("name", sorted(table.name for table in TABLES.glob("*.csv")))
def test_every_shipped_table_can_be_read(name):
    table = read_value_table(name)
    assert table.name == name
    assert "Unknown" not in table.groups.values()


def test_views_and_sexes_are_translated_and_the_unlisted_are_counted():
    views = read_value_table("view.csv")
    raw = pd.Series(["PA", "ap supine", "LL", "AP LLD", "", "frontal", "SKYLINE", "SKYLINE"])
    assert views.translate(raw, unlisted="OTHER").tolist() == [
        *("PA", "AP_SUPINE", "LATERAL", "OTHER", "UNKNOWN", "FRONTAL", "OTHER", "OTHER")
    ]
    assert views.unlisted(raw).to_dict() == {"SKYLINE": 2}
    sexes = read_value_table("sex.csv").translate(pd.Series(["Female", "w", "m", "", "x"]))
    assert sexes.tolist() == ["F", "F", "M", "", ""]


def test_a_table_of_ones_own_is_read_by_its_path(tmp_path):
    (tmp_path / "mine.csv").write_text("raw,group\nA,Asian\nB,Unknown\n")
    assert read_value_table(tmp_path / "mine.csv").groups == {"a": "Asian", "b": ""}
    (tmp_path / "twice.csv").write_text("raw,group\nA,Asian\na,Black\n")
    with pytest.raises(ValueError, match="1 ids occur more than once: 'a'"):
        read_value_table(tmp_path / "twice.csv")
    with pytest.raises(FileNotFoundError, match=r"neither a file nor one of 'ethnicity_chexpert.csv'"):
        read_value_table("race_of_nobody.csv")


def test_ages_and_anchors_agree_with_plain_arithmetic():
    rng = np.random.default_rng(0)
    anchor, year, study = rng.integers(0, 92, 500), rng.integers(2110, 2200, 500), rng.integers(2110, 2200, 500)
    dates = [f"{y}{m:02d}15" for y, m in zip(study, itertools.cycle(range(1, 13)), strict=False)]
    read = age_at_study(pd.Series(anchor).astype(str), pd.Series(year).astype(str), pd.Series(dates))
    for row, (a, y, s) in enumerate(zip(anchor, year, study, strict=True)):
        expected = a + s - y
        got = read["age_years"].iloc[row]
        is_known = 0 <= expected <= 120 and not (a >= 90 and s < y)
        assert got == expected if is_known else np.isnan(got)


@pytest.mark.parametrize(
    ("raw", "view"),
    [
        ("Frontal", "FRONTAL"),
        ("frontal view", "FRONTAL"),
        ("PA view", "PA"),
        ("P.A.", "PA"),
        ("A.P. portable", "AP"),
        ("Chest PA (erect)", "PA"),
        ("AP portable", "AP"),
        ("portable_AP", "AP"),
        ("AP portable supine", "AP_SUPINE"),
        ("Postero-anterior", "PA"),
        ("Lateral view", "LATERAL"),
        ("nan", "UNKNOWN"),
        ("Portable", "OTHER"),
        ("PA and lateral", "OTHER"),
    ],
)
def test_words_beside_a_view_do_not_change_it(raw, view):
    frame = pd.DataFrame({"subject_id": ["1"], "study_id": ["1"]})
    found = add_views(frame, pd.Series([raw]), Flow())
    assert found[["view", "raw_view"]].loc[0].tolist() == [view, raw]
