"""The command line of training: which recipe, which task, and the configuration. Light, as train/train_config.py is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import tyro

from common.programs import Job, read_flags
from train.presets import PRESETS
from train.train_config import HEADINGS, TrainConfig

Task = Literal["train", "print_config", "dry_run"]
PROGRAM = "python run_train.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainChoice:
    """The flags that are read before the configuration."""

    preset: Literal["default", "phantom", "chexzero", "mimic_vit_b16", "mimic_dinov2", "small_gpu"] = "default"
    """Recipe (train/presets.py); it sets the defaults shown here, and other flags override it"""
    print_config: bool = False
    """Print the resolved configuration as JSON and exit"""
    dry_run: bool = False
    """Take two steps, print the memory and time that the run needs, and write nothing"""


class TrainCommand(NamedTuple):
    """What a command line asks for."""

    task: Task
    config: TrainConfig


def read_command_line(arguments: Sequence[str], *, about: str = "") -> TrainCommand:
    """Return the task, and the configuration: the preset's, changed by the other flags.

    Args:
        arguments: as in `sys.argv[1:]`.
        about: what the program is for, shown by `-h`.

    Raises:
        ValueError: a value that cannot be; two tasks at once.
        SystemExit: after `-h` or `--version` (0), or for flags that do not exist or cannot be read (2).
    """
    choice, rest = tyro.cli(
        TrainChoice, args=list(arguments), prog=PROGRAM, use_underscores=True, add_help=False, return_unknown_args=True
    )
    if choice.print_config and choice.dry_run:
        raise ValueError("--print_config, --dry_run: wanted one of them, found both")

    config = read_flags(
        Job(about=about, config=TrainConfig, run=print, headings=HEADINGS),
        rest,
        command=PROGRAM,
        default=PRESETS[choice.preset](),
        before=[(choice, {"preset": "recipe and rehearsal"})],
    )
    task: Task = "print_config" if choice.print_config else "dry_run" if choice.dry_run else "train"
    return TrainCommand(task, config)
