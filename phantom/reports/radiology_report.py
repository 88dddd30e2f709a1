"""Radiology reports in the style of MIMIC-CXR, and the labels that two labellers extract from them."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phantom.body import FINDINGS
from phantom.findings.devices import DEVICES
from phantom.findings.registry import PHANTOM_FINDINGS
from phantom.patients.population import Patient, Study
from phantom.patients.scenario import Scenario
from phantom.reports.phrases import NEGATIVE, POSITIVE, UNCERTAIN
from phantom.reports.statements import Reading, Statement, findings, impression, read_claims

WIDTH = 79
"""Length of the longest line, with its leading blank"""

_TITLE = " " * 33 + "FINAL REPORT"
_HEADING = re.compile(r"\n ([A-Z ]+):")
_COMMON_COMPLAINTS = (
    ("chest pain", "acute process"),
    ("shortness of breath", "acute cardiopulmonary process"),
    ("cough", "pneumonia"),
    ("syncope", "acute process"),
    ("planned surgery", "cardiopulmonary disease"),
    ("altered mental status", "infection"),
    ("tachycardia", "acute process"),
)
"""Reasons for a film, with the question asked; findings and devices add their own"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report and its labels."""

    text: str
    """The file, ending with a newline"""
    chexpert: Mapping[str, float]
    """Finding -> 1, 0 or -1; findings that the report does not mention are missing"""
    negbio: Mapping[str, float]
    """The same by a second labeller, which differs here and there"""


def write_report(
    patient: Patient, study: Study, *, prior: Study | None, scenario: Scenario, rng: np.random.Generator
) -> Report:
    """Write the report of one study.

    Args:
        patient: The patient.
        study: The films, what they show, and what the report omits or hedges.
        prior: The patient's previous study, None for the first.
        scenario: Shares of reports without sections and of stock sentences.
        rng: Chooses the words.

    Returns:
        The text, and the labels that the impression states. Without an impression, the findings section or the
        paragraph is labelled, as in MIMIC-CXR-JPG.
    """
    reading = Reading(study=study, prior=prior, seed=patient.seed)

    # Both parts are worded whatever the layout, so that all layouts draw the same random numbers.
    layout = _layout(scenario, rng)
    described = findings(reading, rng=rng)
    concluded = impression(reading, share_stock_normal=scenario.share_stock_normal, rng=rng)

    lines = _addendum(rng) if rng.random() < scenario.share_addendum else []
    lines += [_TITLE, *_heading(reading, rng)]
    if layout == "paragraph":
        lines += _wrapped(_joined(described))
    elif layout != "impression":
        lines += _section("FINDINGS", _joined(described))
    if layout in {"both", "impression"}:
        lines += _impression_section(concluded, rng)
        lines += _follow_up(reading, rng)

    chexpert = labels(concluded if layout in {"both", "impression"} else described)
    return Report(text="\n".join(lines[:-1]) + "\n", chexpert=chexpert, negbio=_second_labeller(chexpert, rng))


def sections_of(text: str) -> dict[str, str]:
    """Return heading -> body of a report that `write_report` wrote, without the surrounding white space."""
    parts = _HEADING.split(text)
    return {heading.strip(): body.strip() for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


def labels(statements: Sequence[Statement]) -> dict[str, float]:
    """Return the labels that `statements` state, in the order of FINDINGS.

    "No Finding" is 1 where nothing but support devices is present or possible, and missing elsewhere.
    """
    read = read_claims(statements)
    abnormal = [name for name, value in read.items() if value != NEGATIVE and name != "Support Devices"]
    if not abnormal:
        read["No Finding"] = POSITIVE
    return {finding: read[finding] for finding in FINDINGS if finding in read}


def _second_labeller(chexpert: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Return the labels of a tool that takes some possibilities for facts and misses some denials."""
    second = dict(chexpert)
    for finding, value in chexpert.items():
        if value == UNCERTAIN and rng.random() < 0.2:
            second[finding] = POSITIVE
        elif value == NEGATIVE and rng.random() < 0.04:
            del second[finding]
    return second


def _layout(scenario: Scenario, rng: np.random.Generator) -> str:
    shares = (scenario.share_findings_only, scenario.share_without_sections, scenario.share_impression_only)
    return str(rng.choice(["findings", "paragraph", "impression", "both"], p=[*shares, max(0.0, 1 - sum(shares))]))


def _joined(statements: Sequence[Statement]) -> str:
    return "  ".join(statement.text for statement in statements)


def _wrapped(text: str) -> list[str]:
    """Return lines that begin with one blank, and the blank line after them."""
    return [*textwrap.wrap(text, WIDTH, initial_indent=" ", subsequent_indent=" "), " "]


def _section(name: str, text: str) -> list[str]:
    return [f" {name}: ", " ", *_wrapped(text)]


def _impression_section(statements: Sequence[Statement], rng: np.random.Generator) -> list[str]:
    if len(statements) < 3 or rng.random() < 0.4:
        return _section("IMPRESSION", _joined(statements))
    lines = [" IMPRESSION: ", " "]
    for number, statement in enumerate(statements, start=1):
        lines += _wrapped(f"{number}. {statement.text}")[:-1]
    return [*lines, " "]


def _heading(reading: Reading, rng: np.random.Generator) -> list[str]:
    """Return EXAMINATION, INDICATION, TECHNIQUE and COMPARISON; the last two are sometimes left out."""
    technique = _technique(reading.study, rng)
    lines = _wrapped(f"EXAMINATION:  {examination(reading.study)}")
    lines += _wrapped(f"INDICATION:  {_indication(reading, rng)}")
    if rng.random() < 0.7:
        lines += _wrapped(f"TECHNIQUE:  {technique}")
    if reading.prior is not None:
        comparison = ("___.", "Chest radiograph from ___.", "Chest radiographs dated ___.")[rng.integers(3)]
        return lines + _wrapped(f"COMPARISON:  {comparison}")
    return lines + _wrapped("COMPARISON:  None.") if rng.random() < 0.6 else lines


def examination(study: Study) -> str:
    """Return the name of the examination, as the report's heading and the metadata state it."""
    if study.portable:
        return "CHEST (PORTABLE AP)"
    lateral = any(image.view == "LATERAL" for image in study.images)
    return "CHEST (PA AND LAT)" if lateral else "CHEST (SINGLE VIEW)"


def _technique(study: Study, rng: np.random.Generator) -> str:
    """Return a sentence on how the films were taken."""
    if study.portable:
        return ("Portable AP chest radiograph.", "Single portable view of the chest.")[rng.integers(2)]
    if any(image.view == "LATERAL" for image in study.images):
        return ("Chest PA and lateral.", "PA and lateral views of the chest.")[rng.integers(2)]
    return "Single PA view of the chest."


def _indication(reading: Reading, rng: np.random.Generator) -> str:
    person = reading.study.person
    child = person.age_years < 18
    noun = {"F": "girl" if child else "woman", "M": "boy" if child else "man"}[person.sex]
    who = f"___ year old {noun}" if rng.random() < 0.6 else f"___{person.sex}"
    options = list(_COMMON_COMPLAINTS)
    if not child:
        options += [pair for finding in reading.seen for pair in PHANTOM_FINDINGS[finding].complaints]
        options += [pair for device in reading.devices for pair in DEVICES[device.kind].complaints]
    complaint, question = options[rng.integers(len(options))]
    return f"{who} with {complaint} // {'eval for' if rng.random() < 0.5 else 'assess'} {question}"


def _follow_up(reading: Reading, rng: np.random.Generator) -> list[str]:
    """Return RECOMMENDATION(S) and NOTIFICATION where the findings call for them."""
    lines: list[str] = []
    seen = reading.seen
    if "Lung Lesion" in seen and reading.change(seen["Lung Lesion"]) != "same" and rng.random() < 0.6:
        lines += _wrapped("RECOMMENDATION(S):  Chest CT is recommended for further evaluation.")
    elif "Pneumonia" in seen and rng.random() < 0.35:
        advice = "Follow-up chest radiograph in 6 to 8 weeks to document resolution after treatment."
        lines += _wrapped(f"RECOMMENDATION(S):  {advice}")
    if "Pneumothorax" in seen and reading.change(seen["Pneumothorax"]) in {None, "new"} and rng.random() < 0.6:
        when = f"{rng.integers(1, 13)}:{rng.integers(60):02d} {'AM' if rng.random() < 0.5 else 'PM'}"
        contact = f"discussed with ___, M.D. by ___, M.D. on the telephone on ___ at {when}"
        minutes = rng.integers(2, 30)
        lines += _wrapped(
            f"NOTIFICATION:  The findings were {contact}, {minutes} minutes after discovery of the findings."
        )
    return lines


def _addendum(rng: np.random.Generator) -> list[str]:
    added = (
        "The findings were communicated to Dr. ___ by telephone on ___.",
        "The comparison study was dated ___.  The interpretation is unchanged.",
    )
    return [" ADDENDUM ", " ", *_wrapped(added[rng.integers(len(added))])]
