"""The command: flags, presets, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

import models
import run_train
from train.command_line import read_command_line
from train.config import phantom
from train.start import start_model

ROOT = Path(__file__).resolve().parents[2]


def test_flags_are_spelled_as_in_chexzero_and_lie_on_top_of_a_preset():
    arguments = [
        "--preset",
        "phantom",
        "--cxr_filepath",
        "a.h5",
        "--batch_size",
        "16",
        "--augment.shift",
        "0",
        "--optimizer",
        "sgd",
    ]
    config = read_command_line(arguments, about="")
    assert (str(config.cxr_filepath), config.batch_size, config.optimizer) == ("a.h5", 16, "sgd")
    assert config.augment.shift == 0
    assert config.augment.rotation_degrees == phantom().augment.rotation_degrees
    assert config.model == "phantom-tiny"


def test_without_flags_the_run_is_runs_pt_imp():
    config = read_command_line([], about="")
    assert config.folder == Path("runs/pt-imp")
    assert read_command_line(["--out_dir", "x/y"], about="").folder == Path("x/y")


def test_help_names_the_flags_and_missing_input_exits_with_2(tmp_path):
    shown = subprocess.run([sys.executable, "run_train.py", "-h"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(flag in shown.stdout for flag in ("--cxr_filepath", "--max_minutes", "--preset"))
    arguments = ["--cxr_filepath", str(tmp_path / "none.h5"), "--out_dir", str(tmp_path / "run")]
    command = [sys.executable, "run_train.py", *arguments]
    failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert "none.h5" in failed.stderr
    assert not (tmp_path / "run").exists()


def test_an_impossible_value_exits_with_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_train.py", "--batch_size", "1"])
    with pytest.raises(SystemExit, match="2"):
        run_train.cli()
    assert "batch_size must be at least 2, found 1" in capsys.readouterr().err


def test_a_checkpoint_cannot_take_another_image_size(tmp_path):
    models.save(models.build("toy", seed=0), tmp_path)
    arguments = ["--model", str(tmp_path), "--image_size", "64"]
    with pytest.raises(ValueError, match=r"was trained with image_size 32, so it cannot have 64"):
        start_model(read_command_line(arguments, about=""))
    assert start_model(read_command_line(["--model", str(tmp_path)], about="")).preprocessing.image_size == 32


def test_random_init_ignores_published_weights():
    config = read_command_line(["--model", "toy", "--pretrained", "openai", "--random_init"], about="")
    assert start_model(config).name == "toy"
