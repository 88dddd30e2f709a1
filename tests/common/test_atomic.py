"""Files appear whole or not at all."""

import json

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
