"""Anything that can stand in a file goes through reading, sectioning, editing and counting: bounded, and slow."""

import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preprocess.text.edits import TextEdits
from preprocess.text.impressions import chexzero_impression
from preprocess.text.report_files import caption_rule, chexzero_rule, official_rule, text_of_file, text_of_report
from preprocess.text.text_statistics import text_statistics

pytestmark = pytest.mark.slow
FUZZ = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

WORDS = [
    "IMPRESSION:",
    "FINDINGS:",
    "COMPARISON:",
    "RECOMMENDATION(S):",
    "NOTIFICATION:",
    "ADDENDUM:",
    "WET",
    "READ:",
    "(IMPRESSION:",
    "CHEST,",
    "___",
    "XXXX",
    "____",
    "1.",
    "(2)",
    "N/A",
    "none",
    "see",
    "above.",
    "no",
    "new",
    "unchanged",
    "stable",
    "compared",
    "to",
    "prior",
    "study",
    "since",
    "is",
    "are",
    "and",
    "but",
    "effusion,",
    "edema.",
    ";",
    "interval",
    "change",
    "removed",
    "again",
    "previously",
    "seen",
    "Dr.",
    "p.m.",
    "a",
    "an",
    "the",
    "worsening",
    "from",
]
PIECES = st.sampled_from([*WORDS, "\n", "\n ", "\n \n", "\r\n", "\t", "\x0b", "\u2028", "\ufeff", "\u00a0"]) | st.text(
    max_size=6
)
REPORTS = st.lists(PIECES, max_size=80).flatmap(
    lambda pieces: st.sampled_from(["", " ", "\n "]).map(lambda between: between.join(pieces))
)
WANTED = st.sampled_from(["impression", "findings", "both"])
EDITS = st.builds(
    TextEdits,
    prior_references=st.sampled_from(["keep", "phrases", "sentences"]),
    deidentification_marks=st.sampled_from(["keep", "remove"]),
)


@FUZZ
@given(REPORTS, WANTED, EDITS)
def test_any_report_gives_one_line_of_text_or_a_reason(report, wanted, edits):
    for rule in (official_rule(wanted, edits), caption_rule(wanted, edits), chexzero_rule(keep_no_impression=False)):
        study = text_of_report(report, rule)
        assert bool(study.text) == (study.section_used != "none") == (not study.reason)
        assert study.text == " ".join(study.text.split())
        assert study.text or study.fallback
        assert text_statistics([study])["texts"].iloc[0] == 1


@FUZZ
@given(REPORTS, WANTED)
def test_without_edits_every_word_of_the_text_stands_in_the_report_in_this_order(report, wanted):
    study = text_of_report(report, caption_rule(wanted))
    if study.section_used != "findings+impression":
        # Several impressions are joined, so that a heading may stand between two words of the text.
        letters = iter(report)
        assert all(letter in letters for letter in "".join(study.text.split()))


@FUZZ
@given(st.binary(max_size=400) | REPORTS.map(lambda report: report.encode("utf-8")))
def test_any_bytes_are_read_or_refused_with_a_reason(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s1.txt")
        path.write_bytes(content)
        study = text_of_file(str(path), official_rule("both"))
    assert bool(study.text) != bool(study.reason)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        assert study.reason == "report is not UTF-8"


@FUZZ
@given(REPORTS)
def test_the_word_scan_gives_words_of_the_report(report):
    words = set(report.split()) | {"NO", "IMPRESSION"}
    assert set(chexzero_impression(report).split()) <= words


@pytest.mark.parametrize(
    "piece",
    [
        "\n ",
        "\n A",
        " ",
        "A",
        ",",
        ": ",
        "; ,",
        "___",
        "XXXX",
        "(",
        "no ",
        "new ",
        "again ",
        "the prior ",
        "1. ",
        "12/1",
        "2012 ",
        "___ on ",
        "prior ___ ",
    ],
)
def test_the_time_grows_with_the_length_and_not_with_its_square(piece):
    rule = caption_rule("both", TextEdits(prior_references="phrases", deidentification_marks="remove"))

    def seconds(n: int) -> float:
        started = time.process_time()
        text_of_report(f"\n IMPRESSION: a{piece * n}b. {f'{piece * 10}. ' * (n // 10)}\n", rule)
        return time.process_time() - started

    seconds(10)
    assert seconds(4000) < 12 * max(seconds(1000), 0.02)
