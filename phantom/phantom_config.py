"""The settings of `make_phantom.py` and its `miniature`. Imports nothing heavy, so that `-h` is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomConfig:
    """The archive to make."""

    out_dir: Path = Path("data/phantom")
    """A new or empty folder."""
    n_patients: int = 1200
    """How many patients."""
    seed: int = 0
    """The same seed gives the same bytes."""
    scenario: Literal["default", "null", "underdiagnosis", "few_children"] = "default"
    """What is planted; null is the negative control, without any disparity."""
    image_size: int = 512
    """Longest side of the films, pixels."""
    workers: int | None = None
    """Processes that draw; left out, one per CPU core."""


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
    """Which archive, by its name as --dataset_type."""
    out_dir: Path
    """A new or empty folder."""
    n_patients: int = 24
    """How many patients, 2 or more."""
    seed: int = 0
    """The same seed gives the same bytes, and the same people in every archive."""
    image_size: int = 256
    """Longest side of the films, pixels."""

    @property
    def next_command(self) -> str:
        """The command that reads the archive."""
        flags = f"--dataset_type {self.archive} --archive_root {self.out_dir}"
        if self.archive == "chexpert-test":
            flags = f"--dataset_type {self.archive} --chest_x_ray_path {self.out_dir}/CheXpert-v1.0/test --allow_count"
        return f"python preprocess_train_data.py {flags} --out_dir {self.out_dir}-packed"
