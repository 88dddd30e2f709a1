"""The page of `-h`: every flag once under its heading, defaults said once, examples that can be pasted."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from tyro.conf import Positional

from common.help_page import field_docstrings, flags_of, help_page


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    turn: float = 0.5
    """Largest turn"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    folders: Positional[tuple[Path, ...]]
    """Where to look"""
    path: Path
    """What to read,
    in two lines"""
    limit: float | None = None
    """Without it, no limit"""
    clip: float | None = 1.0
    """None: no clipping"""
    workers: int | Literal["auto"] = "auto"
    """Processes"""
    rule: Literal["a", "b"] = "a"
    """Rule"""
    names: tuple[str, ...] = ("x y", "z")
    """Names"""
    pair: tuple[str, int] = ("a", 1)
    """Pair"""
    words: Mapping[str, str] = field(default_factory=dict)
    """Words"""
    inner: Inner = Inner()
    """Changes"""
    quiet: bool = False
    """Say nothing"""
    cache: bool = True
    """Keep"""
    blank: bool | None = None
    """Blank"""


HEADINGS = {"path": "files", "clip": "numbers", "cache": "files"}


def page(width=100, **changes):
    options = {"usage": "python x.py", "about": "What it does.", "jobs": {}, "settings": [(Settings, HEADINGS)]}
    return help_page(**options | changes, width=width)


def test_values_and_defaults_are_said_as_a_person_would():
    shown = {flag.name: (flag.value, flag.about, flag.heading) for flag in flags_of(Settings, HEADINGS)}
    assert {name: tuple(part.replace("\xa0", " ") for part in parts) for name, parts in shown.items()} == {
        "FOLDERS ...": ("", "Where to look", "arguments"),
        "--path": ("PATH", "What to read, in two lines (required)", "files"),
        "--limit": ("FLOAT", "Without it, no limit", "files"),
        "--clip": ("FLOAT|None", "None: no clipping (default: 1.0)", "numbers"),
        "--workers": ("INT|auto", "Processes (default: auto)", "numbers"),
        "--rule": ("{a,b}", "Rule (default: a)", "numbers"),
        "--names": ("TEXT [...]", "Names (default: 'x y' z)", "numbers"),
        "--pair": ("TEXT INT", "Pair (default: a 1)", "numbers"),
        "--words": ("NAME VALUE [...]", "Words", "numbers"),
        "--inner.turn": ("FLOAT", "Largest turn (default: 0.5)", "numbers"),
        "--quiet": ("", "Say nothing", "numbers"),
        "--cache, --no_cache": ("", "Keep (default: on)", "files"),
        "--blank": ("{True,False}", "Blank", "files"),
    }


def test_an_instance_gives_the_defaults_it_holds():
    given = Settings(folders=(), path=Path("p"), inner=Inner(turn=2.0), cache=False)
    shown = {flag.name: flag.about.replace("\xa0", " ") for flag in flags_of(given, {})}
    assert shown["--path"] == "What to read, in two lines (default: p)"
    assert shown["--inner.turn"] == "Largest turn (default: 2.0)"
    assert "--cache" in shown


def test_a_heading_that_comes_again_stands_once():
    lines = page().splitlines()
    headings = [line for line in lines if line and not line.startswith(" ") and line.endswith(":")]
    assert headings == ["arguments:", "files:", "numbers:", "options:"]
    files = lines[lines.index("files:") : lines.index("numbers:")]
    assert any("--cache" in line for line in files)
    assert lines[0] == "usage: python x.py FOLDERS ... [OPTIONS]"


def test_docstrings_are_those_under_the_fields():
    assert field_docstrings(Settings)["path"] == "What to read, in two lines"
    assert field_docstrings(Inner) == {"turn": "Largest turn"}


EXAMPLES = """Does it.

More of it.

python x.py --path a/path/that/is/long --names "one name" another   # as in the paper
torchrun --nproc_per_node 4 x.py --rule b
"""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_examples_stand_by_themselves_and_can_be_pasted(width):
    shown = page(width, about=EXAMPLES)
    assert all(len(line) <= width for line in shown.splitlines())
    block = shown.split("examples:\n")[1].split("\n\n")[0]
    comment, *commands = block.replace("\\\n", " ").splitlines()
    assert comment == "  # as in the paper"
    assert [shlex.split(command) for command in commands] == [
        ["python", "x.py", "--path", "a/path/that/is/long", "--names", "one name", "another"],
        ["torchrun", "--nproc_per_node", "4", "x.py", "--rule", "b"],
    ]
    assert "Does it.\n\nMore of it.\n\n" in shown


def test_other_jobs_are_listed_with_what_they_do():
    shown = page(jobs={"verify": "Read it again.", "go": "Go."})
    assert "other jobs (python x.py JOB -h):\n  verify  Read it again\n  go      Go\n" in shown
