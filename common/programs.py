"""How every program starts and ends: flags from a dataclass, `-h`, `--version`, first words, exit codes."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar, cast

from common.help_page import help_page

Config = TypeVar("Config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[Config]):
    """Something that a program does, with settings of its own."""

    about: str
    """What it does, and examples; the first line by itself is shown where jobs are listed"""
    config: type[Config]
    """Its settings: a frozen dataclass with a docstring under every field"""
    run: Callable[[Config], object]
    """Does it"""
    headings: Mapping[str, str] = field(default_factory=dict)
    """Field -> heading in `-h` of this field and those that follow it"""


def start(job: Job[Any], *, others: Mapping[str, Job[Any]] | None = None) -> int:
    """Read the command line, run what it asks for, and return the exit code.

    Args:
        job: What the program does by default.
        others: First word of the command line -> what is done in its place.
    """
    return exit_code(partial(_start, job, others or {}))


def _start(job: Job[Any], others: Mapping[str, Job[Any]]) -> None:
    program, *arguments = sys.argv
    command = f"python {Path(program).name}"
    word = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    if word and others and word not in others:
        raise ValueError(f"{command}: wanted flags or one of the jobs {', '.join(others)}, found {word!r}")
    if word in others:
        chosen = others[word]
        chosen.run(read_flags(chosen, arguments[1:], command=f"{command} {word}"))
    else:
        jobs = {name: other.about.strip().splitlines()[0] for name, other in others.items()}
        job.run(read_flags(job, arguments, command=command, jobs=jobs))


def read_flags(
    job: Job[Config],
    arguments: Sequence[str],
    *,
    command: str,
    default: Config | None = None,
    before: Sequence[tuple[Any, Mapping[str, str]]] = (),
    jobs: Mapping[str, str] | None = None,
) -> Config:
    """Return the settings of a job from its flags.

    Args:
        job: Whose flags they are.
        arguments: As in `sys.argv[1:]`, without the job's own name.
        command: How the program is called, for `-h` and errors.
        default: Values of the flags that are not given; the dataclass's own without it.
        before: Dataclasses of further flags, which the caller has read, and their headings; for `-h`.
        jobs: The program's other jobs, and what they do; for `-h`.

    Raises:
        ValueError: A value that the dataclass refuses.
        SystemExit: After `-h` or `--version` (0), or for flags that do not exist or cannot be read (2).
    """
    if {"-h", "--help"} & set(arguments):
        settings = [*before, (job.config if default is None else default, job.headings)]
        print(help_page(usage=command, about=job.about, jobs=jobs or {}, settings=settings), end="")
        raise SystemExit(0)
    if "--version" in arguments:
        print(f"cxrscope {project_version()}")
        raise SystemExit(0)
    import tyro  # noqa: PLC0415  (a quarter of a second, which -h does not need)

    # Without its checks, so that what they refuse is one line in our words and not a box around them.
    unchecked = type(job.config.__name__, (job.config,), {"__post_init__": lambda _: None})
    start_values = {} if default is None else {"default": unchecked(**_values(default))}
    read = tyro.cli(unchecked, args=list(arguments), prog=command, use_underscores=True, **start_values)
    return job.config(**_values(read))


def _values(config: Any) -> dict[str, Any]:
    return {one.name: getattr(config, one.name) for one in fields(config)}


def project_version() -> str:
    """Return the project's version: of this clone, else of the installed package."""
    import tomllib  # noqa: PLC0415

    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if not project.is_file():
        return version("cxrscope")
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def exit_code(job: Callable[[], object]) -> int:
    """Run `job` and return 0; 2 for a request or input that cannot be used, 1 for a job that failed.

    What cannot be done becomes one line, never a traceback. A reader that closes the pipe (`| head`) changes nothing:
    the job continues, and what it prints is dropped.
    """
    stdout, sys.stdout = sys.stdout, cast("TextIO", _DeafOutput(sys.stdout))
    try:
        job()
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        sys.stdout.flush()
        sys.stdout = stdout
    return 0


class _DeafOutput:
    """Standard output that nobody has to read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except BrokenPipeError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _discard(self) -> None:
        """Point the file descriptor elsewhere, or Python fails once more when it flushes at its end."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
