"""Every flag that README, docs, notebooks and docstrings name exists, and every command that they show can be read."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from common.programs import read_flags
from train.command_line import read_command_line

ROOT = Path(__file__).resolve().parent.parent
DOORS = (
    "preprocess_train_data.py",
    "preprocess_train_data.py verify",
    "preprocess_train_data.py export",
    "make_phantom.py",
    "make_phantom.py miniature",
    "run_train.py",
    "run_demo.py",
    "run_zero_shot.py",
    "run_zero_shot.py compare",
    "run_zero_shot.py heatmaps",
    "run_zero_shot.py probe",
    "run_zero_shot.py wording",
    "run_zero_shot.py retrieve",
)
OF_OTHERS = {  # torchrun, SLURM, hf, git, pip
    *("--nproc_per_node", "--nnodes", "--rdzv_backend", "--rdzv_endpoint"),
    *("--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--time", "--signal", "--requeue"),
    *("--shutdown-timeout", "--signals-to-handle", "--open-mode", "--local-dir", "--include"),
}
GROUPS = {"--columns", "--augment", "--no"}  # the first part of several flags
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9]*(?:[_.-][a-z0-9]+)*")


@cache
def real_flags():
    """Return the flags of all programs, as their -h shows them, and those of the benchmarks, from their source."""
    flags = {"--help"} | OF_OTHERS
    for door in DOORS:
        program, *job = door.split()
        done = subprocess.run(
            [sys.executable, program, *job, "-h"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        flags |= set(FLAG.findall(done.stdout))
    for path in ROOT.glob("benchmarks/*.py"):
        source = path.read_text(encoding="utf-8")
        flags |= set(re.findall(r'"(--[a-z_0-9]+)"', source))
        flags |= {f"--{name}" for name in re.findall(r"^    ([a-z_0-9]+): .*$", source, flags=re.MULTILINE)}
    return flags


def named_flags(text):
    """Return the flags that a text names; "--augment" alone, the first part of several, is none."""
    return {flag for flag in FLAG.findall(text) if flag not in GROUPS}


def test_a_flag_that_does_not_exist_is_seen():
    assert named_flags("see `--no_such_flag`, --columns.image_id and a--b") == {"--no_such_flag", "--columns.image_id"}
    assert "--no_such_flag" not in real_flags()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "data/README.md", "docs", "notebooks", "product"])
def test_every_flag_that_is_named_exists(name):
    if name == "product":
        folders = ("audit", "cohort", "common", "metrics", "models", "phantom", "preprocess", "train", "wiring")
        paths = [path for folder in (*folders, "zero_shot") for path in (ROOT / folder).rglob("*.py")]
        paths = [path for path in paths if "var(--" not in path.read_text(encoding="utf-8")]  # CSS, not flags
        paths += ROOT.glob("*.py")
    else:
        paths = [ROOT / name] if name.endswith(".md") else [*(ROOT / name).glob("*.md"), *(ROOT / name).glob("*.ipynb")]
    unknown = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in paths
        if (found := named_flags(path.read_text(encoding="utf-8")) - real_flags())
    }
    assert unknown == {}


COMMAND = re.compile(r"^(?:srun |torchrun |make \w+ && )*(?:python |torchrun ).*?\b(\w+)\.py\b ?(.*)")
IN_A_LOOP = {"$seed": "1", "$texts": "right", "$shuffle": ""}  # variables of the loop in docs/real_run.md


def commands_of(path):
    """Return (program, arguments) for every command of ours that a page or a module's docstring shows as an example."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        shown = ast.get_docstring(ast.parse(text)) or ""
    else:
        blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        inline = re.findall(r"`(python [^`]+ --[^`]+)`", text.replace("\n", " "))  # without a flag: a name only
        shown = "\n".join([*blocks, *inline])
    for variable, value in IN_A_LOOP.items():
        shown = shown.replace(variable, value)

    found = []
    for line in shown.replace("\\\n", " ").splitlines():
        match = COMMAND.match(line.strip().removesuffix(" &"))  # in the background
        if match and (ROOT / f"{match[1]}.py").is_file():
            one_choice = re.sub(r"\|\w+", "", match[2])  # "zstd|gzip|none": the first
            found.append((match[1], shlex.split(one_choice, comments=True)))
    return found


def read_command(program, arguments, monkeypatch):
    """Read a command line as the program does, without running anything; one that it refuses raises."""
    if program == "run_train":
        read_command_line(arguments)
        return
    module = importlib.import_module(program)

    def read(job, others=None):
        word, *rest = arguments or [""]
        chosen, flags = (others[word], rest) if word in (others or {}) else (job, arguments)
        return read_flags(chosen, flags, command=program)

    monkeypatch.setattr(module, "start", read)
    module.cli()


PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("*.py")),
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_is_shown_can_be_read(path, monkeypatch):
    for program, arguments in commands_of(path):
        if {"-h", "--help"} & set(arguments):
            continue
        try:
            read_command(program, arguments, monkeypatch)
        except (SystemExit, ValueError) as refused:
            pytest.fail(f"python {program}.py {shlex.join(arguments)}: {refused}")


def test_commands_are_found_and_a_wrong_one_is_refused(monkeypatch, tmp_path):
    found = [program for path in PAGES for program, _ in commands_of(path)]
    assert len(found) >= 40
    assert set(found) == {"preprocess_train_data", "run_train", "run_zero_shot", "make_phantom", "run_demo"}

    page = tmp_path / "page.md"
    page.write_text("```bash\npython run_zero_shot.py probe --checkpoint a \\\n    --no_such_flag 1   # why\n```\n")
    ((program, arguments),) = commands_of(page)
    assert arguments == ["probe", "--checkpoint", "a", "--no_such_flag", "1"]
    with pytest.raises(SystemExit):
        read_command(program, arguments, monkeypatch)
