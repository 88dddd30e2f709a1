"""Every flag that README, docs, notebooks and docstrings name is a flag of some program."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

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
    *("--local-dir", "--include"),
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
