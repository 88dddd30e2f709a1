"""Every test here may build the model "toy", and runs on one thread."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _small(toy_architecture, one_thread):
    """Ask for both."""
