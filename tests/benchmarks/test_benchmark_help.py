"""Every benchmark starts: its imports exist, its `-h` shows what it is for, and its own examples can be read."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = sorted(
    path.name for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
)

# Each program runs as if alone: with its own folder first on the path, and none of the others imported.
ASK_ALL = """
import contextlib, io, json, runpy, sys
from pathlib import Path

folder, pages, path = Path("benchmarks").resolve(), {}, list(sys.path)
for name in sys.argv[1:]:
    sys.argv, sys.path[:] = [name, "-h"], [str(folder), *path[1:]]
    for file in folder.glob("*.py"):
        sys.modules.pop(file.stem, None)
    with contextlib.redirect_stdout(io.StringIO()) as page:
        try:
            runpy.run_path(str(folder / name), run_name="__main__")
        except SystemExit as ended:
            pages[name] = [ended.code, page.getvalue()]
print(json.dumps(pages))
"""


@pytest.fixture(scope="module")
def pages():
    """Return program -> exit code and page of its -h; one process, because importing torch takes most of the time."""
    done = subprocess.run(
        [sys.executable, "-c", ASK_ALL, *PROGRAMS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_of_a_benchmark_shows_its_docstring_and_only_flags_that_it_has(pages, name):
    code, page = pages[name]
    assert code == 0
    about = (ROOT / "benchmarks" / name).read_text(encoding="utf-8").split('"""')[1].splitlines()
    assert about[0] in page
    assert f"python benchmarks/{name}" in page

    options = page.split("\noptions:\n")[1]
    named = {flag for line in about if f"benchmarks/{name}" in line for flag in re.findall(r"--[a-z_]+", line)}
    assert named <= set(re.findall(r"--[a-z_]+", options))
