"""The house keeps its order: no circles, no full folders, no two things of one name, and a README that names them."""

import ast
import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("audit", "cohort", "common", "metrics", "models", "phantom", "preprocess", "train", "wiring", "zero_shot")
ONE_KIND = {"cohort/sources", "phantom/findings"}  # folders that list one kind of thing, and may be long
MOST_FILES, MOST_LINES = 16, 320


MAP = runpy.run_path(str(ROOT / "tests" / "house_map.py"))
tracked = MAP["tracked"]
ARTEFACTS = {".h5", ".pt", ".safetensors", ".npy", ".npz", ".dcm"}
MOST_BYTES = 500_000


@cache
def product():
    """Return module name -> path for everything outside tests and benchmarks."""
    paths = [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] not in ("tests", "benchmarks")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(module):
    """Yield the modules of ours that a module imports anywhere in it."""
    modules = product()
    for node in ast.walk(parsed(modules[module])):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def circle(graph):
    """Return one circle of a graph as a list of nodes, None where there is none."""
    state, trail = {}, []

    def visit(node):
        state[node] = "open"
        trail.append(node)
        for after in sorted(graph.get(node, ())):
            if state.get(after) == "open":
                return [*trail[trail.index(after) :], after]
            if after not in state and (found := visit(after)):
                return found
        state[node] = "done"
        trail.pop()
        return None

    for start in sorted(graph):
        if start not in state and (found := visit(start)):
            return found
    return None


def rooms(folder):
    """Return who imports whom among the files and folders that lie directly in a folder."""
    depth = len(folder)
    graph = defaultdict(set)
    for module in product():
        parts = module.split(".")
        if tuple(parts[:depth]) != folder or len(parts) <= depth:
            continue
        for other in imported(module):
            far = other.split(".")
            if tuple(far[:depth]) == folder and len(far) > depth and far[depth] != parts[depth] and other in product():
                graph[parts[depth]].add(far[depth])
    return graph


def test_a_circle_is_found_where_there_is_one():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None


def test_no_file_imports_itself_around_a_circle():
    modules = product()
    assert circle({module: {m for m in imported(module) if m in modules} - {module} for module in modules}) is None


def test_no_folder_imports_itself_around_a_circle():
    folders = {tuple(path.relative_to(ROOT).parts[:-1]) for path in product().values()}
    assert {folder: found for folder in folders if (found := circle(rooms(folder)))} == {}


def test_no_folder_is_full():
    count = defaultdict(int)
    for path in product().values():
        count[str(path.parent.relative_to(ROOT))] += 1
    assert {name: n for name, n in count.items() if n > MOST_FILES and name not in ONE_KIND} == {}


def test_no_file_is_long():
    lines = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in tracked("*.py")}
    tests = {name for name in lines if name.startswith("tests/")}
    assert {name: n for name, n in lines.items() if n > MOST_LINES and name not in tests} == {}


def test_no_two_files_share_a_name():
    stems = defaultdict(list)
    for path in tracked("*.py"):
        if path.relative_to(ROOT).parts[0] != "tests" and path.stem != "__init__":
            stems[path.stem].append(str(path.relative_to(ROOT)))
    assert {stem: paths for stem, paths in stems.items() if len(paths) > 1} == {}


def test_no_two_classes_share_a_name():
    classes = defaultdict(list)
    for path in product().values():
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in classes.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_shows_its_public_names_and_each_of_them_loads(name):
    code = (
        f"import {name}; names = [n for n in dir({name}) if not n.startswith('_')]; "
        f"print(len([getattr({name}, n) for n in getattr({name}, '__all__', [])]), *names)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded, *names = done.stdout.split()
    stub = ROOT / name / "__init__.pyi"
    if stub.is_file():
        public = {alias.asname for node in parsed(stub).body for alias in node.names}
        assert set(names) == public
        assert int(loaded) == len(public) <= 20


def test_no_artefact_is_in_git():
    files = [path for path in tracked("*") if path.suffix in ARTEFACTS or path.stat().st_size > MOST_BYTES]
    assert files == []


def test_results_are_ignored_wherever_they_are_written_and_no_code_is():
    results = [
        f"{folder}{name}/a/b.json" for folder in ("", "notebooks/") for name in ("runs", "predictions", "audits")
    ]
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    files = "\n".join([*results, *(str(path.relative_to(ROOT)) for path in tracked("*"))])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, input=files)
    assert done.stdout.split() == results


def tree():
    """Return the paths that the README's tree names."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition("## What is where")[2].split("```")[1]
    parent, named = "", set()
    for line in filter(None, block.splitlines()):
        name = line.split()[0].rstrip("/")
        parent = parent if line[0] == " " else name
        named.add(f"{parent}/{name}" if line[0] == " " else name)
    return named


def test_the_readmes_tree_names_every_program_and_folder_of_code_and_nothing_that_is_gone():
    inside = [path.relative_to(ROOT) for path in tracked("*") if path.relative_to(ROOT).parts[0][0] != "."]
    top = {path.parts[0] for path in inside}
    deeper = {str(path.parent) for path in inside if path.suffix == ".py" and path.parts[0] not in ("tests", ".")}
    named = tree()
    assert (top | deeper) - {"."} - named == set()
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_place_that_the_readme_and_the_docs_name_exists():
    gone = set()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *tracked("docs/*.md")]:
        for name in re.findall(r"`([\w/.-]+\.(?:py|csv|json|md|ipynb))`", path.read_text(encoding="utf-8")):
            first = name.split("/")[0]
            if name.endswith((".py", ".ipynb")) and "/" not in name and not name.startswith(("run_", "make_", "prep")):
                continue
            if (name.endswith(".py") or first in FOLDERS) and not (ROOT / name).exists():
                gone.add(f"{path.name}: {name}")
    assert gone == set()


def test_every_file_stands_in_the_map_and_says_what_is_in_it():
    text = MAP["house_map"]()
    assert max(map(len, text.splitlines())) < 120
    silent = [
        path
        for path in tracked("*.py")
        if path.relative_to(ROOT).parts[0] != "tests" and path.name != "__init__.py" and not MAP["first_line"](path)
    ]
    assert silent == []


def installed():
    """Return the modules and packages that `pip install -e .` brings."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    return set(setuptools["packages"]), set(setuptools["py-modules"])


def test_every_folder_and_program_is_installed():
    packages, programs = installed()
    modules = product()
    assert packages == {name for name, path in modules.items() if path.name == "__init__.py"}
    assert programs == {name for name, path in modules.items() if path.parent == ROOT}


@pytest.mark.parametrize("path", tracked("notebooks/*.ipynb"), ids=lambda path: path.stem)
def test_a_notebook_imports_only_what_is_installed(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ast.parse("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    packages, programs = installed()
    ours = {name.split(".")[0] for name in product()}
    named = [node.module for node in ast.walk(code) if isinstance(node, ast.ImportFrom)]
    named += [alias.name for node in ast.walk(code) if isinstance(node, ast.Import) for alias in node.names]
    wanted = {name for name in named if name.split(".")[0] in ours}
    covered = {name for name in product() if name.rpartition(".")[0] in packages} | packages | programs
    assert wanted - covered == set()
