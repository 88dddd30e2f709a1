"""How programs start and end: jobs by a first word, refusals, exit codes, closed pipes."""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from common.programs import Job, exit_code, project_version, read_flags, start

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How far to count."""

    limit: int = 3
    """Last number"""

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ValueError(f"--limit: wanted 0 or more, found {self.limit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What to say."""

    name: str
    """What to say"""


def call(monkeypatch, *arguments):
    """Run a program of two jobs and return its exit code and what the jobs got."""
    got = []
    monkeypatch.setattr(sys, "argv", ["/some/where/x.py", *arguments])
    code = start(
        Job(about="Count.\n\npython x.py --limit 2", config=Count, run=got.append),
        others={"say": Job(about="Say a name.\n\npython x.py say --name a", config=Name, run=got.append)},
    )
    return code, got


def test_flags_make_the_settings_of_the_job_that_the_first_word_names(monkeypatch):
    assert call(monkeypatch) == (0, [Count()])
    assert call(monkeypatch, "--limit", "5") == (0, [Count(limit=5)])
    assert call(monkeypatch, "say", "--name", "b") == (0, [Name(name="b")])


def test_an_unknown_first_word_is_refused_with_those_that_are_known(monkeypatch, capsys):
    assert call(monkeypatch, "sing", "--name", "b") == (2, [])
    wanted = "error: python x.py: wanted flags or one of the jobs say, found 'sing'\n"
    assert capsys.readouterr().err == wanted


def test_a_value_that_the_settings_refuse_is_one_line(monkeypatch, capsys):
    assert call(monkeypatch, "--limit", "-1") == (2, [])
    assert capsys.readouterr().err == "error: --limit: wanted 0 or more, found -1\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--limt", "1"], "--limit INT"), (["--limit", "x"], "--limit"), (["say"], "--name STR"), (["say", "b"], "b")],
)
def test_flags_that_cannot_be_read_end_with_2_and_a_hint(monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, *arguments)
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert "python x.py" in errors


@pytest.mark.parametrize("arguments", [["-h"], ["say", "--help"], ["--version"], ["say", "--version"]])
def test_help_and_version_end_with_0_and_run_nothing(monkeypatch, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, *arguments)
    assert ended.value.code == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    if "--version" in arguments:
        assert shown.out == f"cxrscope {project_version()}\n"
    else:
        assert shown.out.startswith(f"usage: python x.py {'say ' if 'say' in arguments else ''}[OPTIONS]\n")


def test_a_given_default_is_what_flags_change():
    job = Job(about="", config=Count, run=print)
    assert read_flags(job, [], command="x", default=Count(limit=7)) == Count(limit=7)
    assert read_flags(job, ["--limit", "1"], command="x", default=Count(limit=7)) == Count(limit=1)


def test_the_version_is_the_clone_s_and_elsewhere_the_installed_package_s(monkeypatch, tmp_path):
    from common import programs  # noqa: PLC0415

    text = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{project_version()}"' in text
    monkeypatch.setattr(programs, "__file__", str(tmp_path / "common/programs.py"))
    monkeypatch.setattr(programs, "version", lambda name: {"cxrscope": "9.9"}[name])
    assert project_version() == "9.9"
    assert version is not programs.version


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("v"), 2), (FileNotFoundError("f"), 2), (RuntimeError("r"), 1), (OSError("o"), 1)]
)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(capsys, error, code):
    def job():
        raise error

    assert exit_code(job) == code
    assert capsys.readouterr().err == f"error: {error}\n"
    assert exit_code(lambda: None) == 0


def test_ctrl_c_is_one_line_and_the_exit_code_of_a_shell(capsys):
    def job():
        raise KeyboardInterrupt

    assert exit_code(job) == 130
    assert capsys.readouterr().err == "interrupted: stopped by Ctrl-C\n"


LONG = """
import sys
from pathlib import Path
from common.programs import exit_code

def job():
    for number in range(100_000):
        print(number)
    Path(sys.argv[1]).write_text("done")

sys.exit(exit_code(job))
"""


def test_a_job_whose_output_is_no_longer_read_continues_to_its_end(tmp_path):
    command = [sys.executable, "-c", LONG, str(tmp_path / "result")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, b"")
    assert (tmp_path / "result").read_text() == "done"
