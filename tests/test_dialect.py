"""One dialect: how errors and field docstrings are written, and the phrases that plain English does without."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ERRORS = {
    "JobFailedError",
    "ValueError",
    "FileNotFoundError",
    "FileExistsError",
    "RuntimeError",
    "KeyError",
    "TypeError",
}
BANNED = (
    r"what (?:a|an|the) \w+ is to (?:a|an|the)\b",
    r"\bsuch that\b",
    r"\bso many\b",
    r"\bgoes on\b",
    r"\bnobody\b",
    r"\bwhoever\b",
    r"\bas far as archives\b",
    r"\bcomes apart\b",
    r"\bhonest answer\b",
    r"\bof then\b",
)

DATA = (  # values in tables and specifications, which stay as they are
    "nobody labelled it",
    "not in training, as far as archives, ids and pictures tell",
    ", and nobody knows which images",
    ", and nobody can say which images",
)


@cache
def product():
    """Return path -> syntax tree of every Python file outside tests and benchmarks."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    kept = [n for n in names if n.split("/")[0] not in ("tests", "benchmarks") and (ROOT / n).is_file()]
    return {name: ast.parse((ROOT / name).read_text(encoding="utf-8")) for name in kept}


def words_of(node):
    """Return the text of a string or f-string, each {value} as "x"; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (words_of(node.left) or "x") + (words_of(node.right) or "x")
    return None


def errors(tree):
    """Yield (line, message) of every error that is raised with a message."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            message = words_of(node.exc.args[0])
            if getattr(node.exc.func, "id", None) in ERRORS and message:
                yield node.lineno, message


def fields_of(tree):
    """Yield (line, docstring) of every documented field of a class whose name ends in Config."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
            for before, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and words_of(after.value):
                    yield after.lineno, words_of(after.value)


def is_one_sentence(message):
    return not re.search(r"[.!]\s*$", message) and not re.search(r"[a-z)`'\"][.] [A-Z][a-z]", message)


def is_a_phrase(text):
    return bool(
        re.match(r"[A-Z0-9`\"'-]|[a-z_-]+: |[a-z_]+\.\w+ |open_clip|torch", text)
    ) and not text.rstrip().endswith(".")


def banned(text):
    return [found[0] for phrase in BANNED if (found := re.search(phrase, text, re.IGNORECASE))]


def test_the_rules_tell_good_from_bad():
    assert is_one_sentence("--lr: wanted more than 0, found x.5; give another")
    assert not is_one_sentence("--lr: wanted more than 0.")
    assert not is_one_sentence("no such file. Give another")
    assert is_a_phrase("Images per forward pass")
    assert not is_a_phrase("images per forward pass")
    assert not is_a_phrase("Images per forward pass.")
    assert banned("The same command goes on") == ["goes on"]


def test_an_error_is_one_sentence_without_a_full_stop():
    wrong = [
        f"{name}:{line}: {message}"
        for name, tree in product().items()
        for line, message in errors(tree)
        if not is_one_sentence(message)
    ]
    assert wrong == []


def test_a_field_is_described_by_a_capitalised_phrase():
    wrong = [
        f"{name}:{line}: {text}"
        for name, tree in product().items()
        for line, text in fields_of(tree)
        if not is_a_phrase(text)
    ]
    assert wrong == []


def test_no_text_has_a_banned_phrase():
    texts = {
        f"{name}:{node.lineno}": node.value
        for name, tree in product().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.endswith(DATA)
    }
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    texts |= {path.name: path.read_text(encoding="utf-8") for path in [*pages, *(ROOT / "notebooks").glob("*.ipynb")]}
    assert {place: found for place, text in texts.items() if (found := banned(text))} == {}
