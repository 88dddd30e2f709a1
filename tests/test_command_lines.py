"""Every program and job of ours: what its `-h` must hold, at any width, in a shell that stops reading."""

import importlib
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from common.help_page import WIDEST, flags_of
from common.programs import Job, project_version
from train.command_line import TrainChoice
from train.train_config import HEADINGS, TrainConfig

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("preprocess_train_data", "run_train", "run_zero_shot", "make_phantom", "run_demo")


def jobs_of(program, monkeypatch):
    """Return first word -> job of a program, "" for what it does by default."""
    if program == "run_train":
        return {"": Job(about="", config=TrainConfig, run=print, headings=HEADINGS)}
    module, found = importlib.import_module(program), {}
    monkeypatch.setattr(module, "start", lambda job, others=None: found.update({"": job} | (others or {})))
    module.cli()
    return found


def page(program, word, width, monkeypatch):
    """Print the page of `-h` in this process."""
    module = importlib.import_module(program)
    monkeypatch.setattr(sys, "argv", [f"{program}.py", *filter(None, [word]), "-h"])
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as ended:
        module.cli()
    assert ended.value.code == 0


def leaves(config, prefix=""):
    """Yield the flags that the fields of a dataclass make, counted here by their names alone."""
    for field in fields(config):
        kind = get_type_hints(config)[field.name]
        if is_dataclass(kind):
            yield from leaves(kind, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


@pytest.fixture(params=PROGRAMS)
def program(request):
    return request.param


@pytest.mark.parametrize("width", [80, 120])
def test_every_field_stands_once_in_the_help_of_its_job(program, width, monkeypatch, capsys):
    for word, job in jobs_of(program, monkeypatch).items():
        monkeypatch.undo()
        page(program, word, width, monkeypatch)
        shown = capsys.readouterr().out
        lines = shown.splitlines()
        command = " ".join(filter(None, [f"python {program}.py", word]))
        assert lines[0].startswith(f"usage: {command} ")
        assert lines[0].endswith("[OPTIONS]")
        assert max(map(len, lines)) <= width
        named = re.findall(r"^  --([\w.]+)", shown, re.MULTILINE)
        positional = [match.lower() for match in re.findall(r"^  ([A-Z_]+) \.\.\.", shown, re.MULTILINE)]
        extra = [field.name for field in fields(TrainChoice)] if program == "run_train" else []
        assert sorted(positional + [name for name in named if name != "version"]) == sorted(
            [*leaves(job.config), *extra]
        )


def test_flags_of_a_long_page_have_headings_and_no_field_is_left_without(program, monkeypatch):
    job = jobs_of(program, monkeypatch)[""]
    headings = {flag.heading for flag in flags_of(job.config, job.headings)}
    assert "options" not in headings
    assert len(headings) >= 3
    assert set(job.headings) <= {field.name for field in fields(job.config)}


def test_descriptions_are_phrases_and_say_the_default_once(program, monkeypatch):
    for job in jobs_of(program, monkeypatch).values():
        for flag in flags_of(job.config, job.headings):
            said = flag.about.replace("\xa0", " ")
            text = said.split(" (default: ")[0].removesuffix(" (required)")
            assert "default" not in text.lower(), flag.name
            assert text, flag.name
            assert not text.endswith("."), flag.name
            first = text.split()[0].strip("`(:;,")
            assert first[0].isupper() or first in {"mixture", "csv", "nih", "mimic", "chexzero", "chexpert-test", "zstd",
                                                   "gradient", "thresholds.json", "embeddings.h5", "open_clip"}, flag.name  # fmt: skip


def test_every_other_job_is_listed_with_one_line(program, monkeypatch, capsys):
    jobs = jobs_of(program, monkeypatch)
    monkeypatch.undo()
    page(program, "", WIDEST, monkeypatch)
    shown = capsys.readouterr().out
    for word, job in jobs.items():
        if word:
            about = job.about.splitlines()[0].removesuffix(".")
            assert re.search(rf"^  {word} +{re.escape(about[:40])}", shown, re.MULTILINE), word
            assert f"python {program}.py {word}" in job.about


@pytest.mark.parametrize("arguments", [("-h",), ("--version",)])
def test_a_pipe_that_is_closed_early_is_no_error(program, arguments):
    command = f"set -o pipefail; {sys.executable} {program}.py {' '.join(arguments)} | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    first = f"cxrscope {project_version()}\n" if arguments == ("--version",) else f"usage: python {program}.py"
    assert done.stdout.startswith(first)


def test_a_flag_that_does_not_exist_ends_with_2_and_names_the_nearest():
    command = [sys.executable, "run_train.py", "--batch_siz", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--batch_size INT" in done.stderr
    assert "run python run_train.py --help" in done.stderr


def test_help_loads_nothing_heavy(program):
    code = (
        f"import sys, {program}; sys.argv = ['{program}.py', '-h']\n"
        f"try: {program}.cli()\n"
        "except SystemExit: print('heavy:', {'torch', 'pandas', 'cv2', 'h5py'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("heavy: set()\n")
