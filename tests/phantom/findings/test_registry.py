"""Every finding is complete: it can be sampled, drawn from both sides, and put into words."""

from typing import get_args

import pytest

from phantom.body import DEVICE_KINDS, FINDINGS
from phantom.findings.devices import DEVICES
from phantom.findings.finding import Factor
from phantom.findings.registry import BY_URGENCY, PHANTOM_FINDINGS
from phantom.reports.phrases import read_phrases


def test_every_label_but_no_finding_is_a_finding_of_the_phantom():
    assert set(PHANTOM_FINDINGS) == set(FINDINGS) - {"No Finding"}
    assert tuple(DEVICES) == DEVICE_KINDS


@pytest.mark.parametrize("finding", PHANTOM_FINDINGS.values(), ids=PHANTOM_FINDINGS)
def test_loadings_and_places_are_shares(finding):
    assert set(finding.loadings) <= set(get_args(Factor))
    assert sum(loading**2 for loading in finding.loadings.values()) < 1
    assert 0 <= finding.persistence <= 1
    if finding.places is not None:
        assert sum(finding.places.sides) == pytest.approx(1)
        assert sum(finding.places.zones) == pytest.approx(1)


def test_a_finding_comes_after_those_whose_place_it_joins_or_avoids():
    seen = set()
    for name, finding in PHANTOM_FINDINGS.items():
        if finding.places is not None:
            joined = () if finding.places.joins is None else finding.places.joins[:1]
            assert seen.issuperset({*joined, *finding.places.avoids}), name
        seen.add(name)


@pytest.mark.parametrize("finding", PHANTOM_FINDINGS.values(), ids=PHANTOM_FINDINGS)
def test_the_table_of_a_finding_holds_phrases_about_it_in_every_role_that_reports_need(finding):
    phrases = read_phrases(finding.phrases_path)
    assert {phrase.findings[0] for phrase in phrases} == {finding.name}
    assert {"positive", "described"} <= {phrase.role for phrase in phrases}
    assert finding.name == "Support Devices" or any(phrase.role == "hedged" for phrase in phrases)


def test_no_two_findings_are_equally_urgent():
    assert len({finding.urgency for finding in BY_URGENCY}) == len(BY_URGENCY)
    assert set(PHANTOM_FINDINGS).issuperset(denial for finding in BY_URGENCY for denial in finding.odd_denials)
