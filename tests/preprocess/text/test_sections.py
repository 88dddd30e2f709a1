import csv
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preprocess.text.edits import EditCounts, TextEdits
from preprocess.text.impressions import chexzero_impression
from preprocess.text.report_files import read_report
from preprocess.text.section_names import normalise_heading
from preprocess.text.sections import (
    choose_caption,
    choose_text,
    official_conclusion,
    section_text,
    split_sections,
)


@pytest.fixture(scope="module")
def reports(golden):
    folder = golden / "impressions"
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as file:
        return {case["filename"]: read_report(folder / case["path"]) for case in csv.DictReader(file)}


@pytest.mark.golden
def test_all_sections_of_all_golden_reports_equal_the_official_parser(golden, reports):
    expected = json.loads((golden / "impressions/expected_sections_full.json").read_text(encoding="utf-8"))
    assert set(reports) == set(expected)
    for name, report in reports.items():
        sections = split_sections(report)
        ours = [{"name": section.name, "start": section.start, "text": section.text} for section in sections]
        assert ours == expected[name]["sections"], name
        assert official_conclusion(sections) == expected[name]["conclusion"], name


@pytest.mark.golden
def test_the_last_section_of_each_kind_equals_the_official_table(golden, reports):
    with (golden / "impressions/expected_sections.csv").open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    assert len(expected) == 64
    for row in expected:
        sections = split_sections(reports[row.pop("filename")])
        assert {name: section_text(sections, name) or "" for name in row} == row


@pytest.mark.golden
@pytest.mark.parametrize("number", [11, 12, 20, 29, 30, 46, 51, 58, 64])
def test_the_default_rule_keeps_impressions_that_the_word_scan_empties_or_swallows(reports, number):
    report = reports[f"s500000{number}.txt"]
    choice = choose_text(split_sections(report))
    assert choice.section_used == "impression"
    assert choice.text
    assert choice.text != chexzero_impression(report)


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("IMPRESSION", "impression"),
        ("  Conclusion ", "impression"),
        ("FINDINGS AND IMPRESSION", "impression"),
        ("PROVISIONAL FINDINGS IMPRESSION (PFI)", "impression"),
        ("IMPRESSON", "impression"),
        ("RELEVANT HISTORY", "history"),
        ("CHEST, PA AND LATERAL", "findings"),
        ("FRONTAL UPRIGHT", "findings"),
        ("RIGHT RIBS", "findings"),
        ("RECOMMENDATION(S)", "recommendations"),
        ("NOTIFICATIONS", "notifications"),
        ("DOSE", "dose"),
        (" ", ""),
    ],
)
def test_headings_are_normalised(heading, section):
    assert normalise_heading(heading) == section


def report(**sections: str) -> str:
    lines = [f" {name.replace('_', ' ').upper()}: \n \n {text}\n \n" for name, text in sections.items()]
    return " " * 33 + "FINAL REPORT\n" + "".join(lines)


def chosen(text: str, wanted="impression") -> tuple[str, str]:
    choice = choose_text(split_sections(text), wanted)
    return choice.section_used, choice.text


def test_the_impression_is_preferred_and_put_on_one_line():
    text = report(findings="Clear.", impression="No acute\n   process.")
    assert chosen(text) == ("impression", "No acute process.")
    assert chosen(text, "findings") == ("findings", "Clear.")
    assert chosen(text, "both") == ("findings+impression", "Clear. No acute process.")


def test_a_missing_section_falls_back_and_says_so():
    assert chosen(report(findings="Clear.")) == ("findings", "Clear.")
    assert chosen(report(impression="Normal."), "findings") == ("impression", "Normal.")
    assert chosen(report(impression="Normal."), "both") == ("impression", "Normal.")
    assert chosen(report(findings="Clear."), "both") == ("findings", "Clear.")
    assert chosen(" \n INDICATION: Cough.\n \n The lungs\n are clear.\n") == ("last_paragraph", "The lungs are clear.")
    assert chosen("") == ("none", "")


@pytest.mark.parametrize("empty", ["", "___", "___ / ___.", "N/A", "None.", "See above.", "1."])
def test_an_impression_that_says_nothing_is_not_used(empty):
    assert chosen(report(findings="Clear.", impression=empty)) == ("findings", "Clear.")
    assert chosen(report(impression=empty)) == ("none", "")


NO_LAST = "last_paragraph: absent"
NO_WORDS_LAST = "last_paragraph: only de-identification marks"


@pytest.mark.parametrize(
    ("sections", "wanted", "used", "fallback"),
    [
        ({"impression": "a", "findings": "b"}, "impression", "impression", ""),
        ({"impression": "a"}, "impression", "impression", ""),
        ({"findings": "b"}, "impression", "findings", "impression: absent"),
        ({"impression": " ", "findings": "b"}, "impression", "findings", "impression: absent"),
        ({"impression": "___", "findings": "b"}, "impression", "findings", "impression: only de-identification marks"),
        (
            {"impression": "XXXX.", "findings": "b"},
            "impression",
            "findings",
            "impression: only de-identification marks",
        ),
        ({"impression": "1.", "findings": "b"}, "impression", "findings", "impression: no words"),
        ({"impression": "See above.", "findings": "b"}, "impression", "findings", "impression: points elsewhere"),
        ({"impression": "a", "findings": "b"}, "findings", "findings", ""),
        ({"impression": "a"}, "findings", "impression", "findings: absent"),
        ({"impression": "a", "findings": "b"}, "both", "findings+impression", ""),
        ({"impression": "a"}, "both", "impression", "findings: absent"),
        ({"findings": "b", "impression": "n/a"}, "both", "findings", "impression: points elsewhere"),
        ({"findings": "b", "impression": "No report."}, "impression", "findings", "impression: points elsewhere"),
        ({"indication": "___"}, "both", "none", f"impression: absent; findings: absent; {NO_WORDS_LAST}"),
        ({"findings": "1."}, "findings", "none", f"findings: no words; impression: absent; {NO_LAST}"),
    ],
)
def test_every_fallback_says_why_the_wanted_section_is_not_used(sections, wanted, used, fallback):
    choice = choose_text(split_sections(report(**sections)), wanted)
    assert (choice.section_used, choice.fallback) == (used, fallback)


def test_the_last_paragraph_comes_after_both_sections_and_before_none():
    choice = choose_text(split_sections(" \n INDICATION: Cough.\n \n The lungs\n are clear.\n"))
    assert choice.section_used == "last_paragraph"
    assert choice.fallback == "impression: absent; findings: absent"


def test_a_text_taken_whole_is_a_fallback_and_says_whether_it_names_a_section():
    assert choose_caption("Chest film of a child.").fallback == "no heading"
    named = choose_caption("60M. The impression is pneumonia.")
    assert (named.section_used, named.fallback) == ("full report", "no heading, though the text names a section")


@pytest.mark.parametrize("word", ["nan", "NaN", "null", "NaT", "None", "<NA>", "unknown", "n/a."])
def test_what_programs_write_for_a_missing_text_is_no_caption(word):
    assert choose_caption(word).section_used == "none"


def test_a_caption_that_cannot_be_used_says_why():
    assert choose_caption(" ___ ").fallback == "full report: only de-identification marks"
    assert choose_caption("").fallback == "full report: absent"


def test_a_section_that_only_compares_is_passed_over_when_comparisons_are_removed():
    text = report(findings="Mild edema, unchanged since ___.", impression="No change. Stable.")
    assert chosen(text) == ("impression", "No change. Stable.")
    choice = choose_text(split_sections(text), "impression", TextEdits(prior_references="phrases"))
    assert (choice.section_used, choice.text) == ("findings", "Mild edema.")
    assert choice.fallback == "impression: only references to prior studies"
    assert choice.removed == EditCounts(phrases=1)


def test_edits_of_both_sections_are_added_up():
    text = report(findings="Worsening edema seen by Dr. ___. No change.", impression="New nodule at ___.")
    edits = TextEdits(prior_references="phrases", deidentification_marks="remove")
    choice = choose_text(split_sections(text), "both", edits)
    assert choice.text == "Edema seen. Nodule."
    assert choice.removed == EditCounts(phrases=2, sentences=1, marks=2)
    assert choose_caption("Worsening edema.", edits=edits).removed == EditCounts(phrases=1)


def test_a_text_of_which_only_the_frame_of_a_mark_is_left_is_not_used():
    choice = choose_caption("By Dr. ___.", edits=TextEdits(deidentification_marks="remove"))
    assert (choice.section_used, choice.fallback) == ("none", "full report: only de-identification marks")


def test_the_last_impression_wins_as_addenda_stand_below():
    assert (
        chosen(report(impression="First.", addendum="x", recommendations="y") + " IMPRESSION: Second.\n")[1]
        == "Second."
    )


def test_text_without_headings_is_a_caption_and_taken_whole():
    assert choose_caption("Chest X-ray\n \n of a child.").section_used == "full report"
    assert choose_caption("Chest X-ray\n \n of a child.").text == "Chest X-ray of a child."
    assert choose_caption(report(findings="a", impression="b")).text == "b"
    assert choose_caption(" \t").section_used == "none"


PIECES = st.sampled_from(
    [
        "\n",
        " ",
        "\n ",
        "\n \n",
        "IMPRESSION:",
        "FINDINGS: ",
        "\n IMPRESSION: ",
        "\n CHEST:\t",
        ":",
        "___",
        "a",
        "É",
        "(",
        "\ufeff",
        "\x00",
        "\r",
    ]
)
REPORTS = st.lists(PIECES | st.text(max_size=8), max_size=30).map("".join)


@settings(deadline=None)
@given(REPORTS)
@example("\n IMPRESSION: \n IMPRESSION: ")
@example("\n A:\n")
def test_any_text_is_cut_into_pieces_of_itself_in_order(text):
    sections = split_sections(text)
    assert sections[0].start == 0
    end = 0
    for section in sections:
        start = section.start + (3 if section.name == "last_paragraph" else 0)
        assert text[start : start + len(section.text)] == section.text
        assert start >= end
        end = start + len(section.text)


def headings_letter_by_letter(text: str) -> list[tuple[str, int]]:
    """Return (heading, start of its text) by walking through the letters: no regular expression, no search."""
    found, allowed_from, place = [], 0, 0
    while place < len(text):
        end = place + 2
        while end < len(text) and (text[end] in "ABCDEFGHIJKLMNOPQRSTUVWXYZ ()/,-"):
            end += 1
        is_heading = text.startswith("\n ", place) and end > place + 2 and text[end : end + 1] == ":"
        if is_heading and text[end + 1 : end + 2].isspace() and place >= allowed_from:
            found.append((text[place + 2 : end], end + 2))
            line_end = text.find("\n", end + 2)
            allowed_from = end + 2 if line_end == -1 else line_end
        place += 1
    return found


@settings(deadline=None)
@given(REPORTS)
def test_the_headings_are_those_found_letter_by_letter(text):
    expected = [(normalise_heading(heading), start) for heading, start in headings_letter_by_letter(text)]
    sections = split_sections(text)
    ours = [(section.name, section.start) for section in sections if section.name != "last_paragraph"]
    if not expected:
        assert [name for name, _ in ours] == ["full report"]
        return
    dropped = [one for one in expected if one not in ours]
    assert ours == [("preamble", 0), *(one for one in expected if one in ours)]
    assert all(name in {"impression", "findings"} for name, _ in dropped)


@settings(deadline=None)
@given(REPORTS, st.sampled_from(["impression", "findings"]))
def test_the_chosen_text_is_the_last_section_of_its_name_on_one_line(text, wanted):
    sections = split_sections(text)
    choice = choose_text(sections, wanted)
    if choice.section_used == "none":
        assert choice.text == ""
    else:
        last = [section.text for section in sections if section.name == choice.section_used][-1]
        assert choice.text == " ".join(last.split())
        assert choice.text
