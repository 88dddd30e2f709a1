"""Shapes are checked at run time in every test: jaxtyping with beartype over the whole project."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
PACKAGES = ["audit", "cohort", "metrics", "models", "phantom", "preprocess", "train", "zero_shot"]

sys.path.insert(0, str(ROOT))
install_import_hook(PACKAGES, "beartype.beartype")
# A slow machine is no failure: benchmarks measure time, tests do not.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"../shared/{name} is not here")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of the reference's outputs."""
    return _folder("golden")


@pytest.fixture(scope="session")
def real() -> Path:
    """Return the folder of real images and reports."""
    return _folder("real")
