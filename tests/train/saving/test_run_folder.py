"""Weights & Biases: reported to where it is installed, asked for where it is not."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from train.saving.run_folder import RunFolder
from train.train_config import TrainConfig


@pytest.fixture
def wandb(monkeypatch):
    """Stand in for the package and keep what it is told."""
    told = []

    def init(**fields):
        told.append(fields)
        log = lambda values, step: told.append((step, values))  # noqa: E731
        return SimpleNamespace(id="abc", log=log, finish=lambda exit_code: told.append(("finish", exit_code)))

    module = ModuleType("wandb")
    module.__spec__, module.init = ModuleSpec("wandb", None), init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return told


def test_a_project_gets_every_line_and_a_resumed_run_goes_on_with_its_curves(wandb, tmp_path):
    config = TrainConfig(wandb="chest", out_dir=tmp_path / "run")
    with RunFolder(config, facts={}) as folder:
        folder.record(3, {"loss": 1.5})
    assert (wandb[0]["project"], wandb[0]["name"], wandb[0]["id"]) == ("chest", "run", None)
    assert wandb[1:] == [(3, {"loss": 1.5}), ("finish", 0)]
    with RunFolder(TrainConfig(wandb="chest", out_dir=tmp_path / "run", resume=True), facts={}, step=3):
        pass
    assert wandb[-2]["id"] == "abc"


def test_without_the_package_nothing_is_written_and_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr("train.saving.run_folder.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="pip install wandb"):
        RunFolder(TrainConfig(wandb="chest", out_dir=tmp_path / "run"), facts={})
    assert not (tmp_path / "run").exists()
