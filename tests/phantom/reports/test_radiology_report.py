"""Reports look like MIMIC's, say what the radiologist saw and nothing else, and their labels say the same."""

import re
from collections import Counter
from datetime import datetime
from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

import phantom
from phantom.body import DEVICE_KINDS, Exposure, Lesion
from phantom.findings.registry import PHANTOM_FINDINGS
from phantom.patients.disease import Visit
from phantom.patients.people import Person
from phantom.patients.population import Image, Study, simulate
from phantom.patients.scenario import ABNORMALITIES
from phantom.reports.phrases import choose, phrases, read_phrases
from phantom.reports.radiology_report import WIDTH, write_report
from phantom.reports.statements import Reading, Statement, findings, impression, read_claims

MIDLINE = {finding for finding in ABNORMALITIES if PHANTOM_FINDINGS[finding].places is None}
HEADER = re.compile(r"\n ([A-Z()]+):")


def one_study(*lesions, omitted=(), hedged=(), age_years=60.0, view="PA"):
    return Study(
        study_id=50000001,
        time=datetime(2150, 5, 1, 10, 0),  # noqa: DTZ001
        person=Person(age_years=age_years, sex="F", race="White", insurance="Private"),
        visit=Visit(lesions=lesions, acuity=0.0),
        omitted=frozenset(omitted),
        hedged=frozenset(hedged),
        images=(Image(dicom_id="a", view=view, exposure=Exposure()),),
    )


def places(finding):
    if finding in MIDLINE:
        return [("", "")]
    sides = ("left", "right") if finding == "Pneumothorax" else ("left", "right", "both")
    zones = {"Pneumothorax": ("upper",), "Pleural Effusion": ("lower",), "Pleural Other": ("upper", "lower")}
    return list(product(sides, zones.get(finding, ("upper", "mid", "lower"))))


@pytest.fixture(scope="module")
def patients():
    return simulate(phantom.default(), n_patients=600, seed=7)


@pytest.fixture(scope="module")
def archive(patients):
    """Return every study with its report."""
    scenario = phantom.default()
    written = []
    for patient in patients:
        for prior, study in zip((None, *patient.studies), patient.studies, strict=False):
            rng = np.random.default_rng(study.study_id)
            written.append((study, write_report(patient, study, prior=prior, scenario=scenario, rng=rng)))
    return written


def sections(text):
    """Section name -> text on one line; headings as the official sectioner of MIMIC-CXR takes them."""
    parts = HEADER.split(text)
    return {name: " ".join(body.split()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def sentences(text):
    numbered = re.sub(r"(^| )\d\. ", " ", text)
    return [part.strip() for part in re.split(r"\.(?:\s|$)", numbered) if part.strip()]


@pytest.mark.parametrize("finding", ABNORMALITIES)
def test_every_finding_can_be_worded_wherever_it_is_and_whatever_else_was_missed(finding):
    rng = np.random.default_rng(0)
    others = [f for f in ABNORMALITIES if f != finding]
    for (side, zone), severity, hedged in product(places(finding), (0.35, 0.6, 0.95), (False, True)):
        lesion = Lesion(finding=finding, side=side, zone=zone, severity=severity)
        study = one_study(lesion, omitted=others, hedged=[finding] if hedged else [])
        reading = Reading(study=study, prior=None, seed=3)
        for said in (
            impression(reading, share_stock_normal=1.0, rng=rng),
            findings(reading, rng=rng),
        ):
            claims = read_claims(said)
            assert claims[finding] == (-1.0 if hedged else 1.0)
            assert not any(claims.get(other, 0.0) for other in others)


def test_every_device_can_be_worded():
    rng = np.random.default_rng(0)
    for kind in DEVICE_KINDS:
        lesion = Lesion(finding="Support Devices", kind=kind, side="left")
        reading = Reading(study=one_study(lesion), prior=None, seed=3)
        assert read_claims(findings(reading, rng=rng))["Support Devices"] == 1.0


def test_every_phrase_fills_its_gaps():
    lesions = {
        finding: Lesion(finding=finding, side="" if finding in MIDLINE else "left", zone="lower")
        for finding in (*ABNORMALITIES, "Support Devices")
    }
    reading = Reading(study=one_study(*lesions.values()), prior=None, seed=3)
    for role in ("stock", "positive", "hedged", "described", "absent", "normal"):
        assert phrases(role)
        for phrase in phrases(role):
            text = reading.say(phrase, *(lesions[finding] for finding in phrase.findings)).text
            assert re.fullmatch(r"[A-Z0-9][^{}]*\.", text), text


def test_lines_are_laid_out_as_in_mimic(archive):
    for _, report in archive:
        lines = report.text.removesuffix("\n").split("\n")
        title = lines.index(" " * 33 + "FINAL REPORT")
        assert title == 0 or lines[0] == " ADDENDUM "
        assert all(line.startswith(" ") and len(line) <= WIDTH for line in lines)
        assert "  " not in report.text.replace(" " * 33, "").replace(".  ", "").replace(":  ", "")
        assert report.text.endswith(".\n") or report.text.endswith(": \n") or "//" in lines[-1]
        assert report.text.isascii()


def test_shares_of_reports_with_and_without_sections_are_the_planted_ones(archive):
    scenario, found = phantom.default(), Counter()
    for _, report in archive:
        names = sections(report.text).keys()
        found["IMPRESSION" in names, "FINDINGS" in names] += 1
    planted = {
        (False, True): scenario.share_findings_only,
        (False, False): scenario.share_without_sections,
        (True, False): scenario.share_impression_only,
    }
    for kind, share in planted.items():
        assert binomtest(found[kind], len(archive), share).pvalue > 1e-4


def test_a_report_without_sections_still_says_what_was_seen(archive):
    for _, report in archive:
        if not sections(report.text).keys() & {"IMPRESSION", "FINDINGS"}:
            paragraphs = [part for part in report.text.split("\n \n") if not re.match(r" ?[A-Z()]+:| {9}", part)]
            assert any(part.strip() for part in paragraphs), report.text


def test_the_planted_share_of_normal_impressions_is_a_stock_sentence_word_for_word(archive):
    stock = {phrase.text for phrase in phrases("stock")}
    normal = [
        sections(report.text)["IMPRESSION"]
        for study, report in archive
        if not study.visit.findings - study.omitted and "IMPRESSION" in sections(report.text)
    ]
    n_stock = sum(text in stock for text in normal)
    assert binomtest(n_stock, len(normal), phantom.default().share_stock_normal).pvalue > 1e-4
    assert Counter(normal)["No acute cardiopulmonary process."] > 0.2 * len(normal)


def test_reported_findings_are_labelled_and_omitted_ones_never(archive):
    for study, report in archive:
        for finding in study.visit.findings - study.omitted:
            assert report.chexpert[finding] == (-1.0 if finding in study.hedged else 1.0)
        for finding in study.omitted:
            assert report.chexpert.get(finding, 0.0) == 0.0


def test_some_omitted_findings_are_denied_in_writing(archive):
    denied = [report.chexpert.get(f) == 0.0 for study, report in archive for f in study.omitted]
    assert 0.05 < np.mean(denied) < 0.8


def test_no_finding_is_labelled_exactly_where_nothing_abnormal_is_said(archive):
    for _, report in archive:
        said = [f for f, v in report.chexpert.items() if v != 0.0 and f not in {"No Finding", "Support Devices"}]
        assert (report.chexpert.get("No Finding") == 1.0) == (not said)


WORDS = {
    "Pneumothorax": r"pneumothorax",
    "Pleural Effusion": r"effusion",
    "Edema": r"edema|vascular congestion",
    "Cardiomegaly": r"cardiomegaly|heart|cardiac",
    "Fracture": r"fracture",
    "Atelectasis": r"atelectasis|collapse",
    "Lung Lesion": r"nodule|mass|lesion",
    "Enlarged Cardiomediastinum": r"mediastin",
    "Support Devices": r"tube|catheter|\bline\b|PICC|pacemaker|wires|Support devices|devices",
}


@pytest.mark.parametrize("finding", WORDS)
def test_the_labels_agree_with_a_reader_of_the_impression_who_knows_only_words(archive, finding):
    negation = re.compile(r"^no |is normal|not enlarged|are normal", re.IGNORECASE)
    doubt = re.compile(r"possible|may (be|represent)|borderline|cannot be excluded", re.IGNORECASE)
    for _, report in archive:
        text = sections(report.text).get("IMPRESSION")
        if text is None:
            continue
        read = []
        for sentence in sentences(text):
            if re.search(WORDS[finding], sentence) or re.search(WORDS[finding], sentence.lower()):
                negated = negation.search(sentence) or sentence.startswith("There is no ")
                read.append(0.0 if negated else -1.0 if doubt.search(sentence) else 1.0)
        assert len({value == 0.0 for value in read}) < 2, f"asserted and denied: {text}"
        expected = 1.0 if 1.0 in read else -1.0 if -1.0 in read else 0.0 if read else None
        assert report.chexpert.get(finding) == expected, text


def test_nobody_denies_a_pneumonia_below_a_consolidation(archive):
    airspace = {"Consolidation", "Pneumonia", "Lung Opacity"}
    for study, report in archive:
        if airspace & (study.visit.findings - study.omitted):
            assert not re.search(r"no (evidence of )?(pneumonia|consolidation|focal)", report.text, re.IGNORECASE)
            assert "lungs are clear" not in report.text


def test_the_words_of_the_labels_are_among_those_of_the_reports(archive):
    text = " ".join(sections(report.text).get("IMPRESSION", "") for _, report in archive).lower()
    for words in (
        "cardiomegaly",
        "atelectasis",
        "consolidation",
        "pulmonary edema",
        "pneumonia",
        "pneumothorax",
        "pleural effusion",
        "rib fracture",
        "nodule",
        "opacity",
        "pleural thickening",
        "enlarged mediastinum",
        "lung lesion",
        "support devices",
    ):
        assert text.count(words) >= 5, words


def test_the_indication_knows_the_patients_sex_and_hides_the_age(archive):
    for study, report in archive:
        indication = re.search(r"\n INDICATION:(.*?)\n \n", f"{report.text} \n", re.DOTALL)[1]
        nouns = ("woman", "girl", "___F ") if study.person.sex == "F" else (" man", "boy", "___M ")
        assert any(noun in indication for noun in nouns)
        assert not re.search(r"\d", indication)


def test_a_first_study_is_compared_with_nothing(patients, archive):
    words = ("unchanged", "since", "stable", "decreased")
    firsts = {patient.studies[0].study_id for patient in patients}
    compared = 0
    for study, report in archive:
        said = any(word in sections(report.text).get("IMPRESSION", "") for word in words)
        if study.study_id in firsts:
            assert not said
        compared += said
    assert compared > 20


def test_the_second_labeller_differs_a_little_and_never_turns_a_finding_into_its_absence(archive):
    differing = 0
    for _, report in archive:
        differing += report.chexpert != report.negbio
        for finding, value in report.negbio.items():
            assert value == report.chexpert[finding] or (report.chexpert[finding], value) == (-1.0, 1.0)
    assert 0.01 < differing / len(archive) < 0.3


def test_present_beats_possible_and_possible_beats_absent():
    said = [Statement("a.", {"Edema": 0.0}), Statement("b.", {"Edema": -1.0, "Fracture": 0.0})]
    assert read_claims(said) == read_claims(said[::-1]) == {"Edema": -1.0, "Fracture": 0.0}
    assert read_claims([Statement("c.", {"Edema": 1.0}), *said])["Edema"] == 1.0


def test_a_phrase_about_an_unknown_finding_is_refused_with_its_line(tmp_path):
    table = tmp_path / "phrases.csv"
    table.write_text('role,findings,when,also,weight,text\npositive,Effusion,,,1,"Effusion."\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"phrases.csv line 2: 'Effusion' is unknown; known are Atelectasis"):
        read_phrases(table)


def test_having_nothing_to_say_is_an_error_that_names_the_table():
    with pytest.raises(ValueError, match=r"no phrase fits: the finding's table of phrases lacks a row"):
        choose([], np.random.default_rng(0))
