import csv
import json

import pandas as pd
import pytest

from preprocess.output_tables import write_impressions, write_paths
from preprocess.text.impressions import NO_IMPRESSION, chexzero_impression, chexzero_training_text
from preprocess.text.report_files import read_report

# Measured on the reference. Read back, an empty or NA impression becomes one blank.
CASES = [
    (
        "FINAL REPORT\n EXAMINATION: CHEST\n\n FINDINGS: Clear.\n\n IMPRESSION: No acute\n cardiopulmonary process.\n",
        "No acute cardiopulmonary process.",
    ),
    ("FINAL REPORT\n FINDINGS: Clear lungs.\n", NO_IMPRESSION),
    ("FINDINGS: x\n IMPRESSION:No acute process.", NO_IMPRESSION),
    ("Impression: No acute process.", NO_IMPRESSION),
    ("IMPRESSION\n No acute process.", NO_IMPRESSION),
    ("IMPRESSION: first. \n ADDENDUM IMPRESSION: second one.", "second one."),
    ("IMPRESSION: Nodule. RECOMMENDATION(S): CT chest. NOTIFICATION: Dr. A", "Nodule."),
    ("IMPRESSION: Nodule. NOTIFICATION: Dr. A RECOMMENDATION(S): CT", "Nodule."),
    ("RECOMMENDATION(S): CT first. IMPRESSION: Nodule in left lung.", "Nodule in left lung."),
    ("FINDINGS: a RECOMMENDATIONS: CT. IMPRESSION: Nodule in left lung.", ""),
    ("RECOMMENDATION: CT. IMPRESSION: Nodule. NOTIFICATION: foo", "Nodule."),
    ("IMPRESSION: Nodule. RECOMMENDATION CT chest.", "Nodule. RECOMMENDATION CT chest."),
    ("IMPRESSION: A. RECOMMENDATION: B. RECOMMENDATION(S): C.", "A. RECOMMENDATION: B."),
    ("IMPRESSION:", ""),
    ("IMPRESSION: None", "None"),
    ("IMPRESSION: N/A", "N/A"),
    ("IMPRESSION: NA", "NA"),
    ('IMPRESSION: 1. Edema, mild, "new".\n2. Effusion.', '1. Edema, mild, "new". 2. Effusion.'),
    ("IMPRESSION: Compared to ___, unchanged.", "Compared to ___, unchanged."),
    ("CONCLUSION: Normal chest.", NO_IMPRESSION),
    ("IMPRESSION: (IMPRESSION: nested) text", "(IMPRESSION: nested) text"),
]


@pytest.mark.parametrize(("report", "expected"), CASES, ids=range(1, len(CASES) + 1))
def test_the_impression_is_what_the_reference_extracts(report, expected):
    assert chexzero_impression(report) == expected


@pytest.mark.parametrize(
    ("impression", "expected"), [("", " "), ("N/A", " "), ("NA", " "), ("nan", " "), ("None", "None"), ("na", "na")]
)
def test_the_training_text_of_a_missing_field_is_one_blank(impression, expected):
    assert chexzero_training_text(impression) == expected


@pytest.fixture(scope="module")
def reports(golden):
    folder = golden / "impressions"
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as file:
        return {case["filename"]: read_report(folder / case["path"]) for case in csv.DictReader(file)}


@pytest.mark.golden
def test_the_csv_file_equals_the_reference_byte_for_byte(golden, reports, tmp_path):
    assert len(reports) == 64
    texts = [chexzero_impression(report) for report in reports.values()]
    rows = pd.DataFrame({"filename": list(reports), "text": texts, "image_id": "", "study_id": "", "section_used": ""})
    write_impressions(rows, tmp_path / "ours.csv", with_ids=False)
    assert (tmp_path / "ours.csv").read_bytes() == (golden / "impressions/expected_chexzero.csv").read_bytes()


@pytest.mark.golden
def test_the_list_of_paths_equals_the_reference_byte_for_byte(golden, tmp_path):
    expected = (golden / "impressions/cxr_paths.csv").read_bytes()
    paths = expected.decode().splitlines()[1:]
    write_paths(pd.DataFrame({"path": paths, "image_id": "x"}), tmp_path / "ours.csv", with_ids=False)
    assert (tmp_path / "ours.csv").read_bytes() == expected


@pytest.mark.golden
def test_the_training_texts_equal_the_reference(golden, reports):
    expected = json.loads((golden / "impressions/expected_training_text.json").read_text(encoding="utf-8"))
    ours = [
        {"filename": name, "text": chexzero_training_text(chexzero_impression(report))}
        for name, report in reports.items()
    ]
    assert ours == expected
