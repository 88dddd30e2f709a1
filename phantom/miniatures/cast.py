"""Who appears in a miniature: simulated patients, the films that are drawn of them, and what is reported."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from phantom.archive.mimic_tables import true_findings
from phantom.archive.physionet_layout import Draw
from phantom.miniatures.tiny_files import Picture
from phantom.patients.population import Image, Patient, Study
from phantom.patients.scenario import Scenario
from phantom.reports.radiology_report import Report, write_report

FRONTAL = ("PA", "AP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One film with everything around it."""

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
class Cast:
    """The people of one miniature; the same for every archive that is written with the same seed."""

    patients: tuple[Patient, ...]
    scenario: Scenario
    seed: int
    image_size: int
    """Longest side of the films, pixels"""
    draw: Draw
    """`phantom.draw_film`, or a stand-in with its signature"""

    def shots(self, *, keep: Callable[[Image], bool] = lambda _: True) -> Iterator[Shot]:
        """Yield the films that `keep` accepts, by patient, study and time, numbered among themselves."""
        number = 0
        for patient_number, patient in enumerate(self.patients, start=1):
            for study_number, study in enumerate(patient.studies, start=1):
                for image_number, image in enumerate(filter(keep, study.images), start=1):
                    number += 1
                    yield Shot(
                        number=number,
                        patient=patient,
                        patient_number=patient_number,
                        study=study,
                        study_number=study_number,
                        image=image,
                        image_number=image_number,
                    )

    def frontal_shots(self) -> list[Shot]:
        """Return the PA and AP films, for archives without laterals."""
        return list(self.shots(keep=lambda image: image.view in FRONTAL))

    def picture(self, shot: Shot) -> Picture:
        """Draw one film; the same in every archive."""
        film = self.draw(
            shot.patient.body(shot.study, self.scenario),
            shot.study.visit.lesions,
            view=shot.image.view,
            exposure=shot.image.exposure,
            image_size=self.image_size,
            rng=np.random.default_rng((self.seed, 6, shot.study.study_id, shot.study.images.index(shot.image))),
        )
        return film.image

    def report(self, shot: Shot) -> Report:
        """Return the report of the film's study."""
        studies = shot.patient.studies
        before = studies.index(shot.study) - 1
        return write_report(
            shot.patient,
            shot.study,
            prior=studies[before] if before >= 0 else None,
            scenario=self.scenario,
            rng=np.random.default_rng([self.seed, 4, shot.study.study_id]),
        )

    def rng(self, shot: Shot, purpose: int) -> np.random.Generator:
        """Return the generator for what an archive draws about one film beyond the simulation."""
        return np.random.default_rng([self.seed, 100 + purpose, shot.study.study_id, shot.image_number])
