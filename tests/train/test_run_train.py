"""The command: flags, presets, exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import h5py
import numpy as np
import pandas as pd
import pytest

import models
import run_train
from train.command_line import TrainChoice, read_command_line
from train.presets import PRESETS, phantom
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
    config = read_command_line(arguments).config
    assert (str(config.cxr_filepath), config.batch_size, config.optimizer) == ("a.h5", 16, "sgd")
    assert config.augment.shift == 0
    assert config.augment.rotation_degrees == phantom().augment.rotation_degrees
    assert config.model == "phantom-tiny"


def test_without_flags_the_run_is_runs_pt_imp():
    config = read_command_line([]).config
    assert config.folder == Path("runs/pt-imp")
    assert read_command_line(["--out_dir", "x/y"]).config.folder == Path("x/y")


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
    assert run_train.cli() == 2
    assert capsys.readouterr().err == "error: --batch_size: wanted 2 or more, found 1\n"


def test_a_checkpoint_cannot_take_another_image_size(tmp_path):
    models.save(models.build("toy", seed=0), tmp_path)
    arguments = ["--model", str(tmp_path), "--image_size", "64"]
    with pytest.raises(ValueError, match=r"was trained with image_size 32, so it cannot have 64"):
        start_model(read_command_line(arguments).config)
    assert start_model(read_command_line(["--model", str(tmp_path)]).config).preprocessing.image_size == 32


def test_random_init_ignores_published_weights():
    config = read_command_line(["--model", "toy", "--pretrained", "openai", "--random_init"]).config
    assert start_model(config).name == "toy"


def test_the_resolved_configuration_is_printed_as_json_and_nothing_else_happens(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_train.py", "--preset", "phantom", "--print_config", "--batch_size", "16"])
    assert run_train.cli() == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["batch_size"], shown["model"]) == (16, "phantom-tiny")
    assert shown["augment"]["rotation_degrees"] == phantom().augment.rotation_degrees
    assert shown.keys() == set(phantom().__slots__)


def test_two_tasks_at_once_are_a_wrong_request():
    with pytest.raises(ValueError, match="--print_config, --dry_run: wanted one of them, found both"):
        read_command_line(["--print_config", "--dry_run"])
    task, config = read_command_line(["--dry_run", "--lr", "1"])
    assert (task, config.lr) == ("dry_run", 1.0)


def test_the_command_line_offers_every_preset():
    assert set(get_args(get_type_hints(TrainChoice)["preset"])) == set(PRESETS)


def test_a_dry_run_says_what_the_run_needs_and_writes_nothing(tmp_path, monkeypatch, capsys):
    with h5py.File(tmp_path / "cxr.h5", "w") as store:
        store["cxr"] = np.random.default_rng(0).integers(0, 256, (20, 32, 32)).astype(np.float32)
    texts = pd.DataFrame({"filename": range(20), "impression": [f"Sentence {i}." for i in range(20)]})
    texts.to_csv(tmp_path / "texts.csv", index=False)
    before = sorted(tmp_path.iterdir())
    arguments = ["--dry_run", "--cxr_filepath", tmp_path / "cxr.h5", "--txt_filepath", tmp_path / "texts.csv",
                 "--cohort_filepath", tmp_path / "none.csv", "--out_dir", tmp_path / "run", "--model", "toy",
                 "--random_init", "--batch_size", "10", "--epochs", "3", "--device", "cpu"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["run_train.py", *map(str, arguments)])
    assert run_train.cli() == 0
    shown = capsys.readouterr().out
    assert "images: 10 x 32 x 32" in shown
    assert "targets: 10 x 10" in shown
    assert re.search(r"loss: \d+\.\d{4}\nmemory: \d\.\d\d GiB\na step takes \d+\.\d\d s, .*; 6 steps: 0\.0 h", shown)
    bundle = models.build("toy", seed=0)
    assert f"weights: {1 + sum(one.numel() for one in bundle.model.parameters()):,}, trainable" in shown
    assert sorted(tmp_path.iterdir()) == before
