"""What a film is drawn from: a body, its lesions, and the exposure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
"""The 14 labels of CheXpert in CheXzero's order"""

DEVICE_KINDS = (
    "endotracheal tube",
    "nasogastric tube",
    "central line",
    "picc line",
    "chest tube",
    "pacemaker",
    "sternal wires",
)
"""The support devices that can be drawn"""

View = Literal["PA", "AP", "LATERAL"]
Side = Literal["left", "right", "both", ""]
Zone = Literal["upper", "mid", "lower", ""]
Box = tuple[int, int, int, int]

VIEWS: tuple[View, ...] = ("PA", "AP", "LATERAL")
SIDES: tuple[Side, ...] = ("left", "right", "both", "")
ZONES: tuple[Zone, ...] = ("upper", "mid", "lower", "")

_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "age_years": (0.0, 110.0),
        "build": (-4.0, 4.0),
        "cardiothoracic_ratio": (0.3, 0.75),
        "dose": (0.02, 20.0),
        "contrast": (0.3, 2.0),
        "inspiration": (0.0, 1.2),
        "rotation_degrees": (-20.0, 20.0),
        "tilt_degrees": (-15.0, 15.0),
        "shift_x": (-0.2, 0.2),
        "shift_y": (-0.2, 0.2),
        "motion": (0.0, 1.0),
    }
)


def _check_ranges(record: object, names: tuple[str, ...]) -> None:
    for name in names:
        low, high = _RANGES[name]
        value = getattr(record, name)
        if not low <= value <= high:
            kind = type(record).__name__
            raise ValueError(f"{kind}.{name} must lie between {low:g} and {high:g}, found {value!r}")


def _check_choice(kind: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{kind} must be one of {', '.join(map(repr, choices))}, found {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One patient's frame. Two films of equal bodies show the same ribs, vessels and heart."""

    age_years: float
    """Age at the time of the film: sets size and proportions, and in old age aorta and spine"""
    sex: Literal["F", "M"]
    """Sex: breast shadows from about 12 years, size and shape of the thorax"""
    build: float = 0.0
    """Thickness of the body as a z-score: 0 is average, 2 is obese, -2 is emaciated"""
    cardiothoracic_ratio: float = 0.47
    """Widest heart over widest inner thorax on a PA film, before any Cardiomegaly is added"""
    seed: int
    """Fixes this patient's anatomy"""

    def __post_init__(self) -> None:
        _check_choice("Body.sex", self.sex, ("F", "M"))
        _check_ranges(self, ("age_years", "build", "cardiothoracic_ratio"))
        if self.seed < 0:
            raise ValueError(f"Body.seed must be 0 or more, found {self.seed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One abnormality, as a radiologist would localise it.

    Its exact place and shape follow from the body's seed, so a lesion stays where it is from film to film.
    """

    finding: str
    """One of FINDINGS but "No Finding" """
    side: Side = ""
    """The patient's side, whose right is on the left of the film; left blank, the patient's seed chooses"""
    zone: Zone = ""
    """Third of the lung, for findings that have one; left blank, the patient's seed chooses"""
    severity: float = 0.6
    """0.3 is barely visible, 1 is obvious"""
    kind: str = ""
    """Support Devices only: one of DEVICE_KINDS; left blank, the patient's seed chooses"""

    def __post_init__(self) -> None:
        if self.finding == "No Finding":
            raise ValueError("Lesion.finding cannot be 'No Finding': draw the film without lesions instead")
        _check_choice("Lesion.finding", self.finding, FINDINGS)
        _check_choice("Lesion.side", self.side, SIDES)
        _check_choice("Lesion.zone", self.zone, ZONES)
        if not 0.0 < self.severity <= 1.0:
            raise ValueError(f"Lesion.severity must lie in (0, 1], found {self.severity!r}")
        if self.kind and self.finding != "Support Devices":
            raise ValueError(f"Lesion.kind is for Support Devices only, found {self.kind!r} with {self.finding!r}")
        if self.kind:
            _check_choice("Lesion.kind", self.kind, DEVICE_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How the film was made."""

    dose: float = 1.0
    """Relative photon count; noise grows with its inverse square root, and 0.2 is a grainy portable film"""
    contrast: float = 1.0
    """Slope of the display curve: below 1 is a flat, over-penetrated film"""
    inspiration: float = 1.0
    """1 shows ten posterior ribs above the diaphragm, 0 about seven"""
    rotation_degrees: float = 0.0
    """Turn of the patient about the long axis, degrees; positive moves anterior parts to the patient's left"""
    tilt_degrees: float = 0.0
    """Rotation in the plane of the film, degrees, positive clockwise"""
    shift_x: float = 0.0
    """Centring error to the right of the film, as a fraction of the film's width"""
    shift_y: float = 0.0
    """Centring error downwards, as a fraction of the film's height"""
    motion: float = 0.0
    """Motion blur: 0 none, 1 is about 4 mm"""

    def __post_init__(self) -> None:
        _check_ranges(
            self,
            (
                "dose",
                "contrast",
                "inspiration",
                "rotation_degrees",
                "tilt_degrees",
                "shift_x",
                "shift_y",
                "motion",
            ),
        )
