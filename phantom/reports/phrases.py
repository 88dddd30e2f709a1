"""The radiologist's vocabulary: tables with one phrase per row, and the words that fill a phrase's gaps.

Each finding has a table of its own beside its module in `phantom/findings`; `normal_phrases.csv` here says what is
normal or absent, often of several findings at once. A phrase about two findings is in the table of the first.

Columns: `role` (stock: a normal impression; positive and hedged: a finding in the impression; described: the same in
the findings section; absent and normal: its absence in the impression and in the findings section), `findings` joined
by "+", `when` (tags that must all hold), `also` (what else a labeller reads in it: 1 or -1; "nothing": not even its own
findings, as in "the lungs are clear"), `weight` (how often it is chosen) and `text` with gaps in braces.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from phantom.body import FINDINGS, Lesion
from phantom.findings.registry import PHANTOM_FINDINGS

POSITIVE, NEGATIVE, UNCERTAIN = 1.0, 0.0, -1.0
"""Values of a label, as in MIMIC-CXR-JPG"""

_VALUES = {
    "stock": NEGATIVE,
    "positive": POSITIVE,
    "hedged": UNCERTAIN,
    "described": POSITIVE,
    "absent": NEGATIVE,
    "normal": NEGATIVE,
}
ROLES = tuple(_VALUES)


@dataclass(frozen=True, slots=True)
class Phrase:
    """One way of saying something."""

    role: str
    """One of ROLES"""
    findings: tuple[str, ...]
    """Findings it is about, in the order of its numbered gaps"""
    when: frozenset[str]
    """Tags that must hold for the lesions"""
    claims: Mapping[str, float]
    """Finding -> label that it implies: 1, 0 or -1"""
    weight: float
    """Relative frequency"""
    text: str
    """A template of `str.format`"""

    @property
    def extras(self) -> frozenset[str]:
        """Other findings that it mentions."""
        return frozenset(self.claims).difference(self.findings)

    def fill(self, gaps: Sequence[Mapping[str, str]] = ()) -> str:
        """Return the sentence, `gaps[i]` being the words for `findings[i]`."""
        text = self.text.format(*gaps, **(gaps[0] if gaps else {}))
        return text[0].upper() + text[1:]


def read_phrases(path: Path) -> tuple[Phrase, ...]:
    """Return the rows of a phrase table.

    Raises:
        ValueError: If a role or finding is unknown.
    """
    with path.open(encoding="utf-8", newline="") as handle:
        return tuple(_phrase(row, number, path) for number, row in enumerate(csv.DictReader(handle), start=2))


def _phrase(row: Mapping[str, str], number: int, path: Path) -> Phrase:
    role, findings = row["role"], tuple(filter(None, row["findings"].split("+")))
    silent = row["also"] == "nothing"
    entries = [] if silent else [entry.partition("=") for entry in row["also"].split(";") if entry]
    also = {name: float(value) for name, _, value in entries}
    for found, known in ((role, ROLES), *((finding, FINDINGS) for finding in (*findings, *also))):
        if found not in known:
            raise ValueError(f"{path.name} line {number}: {found!r} is unknown; known are {', '.join(known)}")
    return Phrase(
        role=role,
        findings=findings,
        when=frozenset(row["when"].split()),
        claims=MappingProxyType({} if silent else dict.fromkeys(findings, _VALUES[role]) | also),
        weight=float(row["weight"]),
        text=row["text"],
    )


@cache
def phrases(role: str) -> tuple[Phrase, ...]:
    """Return the project's phrases of one role."""
    return tuple(phrase for phrase in _table() if phrase.role == role)


@cache
def _table() -> tuple[Phrase, ...]:
    """Return all phrases: what is normal, often said of several findings at once, and what each finding shows."""
    of_findings = [phrase for finding in PHANTOM_FINDINGS.values() for phrase in read_phrases(finding.phrases_path)]
    return (*read_phrases(Path(__file__).with_name("normal_phrases.csv")), *of_findings)


def choose(candidates: Sequence[Phrase], rng: np.random.Generator) -> Phrase:
    """Return one of `candidates`, by weight.

    Raises:
        ValueError: If there is none to choose from.
    """
    if not candidates:
        raise ValueError("no phrase fits: the finding's table of phrases lacks a row without conditions")
    weights = np.array([phrase.weight for phrase in candidates])
    return candidates[int(rng.choice(len(candidates), p=weights / weights.sum()))]


def tags(lesion: Lesion) -> frozenset[str]:
    """Return the conditions that hold for `lesion`."""
    severity = _grade(lesion.severity)
    side = {"both": "both", "": "midline"}.get(lesion.side, "one")
    general = {severity, side, lesion.zone or "everywhere"}
    return frozenset(general) | PHANTOM_FINDINGS[lesion.finding].tags(lesion)


def gaps(lesion: Lesion, *, seed: int) -> dict[str, str]:
    """Return the words for the gaps of `lesion`'s phrases; numbers are fixed by the patient's seed and the severity."""
    one = {"left": "left", "right": "right"}.get(lesion.side, "bilateral")
    severity = _grade(lesion.severity)
    lobe, in_lobe = _lobe(lesion.side, lesion.zone)
    lower = lesion.zone == "lower"
    return {
        "severity": severity,
        "severely": {"mild": "mildly", "moderate": "moderately", "severe": "severely"}[severity],
        "size": {"mild": "small", "moderate": "moderate", "severe": "large"}[severity],
        "side": one,
        "lobe": lobe,
        "in_lobe": in_lobe,
        "base": "lung bases" if lesion.side == "both" else f"{one} lung base",
        "basal": ("bibasilar" if lesion.side == "both" else f"{one} basilar") if lower else lobe,
        **PHANTOM_FINDINGS[lesion.finding].words(lesion, seed),
    }


def _grade(severity: float) -> str:
    return "mild" if severity < 0.55 else "moderate" if severity < 0.8 else "severe"


def _lobe(side: str, zone: str) -> tuple[str, str]:
    """Return where in the lungs as an adjective and as a noun."""
    if side == "both":
        lobes = {"upper": "upper lobe", "mid": "mid lung", "lower": "lower lobe"}.get(zone, "lung")
        return f"bilateral {lobes}", f"both {lobes}s"
    if zone == "mid":
        return ("right middle lobe", "the right middle lobe") if side == "right" else ("lingular", "the lingula")
    lobe = f"{side} {zone} lobe" if zone else f"{side} lung"
    return lobe, f"the {lobe}"
