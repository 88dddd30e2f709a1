"""The statements of a report's impression and findings section, and the labels that they imply.

The statements name every reported finding and deny some that are absent. They never call an omitted finding present,
but may deny it, as in life: a radiologist who misses an effusion writes "no pleural effusion".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from phantom.body import Lesion
from phantom.findings.finding import Region
from phantom.findings.registry import BY_URGENCY, PHANTOM_FINDINGS
from phantom.patients.population import Study
from phantom.patients.scenario import ABNORMALITIES
from phantom.reports.phrases import NEGATIVE, POSITIVE, UNCERTAIN, Phrase, choose, gaps, phrases, tags

# What an impression bothers to deny, and how often. Random numbers are drawn in this order, so that another order would
# give other reports for the same seed; a finding that is not named here comes last.
_FIRST_DENIED = (
    "Pneumothorax",
    "Pleural Effusion",
    "Pneumonia",
    "Consolidation",
    "Edema",
    "Cardiomegaly",
    "Fracture",
    "Lung Lesion",
    "Enlarged Cardiomediastinum",
    "Lung Opacity",
    "Atelectasis",
    "Pleural Other",
)
_DENIED: Mapping[str, float] = {
    name: PHANTOM_FINDINGS[name].denial_weight
    for name in dict.fromkeys((*_FIRST_DENIED, *PHANTOM_FINDINGS))
    if PHANTOM_FINDINGS[name].denial_weight > 0
}

# The findings section goes from the lungs outwards; what is normal is said region by region, with this probability.
_REGIONS: Mapping[Region, float] = {"lungs": 0.9, "pleura": 0.9, "heart": 0.85, "bones": 0.45}

_REPORTED = tuple(finding.name for finding in BY_URGENCY if finding.name in ABNORMALITIES)
_CHANGES: Mapping[str, tuple[str, ...]] = {
    "same": ("unchanged", "stable", "not significantly changed"),
    "worse": ("increased since the prior study", "worse since the prior study"),
    "better": ("decreased since the prior study", "improved since the prior study"),
    "new": ("new since the prior study", "new since ___"),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence or two, and the labels that they imply."""

    text: str
    """Ends with a full stop"""
    claims: Mapping[str, float]
    """Finding -> 1, 0 or -1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the radiologist has at hand: the study, and the one before."""

    study: Study
    """The study, its lesions and what the report will omit"""
    prior: Study | None
    """The patient's study before this one"""
    seed: int
    """The patient's seed"""

    @property
    def seen(self) -> dict[str, Lesion]:
        """Return the reported lesions without devices, most urgent first."""
        lesions = {lesion.finding: lesion for lesion in self.study.visit.lesions}
        return {finding: lesions[finding] for finding in _REPORTED if finding in lesions.keys() - self.study.omitted}

    @property
    def devices(self) -> list[Lesion]:
        """Return the tubes, lines and implants."""
        return [lesion for lesion in self.study.visit.lesions if lesion.finding == "Support Devices"]

    def tags(self, *lesions: Lesion) -> frozenset[str]:
        """Return the conditions that hold for these lesions together; zone, size and side are the last one's."""
        found = set(tags(lesions[-1])) | {"AP" if self.study.portable else "PA"}
        found.add("initial" if self.prior is None else "followup")
        if lesions[0].side == lesions[-1].side:
            found.add("same-side")
            if lesions[0].zone == lesions[-1].zone:
                found.add("same-place")
        return frozenset(found)

    def fits(self, phrase: Phrase, *lesions: Lesion) -> bool:
        """Say whether `phrase` may be used: its conditions hold, and it mentions nothing omitted or stated already."""
        return phrase.when <= self.tags(*lesions) and not phrase.extras & (self.study.omitted | self.seen.keys())

    def say(self, phrase: Phrase, *lesions: Lesion) -> Statement:
        """Return `phrase` with the words of these lesions."""
        return Statement(phrase.fill([gaps(lesion, seed=self.seed) for lesion in lesions]), phrase.claims)

    def change(self, lesion: Lesion) -> str | None:
        """Return how `lesion` compares with the prior study: same, worse, better, new; None if there is no prior."""
        if self.prior is None:
            return None
        for before in self.prior.visit.lesions:
            if before.finding == lesion.finding:
                step = lesion.severity - before.severity
                return "same" if abs(step) < 0.12 else "worse" if step > 0 else "better"
        return "new"


def read_claims(statements: Iterable[Statement]) -> dict[str, float]:
    """Return finding -> label over several statements: present beats possible, possible beats absent."""
    rank = {NEGATIVE: 0, UNCERTAIN: 1, POSITIVE: 2}
    read: dict[str, float] = {}
    for statement in statements:
        for finding, value in statement.claims.items():
            read[finding] = max(read.get(finding, NEGATIVE), value, key=rank.__getitem__)
    return read


def impression(reading: Reading, *, share_stock_normal: float, rng: np.random.Generator) -> list[Statement]:
    """Return the statements of the impression, at least one."""
    devices = _devices(reading, "positive", rng)
    named = _named(reading, rng)
    if not named and rng.random() < share_stock_normal:
        return [*devices, Statement(choose(phrases("stock"), rng).text, {})]
    wanted = int(rng.choice(4, p=(0.25, 0.40, 0.25, 0.10))) if named else int(rng.integers(1, 4))
    said = [*devices, *named] if rng.random() < 0.4 else [*named, *devices]
    return said + _denials(reading, said, wanted, rng)


def _named(reading: Reading, rng: np.random.Generator) -> list[Statement]:
    """Return a statement for each reported finding; two that belong together may share one."""
    left = dict(reading.seen)
    said = []
    for pair in combinations(reading.seen, 2):
        if not left.keys() >= set(pair) or reading.study.hedged & set(pair):
            continue
        for order in (pair, pair[::-1]):
            lesions = [left[finding] for finding in order if finding in left]
            shared = [p for p in phrases("positive") if p.findings == order and reading.fits(p, *lesions)]
            if shared and rng.random() < 0.6:
                said.append(reading.say(choose(shared, rng), *lesions))
                left = {finding: lesion for finding, lesion in left.items() if finding not in pair}
                break

    for finding, lesion in left.items():
        statement = _single(reading, "positive", finding, lesion, rng)
        said.append(_compared(statement, reading.change(lesion), rng))
    return said


def _single(reading: Reading, role: str, finding: str, lesion: Lesion, rng: np.random.Generator) -> Statement:
    role = "hedged" if finding in reading.study.hedged else role
    fitting = [p for p in phrases(role) if p.findings == (finding,) and reading.fits(p, lesion)]
    return reading.say(choose(fitting, rng), lesion)


def _compared(statement: Statement, change: str | None, rng: np.random.Generator) -> Statement:
    if change is None or rng.random() >= 0.35:
        return statement
    words = _CHANGES[change][rng.integers(len(_CHANGES[change]))]
    return Statement(f"{statement.text.removesuffix('.')}, {words}.", statement.claims)


def _devices(reading: Reading, role: str, rng: np.random.Generator) -> list[Statement]:
    devices = reading.devices
    several = [p for p in phrases(role) if "several" in p.when]
    if len(devices) > 1 and several and rng.random() < 0.6:
        return [reading.say(choose(several, rng), *devices[:1])]
    return [_single(reading, role, "Support Devices", device, rng) for device in devices]


def _denials(reading: Reading, said: Sequence[Statement], wanted: int, rng: np.random.Generator) -> list[Statement]:
    """Return up to `wanted` denials of findings that are not mentioned yet, each finding once."""
    unsaid = _deniable(reading, said)
    denials: list[Statement] = []
    while len(denials) < wanted:
        fitting = [phrase for phrase in phrases("absent") if unsaid >= set(phrase.findings)]
        candidates = [finding for finding in _DENIED if any(finding in phrase.findings for phrase in fitting)]
        if not candidates:
            break
        weights = np.array([_DENIED[finding] for finding in candidates])
        denied = str(rng.choice(candidates, p=weights / weights.sum()))
        phrase = choose([phrase for phrase in fitting if denied in phrase.findings], rng)
        denials.append(reading.say(phrase))
        unsaid.difference_update(phrase.findings)
    return denials


def _deniable(reading: Reading, said: Sequence[Statement]) -> set[str]:
    """Return findings that are not mentioned yet and whose denial would not sound odd beside what was seen.

    A report does not state "no pneumonia" below a consolidation, or "no opacity" below a nodule.
    """
    brought_up = read_claims(said).keys() | reading.seen.keys()
    odd = {denial for finding in reading.seen for denial in PHANTOM_FINDINGS[finding].odd_denials}
    return set(ABNORMALITIES) - brought_up - odd


def findings(reading: Reading, *, rng: np.random.Generator) -> list[Statement]:
    """Return the statements of the findings section: devices, then lungs, pleura, heart and bones."""
    said = _devices(reading, "described", rng)
    if min(image.exposure.inspiration for image in reading.study.images) < 0.6:
        said.append(Statement("Lung volumes are low.", {}))
    for region, chance in _REGIONS.items():
        abnormal = [
            _single(reading, "described", finding, lesion, rng)
            for finding, lesion in reading.seen.items()
            if PHANTOM_FINDINGS[finding].region == region
        ]
        said += abnormal
        if rng.random() < (chance if not abnormal else 0.5 * chance):
            said += _normal(reading, region, said, rng)
    return said or _normal(reading, "lungs", said, rng)


def _normal(reading: Reading, region: Region, said: Sequence[Statement], rng: np.random.Generator) -> list[Statement]:
    """Return a statement that a region is normal; none if all its findings are mentioned already."""
    free = _deniable(reading, said)
    here = {name for name, finding in PHANTOM_FINDINGS.items() if finding.region == region}
    fitting = [p for p in phrases("normal") if here & set(p.findings) and free >= set(p.findings)]
    return [reading.say(choose(fitting, rng))] if fitting else []
