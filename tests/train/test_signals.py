"""Signals end a run after its step, also under torchrun and in the job file of the documentation."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import psutil
import pytest

from train.saving.run_folder import read_lines
from train.signals import LAUNCHED, end_requests

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 150
"""Seconds, on a busy machine"""


def test_a_second_ctrl_c_ends_the_process_at_once():
    with end_requests() as request:
        signal.raise_signal(signal.SIGINT)
        assert request.signal_name == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_torchrun_may_pass_on_the_ctrl_c_that_the_terminal_has_sent_already(monkeypatch):
    monkeypatch.setenv(LAUNCHED, "run")
    with end_requests() as request:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert request.is_made


def test_a_process_whose_torchrun_has_died_asks_for_its_end(monkeypatch):
    monkeypatch.setenv(LAUNCHED, "run")
    with end_requests() as request:
        assert not request.is_made
        monkeypatch.setattr(os, "getppid", lambda: (request.launcher or 0) + 1)
        assert (request.is_made, request.signal_name) == (True, "torchrun ended")


@pytest.fixture
def flags(tmp_path):
    """Flags of a run of two small processes that does not end by itself."""
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "cxr.h5", "w") as store:
        store["cxr"] = rng.integers(0, 256, (16, 32, 32)).astype(np.float32)
    texts = pd.DataFrame({"filename": range(16), "impression": [f"Sentence {i}." for i in range(16)]})
    texts.to_csv(tmp_path / "texts.csv", index=False)
    return (
        f"--preset phantom --no_cohort --cxr_filepath {tmp_path}/cxr.h5 --txt_filepath {tmp_path}/texts.csv "
        f"--out_dir {tmp_path}/run --batch_size 8 --image_size 32 --max_minutes 60 --log_interval 1 --device cpu --resume"
    )


def wait_for(is_true):
    give_up = time.monotonic() + PATIENCE
    while not is_true() and time.monotonic() < give_up:
        time.sleep(0.2)
    return is_true()


def environment(**more):
    return os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


@pytest.mark.resume
def test_sigusr1_kills_torchrun_and_its_processes_still_save_and_end(flags, tmp_path):
    command = ["torchrun", "--nproc_per_node", "2", "--master_port", "29631", "run_train.py", *flags.split()]
    with (tmp_path / "log.txt").open("w") as log:
        agent = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=log, stderr=log)
    assert wait_for(lambda: len(read_lines(tmp_path / "run")) > 2), (tmp_path / "log.txt").read_text()
    workers = psutil.Process(agent.pid).children(recursive=True)
    agent.send_signal(signal.SIGUSR1)
    assert agent.wait(30) == -signal.SIGUSR1
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []
    assert (tmp_path / "run" / "latest").is_file()
    assert "torchrun ended: stopped after this step" in (tmp_path / "log.txt").read_text()


STAND_INS = {
    # the step of a job: its processes get a signal, the shell does not
    "srun": 'echo $$ > "$FOLDER/step"; exec "$@"',
    "scancel": 'kill -TERM $(cat "$FOLDER/step")',
    "scontrol": 'case "$1" in show) echo 127.0.0.1 ;; *) echo "$@" >> "$FOLDER/asked" ;; esac',
}


@pytest.mark.resume
def test_the_job_file_of_the_documentation_saves_and_goes_back_into_the_queue(flags, tmp_path):
    page = (ROOT / "docs" / "training.md").read_text()
    job = re.search(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", page, re.DOTALL).group(1)
    job = job.replace("--nproc_per_node 4", "--nproc_per_node 2").replace("29500", "29632")
    (tmp_path / "job.sh").write_text(job.replace("--preset mimic_vit_b16 --resume", flags))
    (tmp_path / "bin").mkdir()
    for name, body in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    slurm = {"SLURM_JOB_ID": "7", "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "n", "FOLDER": str(tmp_path)}
    own = environment(**slurm)
    own["PATH"] = f"{tmp_path / 'bin'}:{own['PATH']}"
    with (tmp_path / "log.txt").open("w") as log:
        shell = subprocess.Popen(["bash", str(tmp_path / "job.sh")], cwd=ROOT, env=own, stdout=log, stderr=log)
    assert wait_for(lambda: len(read_lines(tmp_path / "run")) > 2), (tmp_path / "log.txt").read_text()
    shell.send_signal(signal.SIGUSR1)
    shell.wait(PATIENCE)
    assert (tmp_path / "asked").read_text() == "requeue 7\n"
    assert (tmp_path / "run" / "latest").is_file()
    assert "SIGTERM: stopped after this step" in (tmp_path / "log.txt").read_text()
