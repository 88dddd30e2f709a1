"""The simulated patients of a miniature archive, their films and their reports."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from phantom.archive.mimic_tables import true_findings
from phantom.archive.physionet_layout import Draw
from phantom.miniatures.file_formats import Picture
from phantom.patients.population import Image, Patient, Study
from phantom.patients.scenario import Scenario
from phantom.reports.radiology_report import Report, write_report

FRONTAL = ("PA", "AP")


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniatureFilm:
    """One film with its patient, study and numbers in the archive."""

    number: int
    """From 1, over the whole archive"""
    patient: Patient
    patient_number: int
    """From 1"""
    study: Study
    study_number: int
    """From 1, within the patient"""
    image: Image
    image_number: int
    """From 1, within the study"""

    @property
    def age_years(self) -> int:
        """Whole years at the study."""
        return int(self.study.person.age_years)

    @property
    def findings(self) -> frozenset[str]:
        """What the film shows, by CheXpert's names."""
        return true_findings(self.study)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniaturePopulation:
    """The patients of one miniature; the same seed gives the same patients in every archive."""

    patients: tuple[Patient, ...]
    scenario: Scenario
    seed: int
    image_size: int
    """Longest side of the films, pixels"""
    draw: Draw
    """`phantom.draw_film`, or a stand-in with its signature"""

    def films(self, *, keep: Callable[[Image], bool] = lambda _: True) -> Iterator[MiniatureFilm]:
        """Yield the films that `keep` accepts, by patient, study and time, numbered among themselves."""
        number = 0
        for patient_number, patient in enumerate(self.patients, start=1):
            for study_number, study in enumerate(patient.studies, start=1):
                for image_number, image in enumerate(filter(keep, study.images), start=1):
                    number += 1
                    yield MiniatureFilm(
                        number=number,
                        patient=patient,
                        patient_number=patient_number,
                        study=study,
                        study_number=study_number,
                        image=image,
                        image_number=image_number,
                    )

    def frontal_films(self) -> list[MiniatureFilm]:
        """Return the PA and AP films, for archives without laterals."""
        return list(self.films(keep=lambda image: image.view in FRONTAL))

    def picture(self, film: MiniatureFilm) -> Picture:
        """Draw one film; the same in every archive."""
        drawn = self.draw(
            film.patient.body(film.study, self.scenario),
            film.study.visit.lesions,
            view=film.image.view,
            exposure=film.image.exposure,
            image_size=self.image_size,
            rng=np.random.default_rng((self.seed, 6, film.study.study_id, film.study.images.index(film.image))),
        )
        return drawn.image

    def report(self, film: MiniatureFilm) -> Report:
        """Return the report of the film's study."""
        studies = film.patient.studies
        before = studies.index(film.study) - 1
        return write_report(
            film.patient,
            film.study,
            prior=studies[before] if before >= 0 else None,
            scenario=self.scenario,
            rng=np.random.default_rng([self.seed, 4, film.study.study_id]),
        )

    def rng(self, film: MiniatureFilm, purpose: int) -> np.random.Generator:
        """Return the random generator for details of one film that only one archive has."""
        return np.random.default_rng([self.seed, 100 + purpose, film.study.study_id, film.image_number])
