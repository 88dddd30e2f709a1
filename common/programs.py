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
    """One task of a program, with its own settings."""

    about: str
    """Description and examples for `-h`; its first line is shown in the list of jobs"""
    config: type[Config]
    """Settings: a frozen dataclass with a docstring under every field"""
    run: Callable[[Config], object]
    """Function from the settings to a result"""
    headings: Mapping[str, str] = field(default_factory=dict)
    """Field -> heading in `-h` of this field and the fields after it"""


def start(job: Job[Any], *, others: Mapping[str, Job[Any]] | None = None) -> int:
    """Read the command line, run the job that it names, and return the exit code.

    Args:
        job: The job that runs if the command line begins with a flag.
        others: First word of the command line -> the job that runs instead.
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
        job: The job that the flags belong to.
        arguments: As in `sys.argv[1:]`, without the name of the job.
        command: The command as it is typed, for `-h` and errors.
        default: Values of flags that are not given; None: the defaults of the dataclass.
        before: Dataclasses of flags that the caller has read itself, with their headings, for `-h`.
        jobs: Name -> description of the program's other jobs, for `-h`.

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

    # tyro parses without the checks of the dataclass: it would print their message in a box, we print one line.
    unchecked = type(job.config.__name__, (job.config,), {"__post_init__": lambda _: None})
    start_values = {} if default is None else {"default": unchecked(**_values(default))}
    read = tyro.cli(unchecked, args=list(arguments), prog=command, use_underscores=True, **start_values)
    return job.config(**_values(read))


def _values(config: Any) -> dict[str, Any]:
    return {one.name: getattr(config, one.name) for one in fields(config)}


def project_version() -> str:
    """Return the version of this clone, or of the installed package if there is no clone."""
    import tomllib  # noqa: PLC0415

    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if not project.is_file():
        return version("cxrscope")
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def exit_code(job: Callable[[], object]) -> int:
    """Run `job` and return 0; 2 for a request or input that cannot be used, 1 for a job that failed.

    An error or Ctrl-C becomes one line on stderr, never a traceback; Ctrl-C returns 130, as a shell does. If the reader
    of a pipe stops (`| head`), the job continues and its further output is dropped.
    """
    stdout, sys.stdout = sys.stdout, cast("TextIO", _PipeSafeOutput(sys.stdout))
    try:
        job()
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"interrupted: {str(stop) or 'stopped by Ctrl-C'}", file=sys.stderr)
        return 130
    finally:
        sys.stdout.flush()
        sys.stdout = stdout
    return 0


class _PipeSafeOutput:
    """Standard output that drops what is written after its reader has closed the pipe."""

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
        """Send further output to nowhere; Python flushes once more when it exits, and would fail there."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
