"""What `run_demo.py` can be told. Imports nothing heavy, so that `-h` is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """Train on simulated films and reports, score held-out patients by prompts, write report.html and summary.json."""

    out_dir: Path = Path("runs/demo")
    """folder of everything that is made"""
    scenario: Literal["default", "null", "underdiagnosis", "few_children"] = "default"
    """what is planted in the archive; null is the one without any disparity"""
    n_patients: int = 2000
    """simulated patients"""
    image_size: int = 256
    """longest side of the films, pixels"""
    resolution: int = 112
    """side of the stored images, pixels; what the demo's network reads"""
    seed: int = 0
    """of archive, training and intervals"""
    train_minutes: float = 3.0
    """training time of each model, minutes"""
    n_replicates: int = 1000
    """bootstrap resamples of patients behind every interval"""
    control: bool = False
    """also train on shuffled reports: whatever is learnt then is a leak"""

    def __post_init__(self) -> None:
        if self.n_patients < 50:
            raise ValueError(f"--n_patients: wanted 50 or more, so that every split has some; found {self.n_patients}")
        if self.train_minutes <= 0:
            raise ValueError(f"--train_minutes: wanted more than 0, found {self.train_minutes}")
