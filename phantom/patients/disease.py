"""The findings of a patient at each visit: correlated with each other, and chronic ones persistent.

Each finding has a liability that is normally distributed over studies,

    liability = sum_k loading_k * factor_k + sqrt(1 - sum_k loading_k^2) * rest,

and is present where the liability exceeds its (1 - prevalence) quantile. Shared factors (a failing heart, an infection)
make findings correlate; the patient's own share of a factor and of the rest makes them persist. Whatever the
correlations, each study shows a finding with exactly the planted prevalence.

Source: the liability-threshold model of Falconer, Annals of Human Genetics 29:51 (1965), with common factors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from phantom.body import Lesion, Side, Zone
from phantom.findings.finding import Factor
from phantom.findings.registry import PHANTOM_FINDINGS
from phantom.findings.support_devices import device_kinds, place_device
from phantom.patients.people import Person
from phantom.patients.scenario import Scenario

_NORMAL = NormalDist()

# Share of a factor's variance that belongs to the patient and not to the visit.
_FACTORS: Mapping[Factor, float] = {
    "congestion": 0.85,
    "infection": 0.20,
    "acuity": 0.40,
    "injury": 0.90,
    "tumour": 0.98,
}

_LOADINGS = np.array([[finding.loadings.get(name, 0.0) for name in _FACTORS] for finding in PHANTOM_FINDINGS.values()])
_PERSISTENCE = np.array([finding.persistence for finding in PHANTOM_FINDINGS.values()])

_SIDES: tuple[Side, Side, Side] = ("left", "right", "both")
_ZONES: tuple[Zone, Zone, Zone] = ("upper", "mid", "lower")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The state of a patient on the day of a study."""

    lesions: tuple[Lesion, ...]
    """Everything that the films show; several devices are several lesions"""
    acuity: float
    """How ill the patient is, in standard deviations from the mean study"""

    @property
    def findings(self) -> frozenset[str]:
        """Findings that were drawn."""
        return frozenset(lesion.finding for lesion in self.lesions)


def simulate_visits(people: Sequence[Person], *, scenario: Scenario, rng: np.random.Generator) -> list[Visit]:
    """Return one visit per entry of `people`: one person at the age of each study."""
    factors = _mixed(len(people), np.array(list(_FACTORS.values())), rng)
    rest = _mixed(len(people), _PERSISTENCE, rng)
    liabilities = factors @ _LOADINGS.T + np.sqrt(1 - (_LOADINGS**2).sum(axis=1)) * rest
    severities = _severities(liabilities, people, scenario)
    acuities = factors[:, list(_FACTORS).index("acuity")]

    # Devices come last: what is worn depends on what the patient has.
    visits: list[Visit] = []
    for i, person in enumerate(people):
        before = visits[-1].lesions if visits else ()
        acuity = float(acuities[i])
        lesions = _place(severities[i], before, rng)
        device = severities[i].get("Support Devices")
        if device is not None:
            stays = all("Support Devices" in later for later in severities[i:])
            kinds = device_kinds(lesions, before, acuity=acuity, age_years=person.age_years, stays=stays, rng=rng)
            lesions += [place_device(kind, device, lesions, before, rng) for kind in kinds]
        visits.append(Visit(lesions=tuple(lesions), acuity=acuity))
    return visits


def _mixed(n: int, patient_shares: Float[np.ndarray, "k"], rng: np.random.Generator) -> Float[np.ndarray, "n k"]:
    """Return standard normal columns; their rows, visits of one patient, share `patient_shares` of the variance."""
    of_patient = np.sqrt(patient_shares) * rng.standard_normal(len(patient_shares))
    of_visits = np.sqrt(1 - patient_shares) * rng.standard_normal((n, len(patient_shares)))
    mixed: np.ndarray = of_patient + of_visits
    return mixed


def _severities(
    liabilities: Float[np.ndarray, "n c"], people: Sequence[Person], scenario: Scenario
) -> list[dict[str, float]]:
    """Return finding -> severity for every visit: the deeper in the tail, the worse; absent findings are missing."""
    low, high = scenario.severity_range
    found = []
    for row, person in zip(liabilities.tolist(), people, strict=True):
        prevalence = scenario.prevalence_of(person)
        above = {finding: 1 - _NORMAL.cdf(liability) for finding, liability in zip(PHANTOM_FINDINGS, row, strict=True)}
        # The exponent makes mild cases commoner than a uniform spread would.
        found.append(
            {
                finding: low + (high - low) * (1 - tail / prevalence[finding]) ** 1.2
                for finding, tail in above.items()
                if tail < prevalence[finding]
            }
        )
    return found


def _place(severities: Mapping[str, float], before: Sequence[Lesion], rng: np.random.Generator) -> list[Lesion]:
    """Return the lesions without the devices; a finding of the visit before stays in its place."""
    placed: dict[str, Lesion] = {}
    for finding, severity in severities.items():
        if finding == "Support Devices":
            continue
        side, zone = _side_and_zone(finding, before, placed, rng)
        placed[finding] = Lesion(finding=finding, side=side, zone=zone, severity=severity)
    return list(placed.values())


def _side_and_zone(
    finding: str, before: Sequence[Lesion], placed: Mapping[str, Lesion], rng: np.random.Generator
) -> tuple[Side, Zone]:
    places = PHANTOM_FINDINGS[finding].places
    if places is None:
        return "", ""

    for lesion in before:
        if lesion.finding == finding:
            return lesion.side, lesion.zone
    if places.joins is not None:
        other, chance = places.joins
        if other in placed and rng.random() < chance:
            return placed[other].side, placed[other].zone

    taken = [(placed[other].side, placed[other].zone) for other in places.avoids if other in placed]
    while True:
        side, zone = _SIDES[rng.choice(3, p=places.sides)], _ZONES[rng.choice(3, p=places.zones)]
        if (side, zone) not in taken:
            return side, zone
