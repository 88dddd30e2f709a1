"""The configuration from the command line: a preset, with flags on top. Light, as train/train_config.py is."""

import argparse
from collections.abc import Sequence
from typing import Literal, get_args

import tyro

from train.presets import PRESETS
from train.train_config import TrainConfig

Task = Literal["train", "print_config", "dry_run"]


def choose_task(arguments: Sequence[str]) -> tuple[Task, list[str]]:
    """Return what is asked for, train where nothing else is, and the other arguments.

    Raises:
        SystemExit: for two tasks at once (2).
    """
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    tasks = chooser.add_mutually_exclusive_group()
    for task in get_args(Task)[1:]:
        tasks.add_argument(f"--{task}", dest="task", action="store_const", const=task, default="train")
    known, rest = chooser.parse_known_args(arguments)
    return known.task, rest


def read_command_line(arguments: Sequence[str], *, about: str) -> TrainConfig:
    """Return the configuration; `--preset NAME` chooses the defaults that the other flags change.

    Args:
        arguments: as in `sys.argv[1:]`, without those of `choose_task`.
        about: what the program is for, shown by `-h`.

    Raises:
        ValueError: a value that cannot be.
        SystemExit: after `-h` (0), or for flags that do not exist or cannot be read (2).
    """
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    known, rest = chooser.parse_known_args(arguments)
    presets = ", ".join(sorted(PRESETS))
    description = f"{about}\n\n--preset NAME ({presets}) sets the defaults shown here; now {known.preset}."
    return tyro.cli(
        TrainConfig, args=rest, default=PRESETS[known.preset](), description=description, use_underscores=True
    )
