"""Files appear whole or not at all."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.atomic import write_csv, write_json, write_text, write_whole


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="disk"):
        _fail_half_way(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _fail_half_way(path):
    with write_whole(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")


def test_the_new_file_is_not_visible_before_it_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    with write_whole(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.suffix == path.suffix
    assert path.read_text() == "whole"


def test_json_refuses_not_a_number_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "sub" / "x.json"
    write_json(path, {"value": None})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"value": float("nan")})
    assert json.loads(path.read_text()) == {"value": None}


def test_a_table_is_written_without_its_index_and_with_newlines_alone(tmp_path):
    write_csv(tmp_path / "table.csv", pd.DataFrame({"n": [1, 2]}, index=[7, 8]))
    assert (tmp_path / "table.csv").read_bytes() == b"n\n1\n2\n"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)])
def test_files_have_the_mode_of_the_umask_whatever_their_writer_gives_them(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with write_whole(tmp_path / "model.safetensors") as temporary:
            temporary.write_bytes(b"weights")
            temporary.chmod(0o600 if mode != 0o600 else 0o644)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == mode


def test_weights_can_be_read_by_others(tmp_path):
    from safetensors.numpy import save_file  # noqa: PLC0415

    before = os.umask(0o022)
    try:
        with write_whole(tmp_path / "model.safetensors") as temporary:
            save_file({"weight": np.zeros(3, np.float32)}, temporary)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o644


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_names_the_file(tmp_path):
    def fill():
        with write_whole(tmp_path / "table.csv"), Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OSError, match=r"No space left on device: '.*/table\.csv'"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_writes_nothing_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "table.csv"):
        pass
    assert list(tmp_path.iterdir()) == []
