"""The command: flags, presets, exit codes."""

import doctest
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import h5py
import numpy as np
import pandas as pd
import pytest

import models
import run_train
from train import command_line
from train.command_line import TrainChoice, read_command_line
from train.presets import PRESETS, phantom
from train.start import start_model
from train.train_config import TrainConfig

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
                 "--no_cohort", "--out_dir", tmp_path / "run", "--model", "toy",
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--form softmax --positive_weight 2 --init_bias -3", "--positive_weight, --init_bias: .*found --form softmax"),
        ("--objective reports --sentences_per_report 2", "--sentences_per_report: .*found --objective reports"),
        ("--optimizer sgd --beta2 0.9", "--beta2: .*found --optimizer sgd"),
        ("--momentum=0.5", "--momentum: .*found --optimizer adamw"),
        ("--second-share 0.2", "--second_share: .*found no --second_txt_filepath"),
        ("--max_minutes 1 --epochs 3", "--epochs: .*found --max_minutes"),
        ("--out_dir x --model_name y", "--model_name: .*found --out_dir"),
        ("--freeze text --text_rate 2", "--text_rate: .*found --freeze text"),
        ("--no_cohort --train_split a --patience 3", "--train_split: .*found --no_cohort"),
        ("--no_cohort --patience 3", "--patience: .*no images to validate on"),
        ("--no_cohort --cohort_filepath c.csv", "--cohort_filepath: .*found --no_cohort"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(monkeypatch, arguments, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match=message):
        read_command_line(arguments.split())


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_and_defaults_may_hold_options_that_do_nothing(preset):
    assert read_command_line(["--preset", preset]).config == PRESETS[preset]()


def test_every_option_is_used_somewhere_outside_its_own_file():
    """An option that no code reads would be accepted and do nothing."""
    code = "\n".join(
        path.read_text()
        for room in ("train", "wiring")
        for path in (ROOT / room).rglob("*.py")
        if path.name not in ("train_config.py", "presets.py", "command_line.py")
    )
    unread = [one.name for one in fields(TrainConfig) if not re.search(rf"\b\w*[cC]onfig\.{one.name}\b", code)]
    assert [name for name in unread if name not in ("save_dir", "model_name", "out_dir")] == []


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(command_line).failed == 0
