"""A second job runs in a process of its own, and ends with the block that started it."""

import math
import os
import time
from functools import partial

import psutil
import pytest

from wiring.side_by_side import beside


def test_the_result_is_what_the_job_returned_from_another_process():
    with beside(os.getpid) as result:
        assert result() != os.getpid()


def test_the_error_of_the_job_is_raised_where_its_result_is_wanted():
    with beside(partial(math.sqrt, -1.0)) as result, pytest.raises(ValueError, match="math domain error"):
        result()


def test_a_job_that_dies_is_told_from_one_that_still_works():
    with beside(partial(os._exit, 3)) as result, pytest.raises(RuntimeError, match="exit code 3"):
        result()


def test_leaving_the_block_ends_the_job_and_nothing_waits_for_it():
    def jobs():
        return [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]

    began = time.monotonic()
    with beside(partial(time.sleep, 600)):
        assert len(jobs()) == 1
    assert jobs() == []
    assert time.monotonic() - began < 60
