"""The planted numbers of a simulated archive: prevalence, under-reporting, film quality and gaps, by group."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from phantom.body import FINDINGS
from phantom.findings.registry import PHANTOM_FINDINGS, PREVALENCE
from phantom.patients.people import INSURANCES, RACES, Person, conditions

REFERENCE_AGE_YEARS = 60.0
"""Age at which `Scenario.prevalence` and `Scenario.heart_ratio` hold; slopes count from here"""

ABNORMALITIES = tuple(finding for finding in FINDINGS if finding not in {"No Finding", "Support Devices"})
"""What a radiologist can miss: everything but tubes and lines, and normality itself"""

_AGE_SLOPES: Mapping[str, float] = MappingProxyType(
    {
        name: PHANTOM_FINDINGS[name].prevalence_age_slope
        for name in PREVALENCE
        if PHANTOM_FINDINGS[name].prevalence_age_slope
    }
)
_RACE_SHARES: Mapping[str, float] = MappingProxyType(
    {
        "White": 0.58,
        "Black": 0.20,
        "Hispanic": 0.09,
        "Asian": 0.06,
        "Other": 0.04,
        "Multiple": 0.01,
        "AIAN": 0.01,
        "NHPI": 0.01,
    }
)
_INSURANCE_SHARES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "under 18": MappingProxyType({"Medicaid": 0.40, "Private": 0.55, "Other": 0.05}),
        "18 to 64": MappingProxyType(
            {"Medicare": 0.14, "Medicaid": 0.30, "Private": 0.46, "Other": 0.08, "No charge": 0.02}
        ),
        "65 and over": MappingProxyType({"Medicare": 0.80, "Medicaid": 0.08, "Private": 0.10, "Other": 0.02}),
    }
)


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"Scenario.{name} is a share: wanted 0 to 1, found {value!r}")


def _check_shares(name: str, shares: Mapping[str, float], known: tuple[str, ...]) -> None:
    unknown = sorted(set(shares) - set(known))
    if unknown:
        raise ValueError(f"Scenario.{name} names {unknown[0]!r}; it may name {', '.join(known)}")
    for key, value in shares.items():
        _check_share(f"{name}[{key!r}]", value)
    if not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-9):
        raise ValueError(f"Scenario.{name} must add up to 1, found {sum(shares.values()):g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Every planted number of one simulated archive.

    A group is written as conditions: "race=Black", or "race=Black,sex=F" for an intersection. The factors of all groups
    that a person belongs to are multiplied.
    """

    name: str
    """Shown in reports and file names"""

    share_children: float = 0.06
    """Share of patients aged 1 to 17 at their anchor year"""
    adult_age_mean_years: float = 58.0
    """Mean age of adults, before ages are limited to 18 to 97"""
    adult_age_sd_years: float = 18.0
    """Standard deviation of the age of adults, before the limits"""
    share_female: float = 0.48
    """Share of female patients"""
    race_shares: Mapping[str, float] = field(default_factory=lambda: dict(_RACE_SHARES))
    """Share of patients by race"""
    insurance_shares: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: {band: dict(shares) for band, shares in _INSURANCE_SHARES.items()}
    )
    """Age band at the anchor year ("under 18", "18 to 64", "65 and over") -> share of patients by insurance"""
    visit_shares: tuple[float, ...] = (0.60, 0.22, 0.10, 0.05, 0.03)
    """Shares of patients with 1 study, 2 studies and so on"""
    split_shares: Mapping[str, float] = field(default_factory=lambda: {"train": 0.65, "validate": 0.07, "test": 0.28})
    """Share of patients by split"""

    prevalence: Mapping[str, float] = field(default_factory=lambda: dict(PREVALENCE))
    """Finding -> share of studies that show it, at age 60 and outside the groups of `prevalence_odds`"""
    prevalence_age_slope: Mapping[str, float] = field(default_factory=lambda: dict(_AGE_SLOPES))
    """Finding -> change of the log odds of its prevalence per decade of age"""
    prevalence_odds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Group -> finding -> factor on the odds of its prevalence"""
    severity_range: tuple[float, float] = (0.35, 1.0)
    """Severity of the mildest and of the worst case of a finding; 0.3 is barely visible, 1 is obvious"""

    underreporting: float = 0.04
    """Share of visible abnormalities that reports omit, in every group"""
    underreporting_in_group: Mapping[str, float] = field(default_factory=dict)
    """Group -> share of its remaining abnormalities that reports omit in addition"""
    share_uncertain: float = 0.10
    """Share of reported abnormalities that are worded as a possibility (label -1)"""

    dose: Mapping[str, float] = field(default_factory=dict)
    """Group -> factor on the photon count of its films; noise grows with its inverse square root"""
    contrast: Mapping[str, float] = field(default_factory=dict)
    """Group -> factor on the contrast of its films"""
    inspiration: Mapping[str, float] = field(default_factory=dict)
    """Group -> factor on inspiration; low lung volumes crowd the vessels and hide the bases"""
    mispositioning: Mapping[str, float] = field(default_factory=dict)
    """Group -> factor on the standard deviation of rotation, tilt, centring and motion"""
    ap_share: float = 0.42
    """Share of AP studies at the reference age and mean acuity; the others are PA"""
    ap_logit_per_acuity: float = 1.3
    """Change of the log odds of an AP study per standard deviation of acuity (how ill the patient is)"""
    ap_logit_per_decade: float = 0.15
    """Change of the log odds of an AP study per decade of age"""
    heart_ratio: float = 0.465
    """Mean cardiothoracic ratio of healthy hearts at the reference age"""
    heart_ratio_per_decade: float = 0.006
    """Change of that mean per decade of adult age"""
    heart_ratio_sd: float = 0.015
    """Standard deviation of the ratio among patients of one age"""
    heart_ratio_infant_excess: float = 0.06
    """Added to the ratio at birth; falls linearly to 0 at 6 years"""
    drawn_age_years: float | None = None
    """Draw every body at this age, so that age cannot change the difficulty of a film; None: at its own age"""

    share_findings_only: float = 0.125
    """Share of reports with FINDINGS but no IMPRESSION"""
    share_without_sections: float = 0.05
    """Share of reports with neither section: one paragraph"""
    share_impression_only: float = 0.20
    """Share of reports with IMPRESSION but no FINDINGS"""
    share_stock_normal: float = 0.70
    """Share of the normal impressions that are one of a few stock sentences, word for word"""
    share_addendum: float = 0.01
    """Share of reports with an addendum"""

    share_not_in_hospital_tables: float = 0.02
    """Share of patients without a row in MIMIC-IV at all: age, sex, race and insurance unknown"""
    share_without_admission: float = 0.05
    """Share of patients in MIMIC-IV's patients but not in its admissions: race and insurance unknown"""
    share_race_unknown: float = 0.05
    """Share of admitted patients whose every admission states an unknown race"""
    share_race_sometimes_unknown: float = 0.05
    """Share of admitted patients of stated race with one more admission that states an unknown race"""
    share_race_conflict: float = 0.03
    """Share of admitted patients of stated race with one more admission that states another race"""
    share_insurance_missing: float = 0.03
    """Share of admissions without insurance"""
    share_view_missing: float = 0.01
    """Share of images without ViewPosition"""

    def __post_init__(self) -> None:
        self._check_plain_shares()
        self._check_people()
        self._check_findings()
        self._check_groups()

    def _check_plain_shares(self) -> None:
        for name in self.__slots__:
            if name.startswith("share_") or name == "underreporting":
                _check_share(name, getattr(self, name))
        if not 0.0 < self.ap_share < 1.0:
            raise ValueError(f"Scenario.ap_share must lie between 0 and 1, found {self.ap_share!r}")
        sections = self.share_findings_only + self.share_without_sections + self.share_impression_only
        _check_share("share_findings_only + share_without_sections + share_impression_only", sections)
        low, high = self.severity_range
        if not 0.0 < low <= high <= 1.0:
            raise ValueError(f"Scenario.severity_range must be 0 < mildest <= worst <= 1, found {self.severity_range}")

    def _check_people(self) -> None:
        _check_shares("race_shares", self.race_shares, RACES)
        _check_shares("split_shares", self.split_shares, ("train", "validate", "test"))
        visits = {str(i + 1): share for i, share in enumerate(self.visit_shares)}
        _check_shares("visit_shares", visits, tuple(visits))
        if set(self.insurance_shares) != set(_INSURANCE_SHARES):
            found = ", ".join(self.insurance_shares) or "none"
            raise ValueError(f"Scenario.insurance_shares wants the bands {', '.join(_INSURANCE_SHARES)}; found {found}")
        for band, shares in self.insurance_shares.items():
            _check_shares(f"insurance_shares[{band!r}]", shares, INSURANCES)

    def _check_findings(self) -> None:
        if set(self.prevalence) != set(PREVALENCE):
            odd = sorted(set(self.prevalence) ^ set(PREVALENCE))
            raise ValueError(f"Scenario.prevalence wants each finding but 'No Finding' once; look at {odd[0]!r}")
        for finding, share in self.prevalence.items():
            if not 0.0 < share < 1.0:
                raise ValueError(f"Scenario.prevalence[{finding!r}] must lie between 0 and 1, found {share!r}")
        for table in (self.prevalence_age_slope, *self.prevalence_odds.values()):
            unknown = sorted(set(table) - set(PREVALENCE))
            if unknown:
                raise ValueError(f"Scenario names the finding {unknown[0]!r}; findings are {', '.join(PREVALENCE)}")

    def _check_groups(self) -> None:
        for group, rate in self.underreporting_in_group.items():
            _check_share(f"underreporting_in_group[{group!r}]", rate)
        for factors in (*self._film_factors(), *self.prevalence_odds.values()):
            for key, factor in factors.items():
                if factor <= 0:
                    raise ValueError(f"Scenario wants factors above 0, found {factor!r} for {key!r}")
        for table in (self.prevalence_odds, self.underreporting_in_group, *self._film_factors()):
            for group in table:
                conditions(group)

    def _film_factors(self) -> tuple[Mapping[str, float], ...]:
        return self.dose, self.contrast, self.inspiration, self.mispositioning

    def prevalence_of(self, person: Person) -> dict[str, float]:
        """Return finding -> probability that a study of `person` shows it.

        odds = p / (1 - p) * exp(slope * (age - 60) / 10) * product of the factors of the person's groups,
        with p = `prevalence[finding]`.
        """
        decades = (person.age_years - REFERENCE_AGE_YEARS) / 10
        tables = [factors for group, factors in self.prevalence_odds.items() if person.belongs_to(group)]
        shares = {}
        for finding, base in self.prevalence.items():
            odds = base / (1 - base) * math.exp(self.prevalence_age_slope.get(finding, 0.0) * decades)
            odds *= math.prod(factors.get(finding, 1.0) for factors in tables)
            shares[finding] = odds / (1 + odds)
        return shares

    def underreporting_of(self, person: Person) -> float:
        """Return the share of the person's visible abnormalities that their reports leave out.

        1 - (1 - `underreporting`) * product of (1 - rate) over the person's groups.
        """
        return 1 - (1 - self.underreporting) * _product(
            person, {group: 1 - rate for group, rate in self.underreporting_in_group.items()}
        )

    def dose_of(self, person: Person) -> float:
        """Return the factor on the photon count of the person's films."""
        return _product(person, self.dose)

    def contrast_of(self, person: Person) -> float:
        """Return the factor on the contrast of the person's films."""
        return _product(person, self.contrast)

    def heart_ratio_of(self, age_years: float) -> float:
        """Return the mean cardiothoracic ratio of healthy hearts at `age_years`."""
        decades = (max(age_years, 18.0) - REFERENCE_AGE_YEARS) / 10
        infant = self.heart_ratio_infant_excess * max(0.0, 1 - age_years / 6)
        return self.heart_ratio + self.heart_ratio_per_decade * decades + infant

    def inspiration_of(self, person: Person) -> float:
        """Return the factor on the inspiration of the person's films."""
        return _product(person, self.inspiration)

    def mispositioning_of(self, person: Person) -> float:
        """Return the factor on how badly the person is positioned."""
        return _product(person, self.mispositioning)

    def ap_share_of(self, person: Person, acuity: float) -> float:
        """Return the probability that a study of `person`, ill by `acuity` standard deviations, is taken as AP."""
        decades = (person.age_years - REFERENCE_AGE_YEARS) / 10
        logit = math.log(self.ap_share / (1 - self.ap_share))
        logit += self.ap_logit_per_acuity * acuity + self.ap_logit_per_decade * decades
        return 1 / (1 + math.exp(-logit))

    def to_json(self) -> dict[str, Any]:
        """Return all planted numbers as plain JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def _product(person: Person, factors: Mapping[str, float]) -> float:
    return math.prod((factor for group, factor in factors.items() if person.belongs_to(group)), start=1.0)
