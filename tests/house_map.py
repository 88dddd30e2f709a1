"""`make map`: every Python file of the product, grouped by folder, with the first line of its docstring."""

import ast
import subprocess
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 119


def tracked(pattern):
    """Return the files that are in git or about to be, by glob."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return [ROOT / name for name in sorted(set(listed)) if name and (ROOT / name).is_file()]


def first_line(path):
    """Return the first line of a module's docstring, "" without one."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def house():
    """Return folder -> {file name: first docstring line}, tests left out; the root's programs come first, as "."."""
    folders = defaultdict(dict)
    for path in tracked("*.py"):
        inside = path.relative_to(ROOT)
        line = first_line(path)
        if inside.parts[0] != "tests" and (line or path.name != "__init__.py"):
            folders[str(inside.parent)][path.name] = line
    return dict(sorted(folders.items()))


def cut(text, width):
    """Return the text, cut at a word where it is wider than that."""
    return text if len(text) <= width else text[: width - 3].rsplit(" ", 1)[0].rstrip(" ,:;-") + " ..."


def house_map():
    """Return the map as text, no line longer than WIDTH."""
    lines = []
    for folder, files in house().items():
        lines += ["", "programs" if folder == "." else f"{folder}/"]
        indent = max(len(name) for name in files) + 4
        lines += [f"  {name}".ljust(indent) + cut(line, WIDTH - indent) for name, line in files.items()]
    return "\n".join(lines[1:])


if __name__ == "__main__":
    print(house_map())
