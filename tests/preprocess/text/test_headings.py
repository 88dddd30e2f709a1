"""Reports that are not typed as MIMIC-CXR's: every expected text is written out."""

import csv
from itertools import pairwise

import pytest

from preprocess.text.headings import find_headings, known_section
from preprocess.text.report_files import read_report
from preprocess.text.sections import choose_caption, choose_text, split_any_layout, split_sections

IMPRESSION = "No acute disease."

TYPINGS = [
    "INDICATION: 60M, pneumonia?\nIMPRESSION: No acute disease.",
    "Indication: 60M, pneumonia?\nImpression: No acute disease.",
    "indication: 60M, pneumonia?\nimpression: No acute disease.",
    "\tINDICATION:\t60M, pneumonia?\n\tIMPRESSION:\tNo acute disease.",
    "INDICATION: 60M, pneumonia? FINDINGS: Clear. IMPRESSION: No acute disease.",
    "Indication: 60M, pneumonia? Findings: Clear. Impression: No acute disease.",
    "INDICATION: 60M, cough FINDINGS: Clear lungs IMPRESSION: No acute disease.",
    "INDICATION\n60M, pneumonia?\nIMPRESSION\nNo acute disease.",
    "Indication\n60M, pneumonia?\n\nImpression\nNo acute disease.",
    "60M, pneumonia?\n\nimpression\nNo acute disease.",
    "INDICATION:\r\n60M\r\nIMPRESSION:\r\nNo acute disease.",
    "**Indication:** 60M\n\n**Impression:** No acute disease.",
    "## Indication\n60M\n## Impression\nNo acute disease.",
    "<b>IMPRESSION:</b> No acute disease.",
    "[IMPRESSION] : No acute disease.",
    "INDICATION:60M\nIMPRESSION:No acute disease.",
    "INDICATION - 60M\nIMPRESSION - No acute disease.",
    "INDICATION  60M\nIMPRESSION  No acute disease.",
    "History: 60M\nConclusion: No acute disease.",
    "Clinical details: 60M\nReport: Clear.\nOpinion: No acute disease.",
    "IMPRESSION: No acute disease.\nDictated by: Dr. Who",
    "IMPRESION: No acute disease.\nElectronically signed by: Dr. Who",
    "FINAL IMPRESSION: No acute disease.",
    "NDICATION: 60M\nIMPRESSION: No acute disease.",
    "CLINICAL IMPRESSION: Heart failure?\nIMPRESSION: No acute disease.",
    "Impression: No acute disease.\nClinical impression: Heart failure?",
    "PRIOR IMPRESSION: Pneumonia.\nIMPRESSION: No acute disease.",
    "PRELIMINARY IMPRESSION: Pneumonia.\nIMPRESSION: No acute disease.",
    "IMPRESSION: No acute disease.\nADDENDUM: x\nIMPRESSION: No acute disease.",
    "Indication; 60M\nFindings; Clear.\nImpression; No acute disease.",
    "__INDICATION__: 60M\n__IMPRESSION__: No acute disease.",
    "INDICATION: 60M.<br/>FINDINGS: Clear.<br>IMPRESSION: No acute disease.",
    "INDICATION: 60M\\nFINDINGS: Clear\\r\\nIMPRESSION: No acute disease.",
    "Ind: 60M\nImp: No acute disease.",
    "CXR 60M chest pain. Imp: No acute disease.",
    "Clin. Ind.: 60M\nImpr.: No acute disease.",
    "INDICATION: 60M\nIMPRESSION: No acute disease.\nEND OF REPORT\nSigned 12/12/2012",
]


@pytest.mark.parametrize("report", TYPINGS)
def test_the_impression_is_found_however_it_is_typed(report):
    choice = choose_caption(report)
    assert (choice.text, choice.section_used, choice.fallback) == (IMPRESSION, "impression", "")


@pytest.mark.parametrize(
    ("report", "wanted", "expected"),
    [
        (" FINDINGS: a.\n IMPRESSION: One.\n ADDENDUM: x\n IMPRESSION: Two.\n", "impression", "One. Two."),
        ("Findings: One.\nImpression: a\nFindings: Two.", "findings", "One. Two."),
        (
            "\n FINDINGS:\n LUNGS: Clear.\n HEART: Enlarged.\n IMPRESSION: a\n",
            "findings",
            "LUNGS: Clear. HEART: Enlarged.",
        ),
        ("\n FINDINGS: LUNGS: Clear.\n HEART: Enlarged.\n", "findings", "LUNGS: Clear. HEART: Enlarged."),
        (
            "FINDINGS:\nTubes and lines: None.\nBones: Old fracture.\n",
            "findings",
            "Tubes and lines: None. Bones: Old fracture.",
        ),
        ("IMPRESSION:\n1. COPD: stable.\n2. LUNGS: Clear.", "impression", "1. COPD: stable. 2. LUNGS: Clear."),
        ("INDICATION: Cough.\nLUNGS: Clear.\nHEART: Enlarged.", "findings", "LUNGS: Clear. HEART: Enlarged."),
        ("CHEST, TWO VIEWS: ___\nFINDINGS: Clear.", "findings", "Clear."),
        ("PRELIMINARY IMPRESSION: Pneumonia.", "impression", "Pneumonia."),
        ("Indication: Cough.\n\nThe lungs are clear.\n\nDictated by: Dr. Who", "impression", "The lungs are clear."),
    ],
)
def test_sections_end_where_the_next_section_begins(report, wanted, expected):
    assert choose_text(split_any_layout(report), wanted).text == expected


@pytest.mark.parametrize(
    "report",
    [
        "CLINICAL IMPRESSION: Heart failure?\nINDICATION: Cough.",
        "Referring physician's impression: Pneumonia.\nIndication: Cough.",
        "NDICATION: Heart failure?",
        "IDICATION: Heart failure?",
        "Previous findings: Effusion.\nReason for exam: Cough.",
    ],
)
def test_what_is_asked_is_never_taken_for_the_answer(report):
    assert choose_caption(report).text == ""


@pytest.mark.parametrize(
    "caption",
    [
        "Chest X-ray: a film of a child.",
        "No acute preoperative findings.",
        "The film shows an\nimpression of\nthe diaphragm.",
        "Note: the findings are consistent with\nfindings of others",
        "Compression: old fracture.",
    ],
)
def test_a_caption_has_no_headings(caption):
    choice = choose_caption(caption)
    assert (choice.text, choice.section_used) == (" ".join(caption.split()), "full report")


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("Imression", "impression"),
        ("impresssion", "impression"),
        ("IMPRESSOIN", "impression"),
        ("Comparisn", "comparison"),
        ("Compression", None),
        ("Depression", None),
        ("Radiologist's impression", "impression"),
        ("Working diagnosis", None),
        ("ED impression", "indication"),
        ("Impression of", None),
        ("", None),
    ],
)
def test_one_wrong_letter_and_a_qualifying_word_are_understood(heading, section):
    assert known_section(heading) == section


@pytest.mark.golden
def test_golden_reports_with_one_impression_each_in_mimic_s_layout_give_the_official_text(golden):
    folder = golden / "impressions"
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as file:
        reports = {case["filename"]: read_report(folder / case["path"]) for case in csv.DictReader(file)}
    compared = 0
    for name, report in reports.items():
        official = choose_text(split_sections(report))
        names = [section.name for section in split_sections(report)]
        if official.section_used == "impression" and names.count("impression") == 1 and name != "s50000062.txt":
            assert choose_text(split_any_layout(report)) == official, name
            compared += 1
    assert compared > 30


def test_headings_do_not_overlap_and_stand_in_order():
    headings = find_headings("**FINDINGS:** a. Impression: b\nCOMPARISON\nNone")
    assert [heading.name for heading in headings] == ["findings", "impression", "comparison"]
    assert all(one.end <= other.start for one, other in pairwise(headings))
