"""The settings of run_demo.py, and of every stage as they follow from them. Light: imports neither torch nor pandas."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from phantom.phantom_config import PhantomConfig, ScenarioName
from preprocess.preprocess_config import PreprocessConfig
from train.presets import phantom
from train.train_config import TrainConfig
from zero_shot.zero_shot_config import ZeroShotConfig

HEADINGS = {
    "out_dir": "output",
    "scenario": "simulated archive",
    "resolution": "images and model",
    "n_replicates": "report",
}
"""Field -> heading in `-h` of this field and the fields after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """Train on simulated films and reports, score held-out patients by prompts, write report.html and summary.json."""

    out_dir: Path = Path("runs/demo")
    """Folder of everything that the demo writes"""
    scenario: ScenarioName = "default"
    """Disparities to plant in the archive; null: none, the negative control"""
    n_patients: int = 2000
    """Number of simulated patients"""
    image_size: int = 256
    """Longest side of the films, pixels"""
    resolution: int = 112
    """Side of the stored images, which the demo's network reads, pixels"""
    seed: int = 0
    """Seed of archive, training and intervals"""
    epochs: int = phantom().epochs
    """Passes over the training images, of each model"""
    n_replicates: int = 1000
    """Bootstrap resamples of patients behind every interval"""
    control: bool = False
    """Also train on shuffled reports; anything learnt then is a leak"""

    def __post_init__(self) -> None:
        if self.n_patients < 50:
            raise ValueError(f"--n_patients: wanted 50 or more, so that every split has some, found {self.n_patients}")
        if self.epochs < 1:
            raise ValueError(f"--epochs: wanted 1 or more, found {self.epochs}")


class Plan(NamedTuple):
    """The settings of every stage; each writes into a folder of its own below the demo's."""

    archive: PhantomConfig
    packing: PreprocessConfig
    training: TrainConfig
    scoring: ZeroShotConfig


def plan(config: DemoConfig) -> Plan:
    """Return the settings of every stage of a demo."""
    root, seed = config.out_dir, config.seed

    archive = PhantomConfig(
        out_dir=root / "phantom",
        n_patients=config.n_patients,
        seed=seed,
        scenario=config.scenario,
        image_size=config.image_size,
        # training and scoring read frontal films only
        views="frontal",
    )

    packing = PreprocessConfig(
        archive_root=archive.out_dir,
        out_dir=root / "data",
        resolution=config.resolution,
        section="both",
        overwrite=True,
    )

    files = packing.outputs
    training = replace(
        phantom(),
        cxr_filepath=files.images,
        txt_filepath=files.texts,
        cohort_filepath=files.cohort,
        epochs=config.epochs,
        # two models are trained side by side, and one thread gives the same weights on a busy machine
        threads=1,
        seed=seed,
        out_dir=root / "model",
        overwrite=True,
    )

    return Plan(archive, packing, training, scoring_of(training, config, out_dir=root / "predictions"))


def scoring_of(training: TrainConfig, config: DemoConfig, *, out_dir: Path) -> ZeroShotConfig:
    """Return how the model of a training run is scored: on held-out patients, against what was drawn into the films."""
    return ZeroShotConfig(
        checkpoints=(str(training.folder),),
        cxr_filepath=training.cxr_filepath,
        cohort_filepath=training.cohort_filepath,
        truth_filepath=config.out_dir / "phantom" / "truth.csv",
        seed=config.seed,
        n_replicates=config.n_replicates,
        out_dir=out_dir,
    )
