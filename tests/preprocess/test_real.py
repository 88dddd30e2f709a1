"""Real pictures and real reports, where ../shared/real is present. Nothing of them is stored in the repository."""

import tarfile
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from cohort import open_images, read_cohort, read_texts
from cohort.sources.mapping import ColumnMapping
from preprocess.pipeline import run
from preprocess.preprocess_config import PreprocessConfig
from preprocess.text.sections import choose_text, section_text, split_sections

COLUMNS = ColumnMapping(
    image_id="image", path="image", subject_id="patient_id", age_years="age", report="text", dataset="shared-real"
)
HEADINGS = ("INDICATION", "COMPARISON", "FINDINGS", "IMPRESSION")

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def packed(real, tmp_path_factory):
    return run(
        PreprocessConfig(
            dataset_type="csv",
            csv_path=real / "metadata.csv",
            columns=COLUMNS,
            views="all",
            require_text=False,
            max_failed_share=0.0,
            workers=2,
            out_dir=tmp_path_factory.mktemp("real"),
        )
    )


def test_all_255_real_images_are_packed(packed):
    store = open_images(packed.outputs.images)
    assert packed.n_packed == packed.n_listed == len(store) == 255
    assert packed.n_failed == 0
    assert store.read(np.arange(255)).reshape(255, -1).std(axis=1).min() > 5
    cohort = read_cohort(packed.outputs.cohort)
    assert set(cohort["status"]) == {"packed"}
    assert cohort["subject_id"].nunique() == 52 + 30 + 139


def test_every_row_matches_its_picture_as_opencv_reads_and_shrinks_it(packed, real):
    store = open_images(packed.outputs.images)
    for row, image_id in enumerate(store.image_ids):
        grey = cv2.imread(str(real / image_id), cv2.IMREAD_GRAYSCALE)
        height, width = (int(side * (320 / max(grey.shape))) for side in grey.shape)
        top, left = (320 - height) // 2, (320 - width) // 2
        expected = np.zeros((320, 320))
        expected[top : top + height, left : left + width] = cv2.resize(
            grey, (width, height), interpolation=cv2.INTER_AREA
        )
        assert np.abs(store.read([row])[0] - expected).mean() < 4, image_id


def test_no_picture_is_changed_without_a_word(packed, real):
    """What each file is, by OpenCV: every one with colour or with holes says so in the table, and no other."""
    cohort = read_cohort(packed.outputs.cohort).set_index("image_id")
    counts = {"colour made grey": 0, "transparency dropped": 0, "odd aspect": 0, "file is not what its name says": 0}
    for image_id, said in cohort["quality"].items():
        pixels = cv2.imread(str(real / image_id), cv2.IMREAD_UNCHANGED)
        height, width = pixels.shape[:2]
        channels = pixels.reshape(height, width, -1)
        colour, alpha = channels[..., :3], channels[..., 3:]
        expected = {
            "colour made grey": bool((colour != colour[..., :1]).any()),
            "transparency dropped": bool((alpha < 255).any()),
            "odd aspect": max(height, width) > 2 * min(height, width),
            "file is not what its name says": False,
        }
        flags = said.split("; ")
        assert {flag: flag in flags for flag in expected} == expected, image_id
        for flag, holds in expected.items():
            counts[flag] += holds
    print(counts)
    assert counts["colour made grey"] > 0
    noted = {step.reason: step.rows for step in packed.flow.steps if step.kind == "noted"}
    assert {flag: noted.get(flag, 0) for flag in counts} == counts


def test_captions_are_kept_word_for_word_and_other_images_have_none(packed, real):
    texts = read_texts(packed.outputs.texts)
    with_text = texts[texts["text"] != ""]
    assert len(with_text) == 146
    assert set(with_text["section_used"]) == {"full report"}
    assert with_text["image_id"].str.startswith("images/roco/").all()


@pytest.fixture(scope="module")
def openi(real) -> list[dict[str, str]]:
    reports = []
    with tarfile.open(real / "reports/NLMCXR_reports.tgz") as archive:
        for member in archive:
            if not member.isfile() or not member.name.endswith(".xml"):
                continue
            root = ET.fromstring(archive.extractfile(member).read())
            texts = {one.get("Label"): " ".join((one.text or "").split()) for one in root.iter("AbstractText")}
            reports.append({heading: texts.get(heading) or "" for heading in HEADINGS})
    return reports


def in_mimic_style(sections: dict[str, str], width: int = 78) -> str:
    """Render sections as MIMIC-CXR does: title far to the right, one blank before each line, lines wrapped."""
    lines = [" " * 33 + "FINAL REPORT", " EXAMINATION:  CHEST (PA AND LAT)", " "]
    for heading in HEADINGS:
        if not sections[heading]:
            continue
        line = f" {heading}: "
        lines += [line, " "] if heading in {"FINDINGS", "IMPRESSION"} else []
        line = " " if heading in {"FINDINGS", "IMPRESSION"} else line
        for word in sections[heading].split():
            if len(line) + len(word) > width:
                lines.append(line)
                line = " "
            line += word if line.endswith(" ") else f" {word}"
        lines += [line, " "]
    return "\n".join(lines) + "\n"


def test_the_impression_of_open_i_reports_is_recovered_exactly(openi):
    assert len(openi) == 3955
    with_impression = [sections for sections in openi if sections["IMPRESSION"]]
    assert len(with_impression) == 3921
    recovered = sum(
        " ".join((section_text(split_sections(in_mimic_style(sections)), "impression") or "").split())
        == sections["IMPRESSION"]
        for sections in with_impression
    )
    print(f"impressions recovered exactly: {recovered} of {len(with_impression)}")
    assert recovered / len(with_impression) >= 0.999


def test_open_i_reports_without_impression_fall_back_on_findings(openi):
    findings_only = [sections for sections in openi if sections["FINDINGS"] and not sections["IMPRESSION"]]
    choices = [choose_text(split_sections(in_mimic_style(sections))) for sections in findings_only]
    assert len(choices) == 6
    assert [(choice.section_used, choice.text) for choice in choices] == [
        ("findings", sections["FINDINGS"]) for sections in findings_only
    ]


def test_open_i_reports_with_neither_give_no_text_but_their_indication_is_never_taken(openi):
    neither = [sections for sections in openi if not sections["FINDINGS"] and not sections["IMPRESSION"]]
    assert len(neither) == 28
    assert {choose_text(split_sections(in_mimic_style(sections))).section_used for sections in neither} == {"none"}
