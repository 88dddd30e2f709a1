"""A run that is killed, asked to end, or out of disk goes on exactly; another run is refused."""

import errno
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

import models
import run_train
from cohort.image_reader import ArrayImages
from train.fit_pairs import fit
from train.input.pairs import Pairs
from train.saving.run_folder import read_lines
from train.train_config import Augmentation, TrainConfig

FORK = multiprocessing.get_context("fork")
TIMES = ("seconds", "pairs_per_second", "reading_share", "memory_gib")


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    texts = [f"Finding {rng.integers(9)} is there. No finding {rng.integers(9)}. Same for all." for _ in range(60)]
    return Pairs(
        images=ArrayImages(rng.integers(0, 255, (60, 32, 32)).astype(np.uint8)), rows=np.arange(60), texts=texts
    )


def config(folder, **fields):
    """Ten steps, with everything random on."""
    usual = {
        "out_dir": folder, "model": "toy", "pretrained": None, "device": "cpu", "batch_size": 12, "epochs": 2,
        "save_interval": 5, "log_interval": 3, "eval_interval": 7, "lr": 3e-3, "ema": 0.9, "sentences_per_report": 2,
        "augment": Augmentation(shift=0.05, rotation_degrees=5.0, flip=0.5),
    }  # fmt: skip
    return TrainConfig(**usual | fields)


def train(pairs, settings, evaluate=None):
    bundle = models.build("toy", seed=0)
    bundle.model.visual.head.drop.p = 0.3
    return fit(bundle, pairs, settings, evaluate=evaluate), bundle


def constant(bundle):
    return {"mean_auroc": 0.5}


@pytest.fixture(scope="module")
def straight(pairs, tmp_path_factory):
    """The run that nobody interrupts."""
    return train(pairs, config(tmp_path_factory.mktemp("straight") / "run"), constant)


def in_child(function, *arguments):
    """Run in a process of its own and return its exit code; minus the signal that it died of."""
    child = FORK.Process(target=function, args=arguments)
    child.start()
    child.join(60)
    return child.exitcode


def state(folder):
    return torch.load(folder / (folder / "latest").read_text().strip() / "state.pt", weights_only=True)


def assert_same_run(folder, wanted):
    """Weights, average, moments and every logged number, bit by bit."""
    assert models.fingerprint(models.load(folder / "latest")) == models.fingerprint(models.load(wanted / "latest"))
    one, other = state(folder), state(wanted)
    assert one["weights"].keys() == other["weights"].keys()
    assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])
    moments = one["optimizer"]["state"]
    assert all(torch.equal(moments[i]["exp_avg_sq"], other["optimizer"]["state"][i]["exp_avg_sq"]) for i in moments)
    lines = [
        [{name: value for name, value in line.items() if name not in TIMES} for line in read_lines(path)]
        for path in (folder, wanted)
    ]
    assert lines[0] == lines[1]


@pytest.mark.resume
def test_ten_steps_are_five_a_kill_and_five_more_bit_by_bit(pairs, straight, tmp_path):
    def die(bundle):
        os.kill(os.getpid(), signal.SIGKILL)

    folder = tmp_path / "run"
    assert in_child(train, pairs, config(folder), die) == -signal.SIGKILL
    assert [line["step"] for line in read_lines(folder)] == [3, 5, 6]
    with (folder / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 7, "lo')
    summary, _ = train(pairs, config(folder, resume=True), constant)
    assert (summary.steps, summary.epochs) == (10, 2.0)
    assert_same_run(folder, straight[0].folder)
    resumed = json.loads((folder / "environment.json").read_text())["resumed"]
    assert [one["step"] for one in resumed] == [5]
    table = pd.read_csv(folder / "metrics.csv")
    assert table["step"].tolist() == [3, 5, 6, 7, 9, 10]


@pytest.mark.resume
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint_to_go_on_from(pairs, straight, tmp_path, name):
    def ask(bundle):
        os.kill(os.getpid(), getattr(signal, name))
        return constant(bundle)

    before = signal.getsignal(getattr(signal, name))
    summary, _ = train(pairs, config(tmp_path), ask)
    assert (summary.steps, summary.stopped_by) == (7, name)
    assert f"{name}: stopped after this step; run the same command with --resume to continue" in str(summary)
    assert signal.getsignal(getattr(signal, name)) == before
    finished, _ = train(pairs, config(tmp_path, resume=True), constant)
    assert finished.stopped_by is None
    assert models.fingerprint(models.load(tmp_path / "latest")) == models.fingerprint(
        models.load(straight[0].checkpoint)
    )


@pytest.mark.resume
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_every_process_of_the_command_ends_it_with_exit_code_0(tmp_path, name):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "cxr.h5", "w") as store:
        store["cxr"] = rng.integers(0, 256, (40, 32, 32)).astype(np.float32)
    texts = pd.DataFrame({"filename": range(40), "impression": [f"Sentence {i % 7}." for i in range(40)]})
    texts.to_csv(tmp_path / "texts.csv", index=False)
    folder = tmp_path / "run"
    arguments = ["--cxr_filepath", tmp_path / "cxr.h5", "--txt_filepath", tmp_path / "texts.csv", "--no_cohort",
                 "--out_dir", folder, "--model", "toy", "--random_init", "--batch_size", 8,
                 "--epochs", 100000, "--log_interval", 1, "--device", "cpu", "--workers", 1]  # fmt: skip

    def command():
        os.setsid()
        sys.argv = ["run_train.py", *map(str, arguments)]
        sys.stdout = (tmp_path / "out.txt").open("w")
        code = run_train.cli()
        sys.stdout.close()
        os._exit(code)

    child = FORK.Process(target=command)
    child.start()
    give_up = time.monotonic() + 60
    while child.is_alive() and len(read_lines(folder)) < 3 and time.monotonic() < give_up:
        time.sleep(0.1)
    os.killpg(child.pid, getattr(signal, name))
    child.join(60)
    assert child.exitcode == 0
    assert (
        f"{name}: stopped after this step; run the same command with --resume to continue"
        in (tmp_path / "out.txt").read_text()
    )
    assert (models.load(folder), state(folder)["progress"]["step"] >= 3)[1]


def test_a_full_disk_leaves_the_checkpoint_before_it_and_the_run_goes_on_from_there(pairs, straight, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(bundle):
        # files cannot grow beyond this: what a full disk says, on this process alone
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        return {}

    try:
        with pytest.raises(OSError, match=r"step_000010 could not be written .* --resume") as raised:
            train(pairs, config(tmp_path), fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.strerror(errno.EFBIG) in str(raised.value)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000005"]
    models.load(tmp_path)
    train(pairs, config(tmp_path, resume=True), constant)
    assert_same_run(tmp_path, straight[0].folder)


def test_another_configuration_is_refused_with_all_that_differs(pairs, straight):
    folder = straight[0].folder
    other = config(folder, resume=True, lr=1e-3, batch_size=10, augment=Augmentation(shift=0.1), epochs=1, workers=3)
    with pytest.raises(ValueError, match="cannot resume with this configuration") as raised:
        train(pairs, other)
    lines = str(raised.value).splitlines()
    assert lines[1:-1] == [
        "  augment.flip: 0.5 there, 0.0 here",
        "  augment.rotation_degrees: 5.0 there, 0.0 here",
        "  augment.shift: 0.05 there, 0.1 here",
        "  batch_size: 12 there, 10 here",
        "  epochs: 2 there, 1 here",
        "  lr: 0.003 there, 0.001 here",
    ]
    assert "--model CHECKPOINT" in lines[-1]
    assert (folder / "latest").read_text() == "checkpoints/step_000010\n"


def test_other_texts_are_refused_and_moved_files_are_not(pairs, straight):
    folder = straight[0].folder
    texts = [*pairs.texts[:-1], "Something else."]
    with pytest.raises(ValueError, match=r"pairs: fingerprint \w{12} there, \w{12} here \(other texts or rows\)"):
        train(replace(pairs, texts=texts), config(folder, resume=True))
    seconds = replace(pairs, second_texts=["Another section.", *[""] * 59])
    studies = replace(pairs, study_ids=["s1", "s1", *map(str, range(58))])
    for other in (seconds, studies):
        with pytest.raises(ValueError, match=r"pairs: fingerprint .* \(other texts or rows\)"):
            train(other, config(folder, resume=True))
    moved = config(folder, resume=True, cxr_filepath=Path("elsewhere/cxr.h5"))
    assert train(pairs, moved)[0].steps == 10


def test_a_longer_run_goes_on_with_a_note_and_so_does_one_in_other_parts(pairs, tmp_path):
    train(pairs, config(tmp_path, epochs=1))
    summary, _ = train(pairs, config(tmp_path, resume=True, accum_freq=2))
    assert summary.steps == 10
    notes = json.loads((tmp_path / "environment.json").read_text())["resumed"][0]["notes"]
    assert "accum_freq: 1 there, 2 here: the run continues, but its results will not be bit-identical" in notes
    assert "epochs: 1 there, 2 here: the run continues, but its results will not be bit-identical" in notes


def test_resume_starts_anew_where_there_is_no_checkpoint(pairs, straight, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 3.0}\n')
    summary, bundle = train(pairs, config(tmp_path, resume=True), constant)
    assert summary.steps == 10
    assert models.fingerprint(bundle) == models.fingerprint(straight[1])


def test_a_checkpoint_without_state_cannot_be_resumed(pairs, straight, tmp_path):
    models.save(straight[1], tmp_path / "checkpoints" / "step_000005")
    (tmp_path / "latest").write_text("checkpoints/step_000005\n")
    with pytest.raises(
        FileNotFoundError, match=r"step_000005 has no state\.pt to resume from: start a new run with --model"
    ):
        train(pairs, config(tmp_path, resume=True))
