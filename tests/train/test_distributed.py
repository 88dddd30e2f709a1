"""Two processes that share a batch compute what one does with all of it."""

import doctest
import math
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train import distributed
from train.distributed import World, join_world

SCRIPT = Path(__file__).with_name("small_runs.py")
small_runs = runpy.run_path(str(SCRIPT))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes computed in all cases."""
    folder = tmp_path_factory.mktemp("two")
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1"}
    paths = {"PYTHONPATH": str(SCRIPT.parents[2])}
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder)],
            env={**os.environ, **shared, **paths, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def alone():
    small_runs["register_transformer"]()
    return lambda *case: small_runs["run"](*case, World())


@pytest.mark.parametrize("case", small_runs["CASES"], ids=str)
def test_loss_and_gradient_of_two_processes_are_those_of_one(two, alone, case):
    # on one process the whole batch at once, whatever the parts of the two
    form, _, texts = case
    wanted = alone(form, 1, texts)
    for ours in (process["results"][case] for process in two):
        assert ours.keys() == wanted.keys()
        apart = {name: float((ours[name] - value).norm()) for name, value in wanted.items()}
        # A single tensor may be off by a little more: float32 sums are in another order, and how so is the processor's.
        assert math.hypot(*apart.values()) <= 1e-6 * math.hypot(*(float(value.norm()) for value in wanted.values()))
        for name, value in wanted.items():
            assert apart[name] <= 3e-6 * max(1.0, float(value.norm())), name


def test_processes_add_and_agree(two):
    assert [process["world"] for process in two] == ["World(rank=0, size=2)", "World(rank=1, size=2)"]
    assert [process["total"] for process in two] == ["tensor([3.])"] * 2
    assert [process["from_main"] for process in two] == ["tensor([1.])"] * 2


@given(n=st.integers(0, 50), size=st.integers(1, 7))
def test_shares_are_contiguous_nearly_equal_and_leave_nothing_out(n, size):
    worlds = [World(rank, size) for rank in range(size)]
    parts = [list(range(n))[world.share(n)] for world in worlds]
    assert [item for part in parts for item in part] == list(range(n))
    lengths = [len(part) for part in parts]
    assert lengths == worlds[0].counts(n)
    assert max(lengths) - min(lengths) <= 1


def test_without_torchrun_a_process_is_alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with join_world(torch.device("cpu")) as world:
        assert world == World(0, 1)
        assert world.is_main
        value = torch.tensor(2.0)
        assert world.total(value) is value
        assert world.from_main(value) is value


def test_half_of_torchruns_environment_is_an_error_that_names_the_other_half(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(ValueError, match=r"needs LOCAL_RANK, MASTER_ADDR, MASTER_PORT .* start with torchrun"),
        join_world(torch.device("cpu")),
    ):
        pass


def test_more_processes_than_cuda_devices_is_an_error(monkeypatch):
    for name, value in {
        "RANK": "3",
        "LOCAL_RANK": "3",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "x",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(ValueError, match=r"process 3 .* found 2 devices: .* --nproc_per_node 2"),
        join_world(torch.device("cuda")),
    ):
        pass


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(distributed).failed == 0
