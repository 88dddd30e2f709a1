import os
from pathlib import Path

import pandas as pd
import pytest

from cohort import Flow
from preprocess.text.edits import EditCounts, TextEdits
from preprocess.text.report_files import (
    NO_USABLE_TEXT,
    StudyText,
    UnusableReportError,
    caption_rule,
    chexzero_rule,
    note_fallbacks,
    official_rule,
    read_report,
    text_of_file,
    text_of_report,
    texts_of_files,
)

OFFICIAL = official_rule("impression")


def written(tmp_path, content: bytes) -> str:
    path = tmp_path / "s1.txt"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("IMPRESSION: naïve".encode("latin-1"), "byte 14"),
        ("IMPRESSION: normal".encode("utf-16"), "byte 0"),
        ("IMPRESSION: normal".encode("utf-16-le"), "character 1 is NUL"),
        (b"\n IMPRESSION: clear\xc3", "byte 19"),
        (b"\x89PNG\r\n\x1a\n\x00", "byte 0"),
    ],
)
def test_a_report_that_is_not_utf8_has_a_reason_and_a_place(tmp_path, content, place):
    path = written(tmp_path, content)
    study = text_of_file(path, OFFICIAL)
    assert (study.text, study.section_used, study.reason) == ("", "none", "report is not UTF-8")
    assert study.detail == f"report is not UTF-8: {path}, {place}"


def test_what_is_no_readable_file_has_a_reason(tmp_path):
    def reason(path) -> str:
        return text_of_file(str(path), OFFICIAL).reason

    assert reason("") == "study has no report"
    assert reason(tmp_path / "none.txt") == "report file is missing"
    assert reason(tmp_path) == "report file cannot be read"
    assert reason("a\0b") == "report file cannot be read"
    assert reason(written(tmp_path, b"version https://git-lfs.github.com/spec/v1\n")) == "report is a Git LFS pointer"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_report_without_permission_has_a_reason(tmp_path):
    path = written(tmp_path, b"x")
    Path(path).chmod(0)
    assert text_of_file(path, OFFICIAL).reason == "report file cannot be read"


def test_one_bad_report_leaves_the_others_as_they_are(tmp_path):
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("\n IMPRESSION: Normal.\n", encoding="utf-8")
    bad.write_bytes(b"\xff")
    texts = texts_of_files([str(good), str(bad), str(good)], OFFICIAL)
    assert texts[str(good)] == StudyText(text="Normal.", section_used="impression")
    assert texts[str(bad)].reason == "report is not UTF-8"
    assert len(texts) == 2


def test_line_ends_of_all_kinds_become_newlines(tmp_path):
    assert read_report(written(tmp_path, b"a\r\nb\rc\n")) == "a\nb\nc\n"
    with pytest.raises(UnusableReportError, match="report file is missing: "):
        read_report(tmp_path / "none.txt")


def test_a_study_carries_the_reason_of_its_fallback_and_what_was_removed():
    rule = official_rule("impression", TextEdits(prior_references="phrases"))
    study = text_of_report("\n FINDINGS: Worsening edema.\n IMPRESSION: Unchanged.\n", rule)
    assert (study.text, study.section_used, study.reason) == ("Edema.", "findings", "")
    assert study.fallback == "impression: only references to prior studies"
    assert study.removed == EditCounts(phrases=1)


def test_a_study_without_usable_text_says_what_was_tried():
    study = text_of_report("\n IMPRESSION: ___\n", OFFICIAL)
    assert (study.reason, study.detail) == (NO_USABLE_TEXT, "report has no usable text by the chosen rule")
    assert study.fallback == ("impression: only de-identification marks; findings: absent; last_paragraph: absent")


def test_without_edits_no_word_is_touched():
    text = "\n IMPRESSION: Unchanged compared to ___.\n"
    for rule in (OFFICIAL, caption_rule("impression"), chexzero_rule(keep_no_impression=False)):
        assert text_of_report(text, rule).text == "Unchanged compared to ___."


def test_a_report_without_headings_is_read_whole_by_the_rule_for_captions():
    spanish = "cambi pulmonar cronic sever sin derram pleural"
    assert text_of_report(spanish, caption_rule("impression")).text == spanish
    assert text_of_report(spanish, OFFICIAL).reason == NO_USABLE_TEXT


def test_the_word_scan_says_that_there_is_no_impression():
    study = text_of_report("FINDINGS: Clear.", chexzero_rule(keep_no_impression=False))
    assert (study.reason, study.fallback) == (NO_USABLE_TEXT, "impression: absent")
    assert text_of_report("FINDINGS: Clear.", chexzero_rule(keep_no_impression=True)).text == "NO IMPRESSION"


def test_the_caption_no_impression_is_counted_as_a_fallback():
    study = text_of_report("FINDINGS: Clear.", chexzero_rule(keep_no_impression=True))
    assert (study.text, study.fallback) == ("NO IMPRESSION", "impression: absent")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A film.", "A film."),
        ("Impression: Clear.", "Clear."),
        ("a IMPRESSION: Clear.", "Clear."),
        ("", "NO IMPRESSION"),
    ],
)
def test_under_chexzero_s_rule_a_table_s_captions_are_still_captions(text, expected):
    assert text_of_report(text, chexzero_rule(keep_no_impression=True, captions=True)).text == expected


def test_the_flow_warns_when_more_than_a_few_per_cent_have_another_text():
    rule = caption_rule("impression")
    reports = ["Impression: a"] * 18 + ["Findings: b", "A caption."]
    images = pd.DataFrame({"subject_id": "1", "study_id": "1", "image_id": range(20)})

    def noted(n: int) -> list[str]:
        flow = Flow()
        texts = [text_of_report(report, rule) for report in reports[:n]]
        note_fallbacks(images[:n], texts, wanted="impression", flow=flow)
        return [f"{step.rows} {step.reason}" for step in flow.steps]

    assert noted(18) == []
    assert noted(20) == [
        "1 text is the findings, not the impression asked for (impression: absent)",
        "1 text is the full report, not the impression asked for (no heading)",
        "2 WARNING: 10% of the texts are not the impression; look at them",
    ]


def test_one_of_two_sections_that_were_asked_for_is_counted_without_a_warning():
    reports = ["Findings: a\nImpression: b", "Findings: a", "Impression: b", "A caption."]
    images = pd.DataFrame({"subject_id": "1", "study_id": "1", "image_id": range(4)})
    flow = Flow()
    note_fallbacks(images, [text_of_report(one, caption_rule("both")) for one in reports], wanted="both", flow=flow)
    assert [step.rows for step in flow.steps] == [1, 1, 1, 1]
    assert flow.steps[-1].reason == "WARNING: 25% of the texts are not findings or impression; look at them"


def test_a_pipe_in_place_of_a_report_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "s1.txt")
    with pytest.raises(UnusableReportError, match=r"report file cannot be read: .*s1.txt is not a file"):
        read_report(tmp_path / "s1.txt")
