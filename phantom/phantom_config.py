"""The settings of make_phantom.py and of its job miniature. Light: imports neither OpenCV nor pandas."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HEADINGS = {"out_dir": "output", "n_patients": "archive", "workers": "processes"}
"""Field of PhantomConfig -> heading in `-h` of this field and the fields after it."""
MINIATURE_HEADINGS = {"archive": "archive", "out_dir": "output", "n_patients": "people and films"}
"""The same for MiniatureConfig."""

ScenarioName = Literal["default", "null", "underdiagnosis", "few_children"]
"""Names of the presets in phantom/patients/scenario_presets.py, which `-h` shows without importing them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomConfig:
    """A simulated archive in the layout of MIMIC-CXR."""

    out_dir: Path = Path("data/phantom")
    """New or empty folder for the archive"""
    n_patients: int = 1200
    """Number of patients"""
    seed: int = 0
    """Seed of the archive; the same seed gives the same bytes"""
    scenario: ScenarioName = "default"
    """Disparities to plant; null: none, the negative control"""
    image_size: int = 512
    """Longest side of the films, pixels"""
    views: Literal["all", "frontal"] = "all"
    """Films of each study; frontal: no lateral ones"""
    workers: int | None = None
    """Processes that draw; without it, one per core"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniatureConfig:
    """A tiny copy of a public archive: its files, columns and words, with simulated people."""

    archive: Literal[
        "mimic-dicom",
        "chexpert",
        "chexpert-plus",
        "chexpert-test",
        "nih",
        "padchest",
        "vindr-cxr",
        "vindr-pcxr",
        "openi",
        "rsna",
        "siim",
    ]
    """Archive to copy, named as for preprocess_train_data.py --dataset_type"""
    out_dir: Path
    """New or empty folder for the miniature"""
    n_patients: int = 24
    """Number of patients, 2 or more"""
    seed: int = 0
    """Seed of the miniature; the same seed gives the same bytes, and the same people in every archive"""
    image_size: int = 256
    """Longest side of the films, pixels"""

    @property
    def next_command(self) -> str:
        """The command that reads the archive."""
        flags = f"--dataset_type {self.archive} --archive_root {self.out_dir}"
        if self.archive == "chexpert-test":
            flags = f"--dataset_type {self.archive} --chest_x_ray_path {self.out_dir}/CheXpert-v1.0/test --allow_count"
        return f"python preprocess_train_data.py {flags} --out_dir {self.out_dir}-packed"
