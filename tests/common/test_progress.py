"""What a long job says of its progress."""

import sys
from types import SimpleNamespace

import common.progress
from common.progress import progress


def test_a_log_file_gets_a_line_a_minute_and_a_short_job_none(capsys, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    with progress(total=300, initial=100, unit="image", desc="images") as bar:
        bar._time = lambda: clock.now
        bar.start_t = bar.last_print_t = 0.0
        for _ in range(100):
            clock.now += 1.5
            bar.update(2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["images: 180 of 300 images", "images: 260 of 300 images"]
    assert lines[0].split(", ")[1:3] == ["01:00 passed", "01:30 left"]
    assert list(progress(range(3), desc="few")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert not isinstance(progress(range(3), disable=True), common.progress._Lines)
