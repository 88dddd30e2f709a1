import gzip
import tarfile
from collections import Counter
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from cohort.sources.composed_report import compose
from cohort.sources.openi import SECTIONS, parse_report, read_openi, read_reports
from preprocess.text.sections import choose_text, section_text, split_sections


@pytest.fixture
def openi(miniature):
    return miniature("openi")[0]


def trees(root):
    """Every XML file by its uid, read without our reader."""
    with tarfile.open(root / "NLMCXR_reports.tgz") as archive:
        files = [ET.fromstring(archive.extractfile(member).read()) for member in archive if member.isfile()]
    return {tree.find("uId").get("id"): tree for tree in files}


def test_every_image_has_the_text_and_terms_of_its_own_report(openi, noted):
    frame, flow = read_openi(openi)
    by_uid = trees(openi)
    listed = [(uid, image.get("id")) for uid, tree in by_uid.items() for image in tree.iter("parentImage")]
    assert sorted(zip(frame["study_id"], frame["image_id"], strict=True)) == sorted(listed)
    for row in frame.to_dict("records"):
        tree = by_uid[row["study_id"]]
        texts = {one.get("Label"): " ".join((one.text or "").split()) for one in tree.iter("AbstractText")}
        sections = split_sections(row["report"])
        for heading in SECTIONS:
            assert (section_text(sections, heading.lower()) or "") == texts[heading]
        assert row["own_labels"] == "|".join(term.text for term in tree.iterfind("MeSH/major"))
        assert row["path"] == str(openi / f"NLMCXR_png/{row['image_id']}.png")
    assert noted(flow, "reports without an image") == [1]


def test_views_ages_and_sexes_come_from_the_derived_tables(openi, lines_of):
    header, *rows = gzip.decompress((openi / "nlmcxr_dicom_metadata.csv.gz").read_bytes()).decode().splitlines()
    assert header.startswith("imageid,Patient's Birth Date,Study Date,Patient's Sex,View Position")
    headers = {row.split(",")[0]: row.split(",") for row in rows}
    projections = {
        f"CXR{one['uid']}_{one['filename'][:-8]}": one for one in lines_of(openi / "indiana_projections.csv")
    }
    filled = 0
    for row in read_openi(openi)[0].to_dict("records"):
        _, born, taken, sex, view, *_ = headers[row["image_id"]]
        assert row["sex"] == sex
        assert row["age_years"] == pytest.approx(int(taken[:4]) - int(born[:4]), abs=0.01)
        if view:
            assert row["view"] == view
        elif projections[row["image_id"]]["projection"] == "Lateral":
            assert row["view"] == "LATERAL"
        else:
            assert row["view"] == ("PA" if "PA" in row["caption"] else "AP")
            filled += 1
    assert filled


def test_without_the_derived_tables_the_view_is_unknown_and_said_to_be(copied, noted):
    root = copied("openi")
    (root / "indiana_projections.csv").unlink()
    (root / "nlmcxr_dicom_metadata.csv.gz").unlink()
    frame, flow = read_openi(root)
    assert set(frame["view"]) == {"UNKNOWN"}
    assert frame["age_years"].isna().all()
    assert noted(flow, "no nlmcxr_dicom_metadata.csv was found") == [len(frame)]


def test_borderline_is_uncertain_and_what_was_not_indexed_has_no_labels(openi, noted):
    frame, flow = read_openi(openi)
    borderline = frame[frame["own_labels"].str.contains("borderline")]
    assert len(borderline)
    assert set(borderline["Cardiomegaly"]) == {-1.0}
    unindexed = frame[frame["own_labels"].eq("No Indexing")]
    assert len(unindexed)
    assert unindexed[["Cardiomegaly", "No Finding"]].isna().all(axis=None)
    assert noted(flow, "not indexed") == [len(unindexed)]
    others = frame.drop([*borderline.index, *unindexed.index])
    for finding, word in (("Pleural Effusion", "Pleural Effusion/"), ("Lung Opacity", "Opacity/lung")):
        np.testing.assert_array_equal(
            others[finding].eq(1.0),
            others["own_labels"].str.contains(word)
            | (others["own_labels"].str.contains("Consolidation") if finding == "Lung Opacity" else False),
        )
    assert others["Fracture"].eq(others["own_labels"].str.contains("Fractures, Bone").astype(float)).all()


def test_the_unpacked_folder_gives_the_same_table(copied):
    root = copied("openi")
    packed = read_openi(root)[0]
    with tarfile.open(root / "NLMCXR_reports.tgz") as archive:
        archive.extractall(root / "unpacked", filter="data")
    (root / "NLMCXR_reports.tgz").unlink()
    pd.testing.assert_frame_equal(read_openi(root)[0], packed)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"<eCitation>", r"7.xml is no XML"), (b"<eCitation/>", r"7.xml has no <uId id=...>")],
)
def test_a_file_that_is_no_report_is_named(content, message):
    with pytest.raises(ValueError, match=message):
        parse_report(content, name="7.xml")


def test_no_reports_at_all_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Open-i: wanted NLMCXR_reports.tgz in .*openi.nlm.nih.gov"):
        read_openi(tmp_path)


def test_a_line_inside_a_section_cannot_pass_for_a_heading():
    text = "Clear.\n IMPRESSION: not this\n \n nor this"
    composed = compose({"FINDINGS": pd.Series([text, "", "x"]), "IMPRESSION": pd.Series(["This.", "", ""])})
    assert composed[1] == ""
    sections = split_sections(composed[0])
    assert section_text(sections, "impression") == "This."
    assert section_text(sections, "findings") == "Clear. IMPRESSION: not this nor this"
    assert choose_text(split_sections(composed[2])).section_used == "findings"


@pytest.mark.real
def test_the_real_archive_is_read_whole_and_cut_into_its_sections_again(real):
    reports = list(read_reports(real / "reports"))
    assert len(reports) == 3955
    counts = Counter(heading for report in reports for heading in SECTIONS if report.sections[heading])
    assert counts == {"IMPRESSION": 3921, "INDICATION": 3865, "FINDINGS": 3425, "COMPARISON": 3333}
    frame, _ = read_openi(real / "reports", check_files=False)
    assert len(frame) == frame["image_id"].nunique() == 7470
    assert frame["study_id"].nunique() == 3851
    texts = pd.DataFrame([report.sections for report in reports])
    composed = compose({heading: texts[heading] for heading in SECTIONS})
    for name in ("impression", "findings"):
        cut = [section_text(split_sections(report), name) or "" for report in composed]
        assert cut == [" ".join(report.sections[name.upper()].split()) for report in reports]
    used = Counter(choose_text(split_sections(report)).section_used for report in composed)
    assert used == {"impression": 3921, "findings": 6, "none": 28}
    indexed = frame[frame["own_labels"].ne("No Indexing")]
    assert indexed["No Finding"].eq(1.0).equals(indexed["own_labels"].eq("normal"))
