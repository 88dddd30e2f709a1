"""Time and memory of a job, children included."""

import subprocess
import sys
import time

import pytest

from audit import metered

HOLD_300_MB = "import time; held = bytearray(300 * 2**20); time.sleep(1.2)"


def test_memory_of_a_child_process_is_counted():
    with metered() as meter:
        time.sleep(0.1)
        before = meter.peak_rss_mb
        subprocess.run([sys.executable, "-c", HOLD_300_MB], check=True)
    assert before > 10
    assert meter.peak_rss_mb > before + 250


def test_seconds_of_a_stage_add_up_even_when_it_fails():
    def fail(meter):
        with meter.stage("work"):
            time.sleep(0.05)
            raise ValueError("broken")

    with metered() as meter:
        for _ in range(2):
            with pytest.raises(ValueError, match="broken"):
                fail(meter)
    assert 0.1 <= meter.seconds_by_stage["work"] < 5
