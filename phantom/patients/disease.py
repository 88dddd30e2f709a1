"""What is wrong with a patient at each visit: findings that come together, as in life, and chronic ones that stay.

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

from phantom.body import MIDLINE_FINDINGS, Lesion, Side, Zone
from phantom.patients.people import Person
from phantom.patients.scenario import Scenario

_NORMAL = NormalDist()

# Share of a factor's variance that belongs to the patient and not to the visit.
_FACTORS: Mapping[str, float] = {
    "congestion": 0.85,
    "infection": 0.20,
    "acuity": 0.40,
    "injury": 0.90,
    "tumour": 0.98,
}

_LOADINGS: Mapping[str, Mapping[str, float]] = {
    "Atelectasis": {"acuity": 0.45, "congestion": 0.25},
    "Cardiomegaly": {"congestion": 0.65},
    "Consolidation": {"infection": 0.60, "acuity": 0.20},
    "Edema": {"congestion": 0.65, "acuity": 0.30},
    "Enlarged Cardiomediastinum": {"congestion": 0.20, "tumour": 0.30},
    "Fracture": {"injury": 0.60},
    "Lung Lesion": {"tumour": 0.60},
    "Pleural Effusion": {"congestion": 0.50, "acuity": 0.35, "tumour": 0.15, "infection": 0.15},
    "Pleural Other": {"tumour": 0.35, "injury": 0.20},
    "Pneumonia": {"infection": 0.65, "acuity": 0.10},
    "Lung Opacity": {"infection": 0.50, "acuity": 0.20},
    "Pneumothorax": {"injury": 0.45, "acuity": 0.30},
    "Support Devices": {"acuity": 0.70, "congestion": 0.25},
}

# Share of the rest's variance that belongs to the patient: a scar stays, an oedema goes.
_PERSISTENCE: Mapping[str, float] = {
    "Atelectasis": 0.30,
    "Cardiomegaly": 0.97,
    "Consolidation": 0.20,
    "Edema": 0.10,
    "Enlarged Cardiomediastinum": 0.97,
    "Fracture": 0.97,
    "Lung Lesion": 0.97,
    "Lung Opacity": 0.30,
    "Pleural Effusion": 0.40,
    "Pleural Other": 0.98,
    "Pneumonia": 0.20,
    "Pneumothorax": 0.30,
    "Support Devices": 0.60,
}


_FINDINGS = tuple(_LOADINGS)
_LOADING_TABLE = np.array([[loadings.get(name, 0.0) for name in _FACTORS] for loadings in _LOADINGS.values()])


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a finding sits: probabilities of left, right, both, and of upper, mid, lower."""

    sides: tuple[float, float, float]
    zones: tuple[float, float, float]


_PLACES: Mapping[str, _Places] = {
    "Atelectasis": _Places((0.30, 0.25, 0.45), (0.04, 0.08, 0.88)),
    "Consolidation": _Places((0.40, 0.48, 0.12), (0.22, 0.22, 0.56)),
    "Fracture": _Places((0.48, 0.46, 0.06), (0.10, 0.45, 0.45)),
    "Lung Lesion": _Places((0.42, 0.46, 0.12), (0.48, 0.22, 0.30)),
    "Lung Opacity": _Places((0.38, 0.42, 0.20), (0.24, 0.28, 0.48)),
    "Pleural Effusion": _Places((0.30, 0.30, 0.40), (0.0, 0.0, 1.0)),
    "Pleural Other": _Places((0.36, 0.36, 0.28), (0.55, 0.0, 0.45)),
    "Pneumonia": _Places((0.38, 0.46, 0.16), (0.20, 0.24, 0.56)),
    "Pneumothorax": _Places((0.48, 0.52, 0.0), (1.0, 0.0, 0.0)),
}
_SIDES: tuple[Side, Side, Side] = ("left", "right", "both")
_ZONES: tuple[Zone, Zone, Zone] = ("upper", "mid", "lower")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The state of a patient on the day of a study."""

    lesions: tuple[Lesion, ...]
    """Everything that the films show; several devices are several lesions."""
    acuity: float
    """How ill the patient is, in standard deviations from the mean study."""

    @property
    def findings(self) -> frozenset[str]:
        """Findings that were drawn."""
        return frozenset(lesion.finding for lesion in self.lesions)


def simulate_visits(people: Sequence[Person], *, scenario: Scenario, rng: np.random.Generator) -> list[Visit]:
    """Return one visit per entry of `people`, which is the same person at the ages of their studies."""
    factors = _mixed(len(people), np.array(list(_FACTORS.values())), rng)
    rest = _mixed(len(people), np.array([_PERSISTENCE[finding] for finding in _FINDINGS]), rng)
    liabilities = factors @ _LOADING_TABLE.T + np.sqrt(1 - (_LOADING_TABLE**2).sum(axis=1)) * rest
    severities = _severities(liabilities, people, scenario)
    acuities = factors[:, list(_FACTORS).index("acuity")]

    visits: list[Visit] = []
    for i, person in enumerate(people):
        before = visits[-1].lesions if visits else ()
        acuity = float(acuities[i])
        lesions = _place(severities[i], before, rng)
        device = severities[i].get("Support Devices")
        if device is not None:
            stays = all("Support Devices" in later for later in severities[i:])
            kinds = _device_kinds(lesions, before, acuity=acuity, age_years=person.age_years, stays=stays, rng=rng)
            lesions += [_device(kind, device, lesions, before, rng) for kind in kinds]
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
        above = {finding: 1 - _NORMAL.cdf(liability) for finding, liability in zip(_FINDINGS, row, strict=True)}
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
    """Return the lesions without the devices; what was there before stays in its place."""
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
    if finding in MIDLINE_FINDINGS:
        return "", ""
    for lesion in before:
        if lesion.finding == finding:
            return lesion.side, lesion.zone
    # A pneumonia that consolidates does so where it is.
    if finding == "Pneumonia" and "Consolidation" in placed and rng.random() < 0.7:
        return placed["Consolidation"].side, placed["Consolidation"].zone
    # An opacity in a consolidated lobe is that consolidation, not a finding of its own.
    consolidated = [placed[other] for other in ("Consolidation", "Pneumonia") if other in placed]
    taken = [(lesion.side, lesion.zone) for lesion in consolidated if finding == "Lung Opacity"]
    places = _PLACES[finding]
    while True:
        side, zone = _SIDES[rng.choice(3, p=places.sides)], _ZONES[rng.choice(3, p=places.zones)]
        if (side, zone) not in taken:
            return side, zone


def _device_kinds(
    lesions: Sequence[Lesion],
    before: Sequence[Lesion],
    *,
    acuity: float,
    age_years: float,
    stays: bool,
    rng: np.random.Generator,
) -> list[str]:
    """Return the kinds of tubes and lines in place, at least one; implants stay once they are there."""
    worn = {lesion.kind for lesion in before}
    severities = {lesion.finding: lesion.severity for lesion in lesions}
    drained = max(severities.get("Pneumothorax", 0.0), severities.get("Pleural Effusion", 0.0)) > 0.6
    implanted = stays and age_years >= 45
    chances = {
        "endotracheal tube": 0.7 if acuity > 1.0 else 0.0,
        "central line": 0.5 if acuity > 0.3 else 0.2,
        "picc line": 0.3,
        "chest tube": 0.4 if drained else 0.0,
        "pacemaker": (1.0 if "pacemaker" in worn else 0.25) if implanted else 0.0,
        "sternal wires": (1.0 if "sternal wires" in worn else 0.15) if implanted else 0.0,
    }
    kinds = [kind for kind, chance in chances.items() if rng.random() < chance]
    if rng.random() < (0.75 if "endotracheal tube" in kinds else 0.1 if acuity > 0.3 else 0.0):
        kinds.append("nasogastric tube")
    return kinds or ["central line" if acuity > 0.3 else "picc line"]


def _device(
    kind: str, severity: float, lesions: Sequence[Lesion], before: Sequence[Lesion], rng: np.random.Generator
) -> Lesion:
    right_share = {"picc line": 0.65, "central line": 0.75, "pacemaker": 0.1}.get(kind)
    side: Side = ""
    if kind == "chest tube":
        drained = next(lesion for lesion in lesions if lesion.finding in {"Pneumothorax", "Pleural Effusion"})
        side = drained.side if drained.side != "both" else "right"
    elif right_share is not None:
        side = "right" if rng.random() < right_share else "left"
    side = next((lesion.side for lesion in before if lesion.kind == kind), side)
    return Lesion(finding="Support Devices", side=side, severity=severity, kind=kind)
