"""The page that `-h` prints: usage, description, examples, other jobs, and flags under headings."""

import ast
import inspect
import shlex
import shutil
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

PROGRAMS = ("python ", "torchrun ")
"""First words of the lines in a description that are examples, kept as lines of their own."""
FLAG_WIDTH = 24
"""Longest flag with its description on the same line, characters."""
NARROWEST, WIDEST = 60, 120
UNBROKEN = "\N{NO-BREAK SPACE}"
"""A space at which lines are not broken; replaced before the page is returned."""
OTHER = "options"
"""Heading of flags without one."""
WORDS: Mapping[Any, str] = {str: "TEXT", int: "INT", float: "FLOAT", Path: "PATH", type(None): "None"}
"""Type -> placeholder of its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One line of the page."""

    name: str
    """Flag as it is typed, both spellings of a switch that is on by default"""
    value: str
    """Placeholder of its value, such as PATH or {a,b}"""
    about: str
    """Description with the default"""
    heading: str
    """Heading of its group"""


def help_page(
    *,
    usage: str,
    about: str,
    jobs: Mapping[str, str],
    settings: Sequence[tuple[Any, Mapping[str, str]]],
    width: int | None = None,
) -> str:
    """Return the page.

    Args:
        usage: The command as it is typed, such as "python run_train.py".
        about: Description. Paragraphs are wrapped; lines that begin with a command become examples.
        jobs: Name -> description of the program's other jobs.
        settings: Dataclasses, or instances whose values are the defaults, each with the fields that begin a heading.
        width: Characters per line; None: the width of the terminal.
    """
    width = min(max(width or shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    flags = [flag for config, headings in settings for flag in flags_of(config, headings)]
    positional = [flag for flag in flags if not flag.name.startswith("-")]
    parts = [
        " ".join([f"usage: {usage}", *(flag.name for flag in positional), "[OPTIONS]"]),
        *_described(about, width),
    ]
    if jobs:
        column = max(map(len, jobs)) + 4
        lines = [_beside(f"  {name}", what.rstrip("."), column, width) for name, what in jobs.items()]
        parts.append("\n".join([f"other jobs ({usage} JOB -h):", *lines]))
    common = (("-h, --help", "Show this page and exit"), ("--version", "Show the version and exit"))
    flags += [Flag(name=name, value="", about=what, heading=OTHER) for name, what in common]
    for heading in dict.fromkeys(flag.heading for flag in flags):
        own = [_line(flag, width) for flag in flags if flag.heading == heading]
        parts.append("\n".join([f"{heading}:", *own]))
    return "\n\n".join(parts).replace(UNBROKEN, " ") + "\n"


def flags_of(config: Any, headings: Mapping[str, str], *, prefix: str = "") -> Iterator[Flag]:
    """Yield the flags of a dataclass or of its instance in order, nested dataclasses included.

    Args:
        config: The dataclass or its instance.
        headings: Field -> heading of this field and the fields after it.
        prefix: Text before the names, such as "augment.".
    """
    cls = config if isinstance(config, type) else type(config)
    hints, texts = get_type_hints(cls, include_extras=True), field_docstrings(cls)
    heading = OTHER
    for field in fields(cls):
        heading = headings.get(field.name, heading)
        default = _default(field) if isinstance(config, type) else getattr(config, field.name)
        if is_dataclass(hints[field.name]):
            inner = hints[field.name] if default is MISSING else default
            yield from flags_of(inner, {fields(inner)[0].name: heading}, prefix=f"{prefix}{field.name}.")
        else:
            yield _flag(f"{prefix}{field.name}", hints[field.name], default, texts.get(field.name, ""), heading)


def field_docstrings(cls: type) -> dict[str, str]:
    """Return the docstring under each field of a dataclass, in one line."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):  # type: ignore[attr-defined]
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found[field.target.id] = " ".join(text.value.split())
    return found


def _default(field: "Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _flag(name: str, hint: Any, default: Any, text: str, heading: str) -> Flag:
    """Return the line of one field."""
    is_positional = get_origin(hint) is Annotated
    if is_positional:
        return Flag(name=f"{name.upper()} ...", value="", about=text, heading="arguments")
    if hint is bool and default is False:
        return Flag(name=f"--{name}", value="", about=text, heading=heading)

    about = " ".join(filter(None, [text, "(required)" if default is MISSING else _said(default)]))
    if hint is bool:
        return Flag(name=f"--{name}, --no_{name}", value="", about=about, heading=heading)
    return Flag(name=f"--{name}", value=_value(hint, default), about=about, heading=heading)


def _said(default: Any) -> str:
    """Return the default in brackets; nothing for None and for empty values, which the description explains."""
    if default is None or default in ("", (), {}, []):
        return ""
    if isinstance(default, bool):
        return f"(default:{UNBROKEN}{'on' if default else 'off'})"
    words = default if isinstance(default, tuple | list) else [default]
    return f"(default:{UNBROKEN}{' '.join(shlex.quote(str(word)) for word in words)})"


def _value(hint: Any, default: Any) -> str:
    """Return the placeholder of a value, such as PATH, INT|auto, {a,b} or TEXT [...]."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is bool:
        return "{True,False}"
    if origin is Literal:
        return inner[0] if len(inner) == 1 else "{" + ",".join(map(str, inner)) + "}"
    if origin in (Union, types.UnionType):
        # "None" is shown only if it differs from the default
        return "|".join(_value(kind, default) for kind in inner if kind is not type(None) or default is not None)
    if origin is tuple:
        return f"{_value(inner[0], None)} [...]" if inner[-1] is ... else " ".join(_value(kind, None) for kind in inner)
    if inner:
        return "NAME VALUE [...]" if inner[1] is str else "COLUMN NAME VALUE [...]"
    return WORDS[hint]


def _described(about: str, width: int) -> Iterator[str]:
    """Yield the paragraphs of a description, and its examples as one."""
    lines = [line.strip() for line in about.strip().splitlines()]
    examples = [line for line in lines if line.startswith(PROGRAMS)]
    text = "\n".join("" if line.startswith(PROGRAMS) else line for line in lines)
    yield from (textwrap.fill(part, width) for part in text.split("\n\n") if part.strip())
    if examples:
        yield "\n".join(["examples:", *(line for example in examples for line in _example(example, width))])


def _example(command: str, width: int) -> Iterator[str]:
    """Yield a command in lines of at most `width`, broken before flags with a backslash, so that it can be pasted."""
    command, _, comment = (part.strip() for part in command.partition(" # "))
    if comment:
        yield f"  # {comment}"
    line = " "
    for words in command.replace(" --", "\n--").split("\n"):
        if len(line) + len(words) + 3 > width:
            yield f"{line} \\"
            line = "     "
        line = f"{line} {words}"
    yield line


def _line(flag: Flag, width: int) -> str:
    """Return a flag with its description beside it, or below it where the flag is long."""
    shown = f"  {flag.name} {flag.value}".rstrip()
    if len(shown) <= FLAG_WIDTH:
        return _beside(shown, flag.about, FLAG_WIDTH + 2, width)
    if len(shown) > width:
        shown = textwrap.fill(shown.replace(",", ", "), width, subsequent_indent="      ", break_on_hyphens=False)
    return f"{shown}\n{_beside('', flag.about, FLAG_WIDTH + 2, width)}"


def _beside(left: str, text: str, column: int, width: int) -> str:
    """Return `left`, and `text` from `column` on."""
    indent = " " * column
    filled = textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return left + filled[len(left) :]
