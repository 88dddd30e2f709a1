"""The people of a simulated archive, their visits to radiology and the films taken there."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from phantom.body import Body, Exposure, View
from phantom.patients.disease import Visit, simulate_visits
from phantom.patients.people import Person
from phantom.patients.scenario import ABNORMALITIES, Scenario

OLDEST_STATED_AGE = 89
"""Older patients have anchor_age 91 in MIMIC-IV, whatever their age"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One film."""

    dicom_id: str
    """Name of the file without suffix: five groups of eight hexadecimal digits"""
    view: View
    """The view as taken; the metadata may lack it"""
    exposure: Exposure
    """How it was made"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One visit to radiology: its films, what they show, and what the report omits or hedges."""

    study_id: int
    """Eight digits, the first a 5"""
    time: datetime
    """Date and time in the patient's shifted calendar"""
    person: Person
    """The patient at that age"""
    visit: Visit
    """What the films show"""
    omitted: frozenset[str]
    """Visible findings that the report omits"""
    hedged: frozenset[str]
    """Reported findings that are worded as a possibility"""
    images: tuple[Image, ...]
    """Films in the order they were taken"""

    @property
    def portable(self) -> bool:
        """Whether the study was taken at the bedside, from front to back."""
        return any(image.view == "AP" for image in self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One patient."""

    subject_id: int
    """Eight digits, 10000000 to 19999999"""
    split: str
    """train, validate or test"""
    anchor_age: int
    """True age in the anchor year, not yet cut at 89"""
    anchor_year: int
    """A year of the patient's shifted calendar"""
    build: float
    """Thickness of the body as a z-score"""
    heart_z: float
    """Healthy heart size as a z-score among people of the same age"""
    seed: int
    """Fixes the drawn anatomy"""
    studies: tuple[Study, ...]
    """In order of time"""

    @property
    def person(self) -> Person:
        """The patient at the first study."""
        return self.studies[0].person

    def body(self, study: Study, scenario: Scenario) -> Body:
        """Return the body to draw at `study`."""
        age = study.person.age_years if scenario.drawn_age_years is None else scenario.drawn_age_years
        ratio = scenario.heart_ratio_of(age) + scenario.heart_ratio_sd * self.heart_z
        sex: Literal["F", "M"] = "F" if study.person.sex == "F" else "M"
        return Body(
            age_years=age,
            sex=sex,
            build=self.build,
            cardiothoracic_ratio=min(max(ratio, 0.42), 0.65),
            seed=self.seed,
        )


def simulate(scenario: Scenario, *, n_patients: int, seed: int) -> tuple[Patient, ...]:
    """Return `n_patients` patients in order of subject_id.

    Args:
        scenario: The planted numbers.
        n_patients: Number of patients, 1 or more.
        seed: Seed of the random numbers, 0 or more.

    Raises:
        ValueError: If `n_patients` or `seed` is out of range.
    """
    if not 1 <= n_patients <= 1_000_000:
        raise ValueError(f"n_patients must lie between 1 and 1000000, found {n_patients}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, found {seed}")
    rng = np.random.default_rng([seed, 0])
    subject_ids = np.sort(10_000_000 + rng.choice(10_000_000, n_patients, replace=False))
    # A patient has at most as many studies as there are visit shares, and each gets an id of its own.
    most = len(scenario.visit_shares)
    study_ids = (50_000_000 + rng.choice(10_000_000, n_patients * most, replace=False)).reshape(n_patients, most)
    splits = _split(scenario.split_shares, n_patients, rng)
    return tuple(
        _patient(int(subject_ids[i]), splits[i], study_ids[i].tolist(), scenario, np.random.default_rng([seed, 1, i]))
        for i in range(n_patients)
    )


def _split(shares: Mapping[str, float], n: int, rng: np.random.Generator) -> list[str]:
    """Return one split per patient, in shares as exact as whole patients allow."""
    bounds = np.round(np.cumsum(list(shares.values())) * n).astype(int)
    names = np.repeat(list(shares), np.diff(bounds, prepend=0))
    return [str(name) for name in rng.permutation(names)]


def _choose(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _patient(
    subject_id: int, split: str, study_ids: Sequence[int], scenario: Scenario, rng: np.random.Generator
) -> Patient:
    # Age, sex, race, insurance. The order of the random draws must not change: a seed stands for one archive.
    anchor_age = _age(scenario, rng)
    anchor_year = int(rng.integers(2110, 2200))
    sex = "F" if rng.random() < scenario.share_female else "M"
    race = _choose(scenario.race_shares, rng)
    band = "under 18" if anchor_age < 18 else "18 to 64" if anchor_age < 65 else "65 and over"
    insurance = _choose(scenario.insurance_shares[band], rng)

    # The times of the studies, and the findings at each.
    n_studies = 1 + int(rng.choice(len(scenario.visit_shares), p=scenario.visit_shares))
    times = _study_times(anchor_year, n_studies, rng)
    people = [
        Person(age_years=float(anchor_age + time.year - anchor_year), sex=sex, race=race, insurance=insurance)
        for time in times
    ]
    visits = simulate_visits(people, scenario=scenario, rng=rng)

    return Patient(
        subject_id=subject_id,
        split=split,
        anchor_age=anchor_age,
        anchor_year=anchor_year,
        build=float(np.clip(rng.standard_normal(), -2.5, 3.0)),
        heart_z=float(np.clip(rng.standard_normal(), -2.5, 2.5)),
        seed=int(rng.integers(2**31)),
        studies=tuple(
            _study(study_id=study_id, time=time, person=person, visit=visit, scenario=scenario, rng=rng)
            for study_id, time, person, visit in zip(study_ids, times, people, visits, strict=False)
        ),
    )


def _age(scenario: Scenario, rng: np.random.Generator) -> int:
    if rng.random() < scenario.share_children:
        return int(rng.integers(1, 18))
    while True:
        age = scenario.adult_age_mean_years + scenario.adult_age_sd_years * rng.standard_normal()
        if 18 <= age < 98:
            return int(age)


def _study_times(anchor_year: int, n: int, rng: np.random.Generator) -> list[datetime]:
    """Return the times of `n` studies; the next one comes within days (same stay) or within months."""
    time = datetime(anchor_year + int(rng.integers(0, 3)), 1, 1) + timedelta(days=float(rng.uniform(0, 365)))  # noqa: DTZ001
    times = [time]
    for _ in range(n - 1):
        days = rng.uniform(0.3, 4) if rng.random() < 0.4 else 5 + rng.exponential(150)
        time += timedelta(days=float(days))
        times.append(time)
    return [time.replace(microsecond=time.microsecond // 1000 * 1000) for time in times]


def _study(
    *, study_id: int, time: datetime, person: Person, visit: Visit, scenario: Scenario, rng: np.random.Generator
) -> Study:
    missed = scenario.underreporting_of(person)
    omitted = {finding for finding in ABNORMALITIES if finding in visit.findings and rng.random() < missed}
    reported = [finding for finding in ABNORMALITIES if finding in visit.findings - omitted]

    views = _views(bool(rng.random() < scenario.ap_share_of(person, visit.acuity)), rng)
    return Study(
        study_id=study_id,
        time=time,
        person=person,
        visit=visit,
        omitted=frozenset(omitted),
        hedged=frozenset(finding for finding in reported if rng.random() < scenario.share_uncertain),
        images=tuple(
            Image(dicom_id=_dicom_id(rng), view=view, exposure=_exposure(view, person, visit, scenario, rng))
            for view in views
        ),
    )


def _views(portable: bool, rng: np.random.Generator) -> tuple[View, ...]:
    chance = rng.random()
    if portable:
        return ("AP",) if chance < 0.85 else ("AP", "AP")
    if chance < 0.62:
        return ("PA", "LATERAL")
    return ("PA",) if chance < 0.97 else ("PA", "PA", "LATERAL")


def _exposure(view: View, person: Person, visit: Visit, scenario: Scenario, rng: np.random.Generator) -> Exposure:
    """Return an exposure with everyday scatter; bedside films are flatter, turned and less inspired."""
    bedside = view == "AP"
    dose = scenario.dose_of(person) * (0.7 if bedside else 1.0) * math.exp(0.2 * rng.standard_normal())
    contrast = scenario.contrast_of(person) * (0.95 if bedside else 1.0) * math.exp(0.05 * rng.standard_normal())
    inspiration = (0.7 if bedside else 0.92) - 0.05 * max(visit.acuity, 0.0) + 0.08 * rng.standard_normal()
    inspiration *= scenario.inspiration_of(person)

    slack = scenario.mispositioning_of(person)
    turn = slack * (3.0 if bedside else 1.2)
    return Exposure(
        dose=float(np.clip(dose, 0.02, 20.0)),
        contrast=float(np.clip(contrast, 0.3, 2.0)),
        inspiration=float(np.clip(inspiration, 0.1, 1.1)),
        rotation_degrees=float(np.clip(turn * rng.standard_normal(), -15, 15)),
        tilt_degrees=float(np.clip(0.6 * turn * rng.standard_normal(), -12, 12)),
        shift_x=float(np.clip(0.006 * turn * rng.standard_normal(), -0.12, 0.12)),
        shift_y=float(np.clip(0.006 * turn * rng.standard_normal(), -0.12, 0.12)),
        motion=float(np.clip(slack * (0.15 if bedside else 0.03) * abs(rng.standard_normal()), 0.0, 0.6)),
    )


def _dicom_id(rng: np.random.Generator) -> str:
    return "-".join(f"{part:08x}" for part in rng.integers(0, 2**32, 5).tolist())
