"""The command line of training: which recipe, which task, and the configuration. Light, as train/train_config.py is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import tyro

from common.programs import Job, read_flags
from train.presets import PRESETS
from train.train_config import HEADINGS, TrainConfig

Task = Literal["train", "print_config", "dry_run"]
PROGRAM = "python run_train.py"

Setting = tuple[str, Callable[[TrainConfig], bool], tuple[str, ...]]
IDLE: tuple[Setting, ...] = (
    ("--no_cohort", lambda c: c.no_cohort, ("cohort_filepath", "train_split", "views", "label_similarity")),
    (
        "--no_cohort, which leaves no images to validate on",
        lambda c: c.no_cohort,
        ("eval_interval", "eval_split", "eval_images", "eval_prompts", "best_by", "patience"),
    ),
    ("no --second_txt_filepath", lambda c: c.second_txt_filepath is None, ("second_share",)),
    ("--freeze text", lambda c: c.freeze == "text", ("text_rate",)),
    ("--objective reports", lambda c: c.objective == "reports", ("sentences_per_report",)),
    ("--form softmax", lambda c: c.form == "softmax", ("positive_weight", "init_bias")),
    ("--optimizer sgd", lambda c: c.optimizer == "sgd", ("beta2",)),
    ("--optimizer adamw", lambda c: c.optimizer != "sgd", ("momentum",)),
    (
        "--max_minutes, which sets the length of the run (--max_minutes None lifts it)",
        lambda c: c.max_minutes is not None,
        ("epochs",),
    ),
    ("--out_dir", lambda c: c.out_dir is not None, ("save_dir", "model_name")),
)
"""Setting in words, whether a run has it, and the options that then do nothing"""


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
        arguments: As in `sys.argv[1:]`.
        about: What the program is for, shown by `-h`.

    Raises:
        ValueError: A value that cannot be, a flag that would do nothing, or two tasks at once.
        SystemExit: After `-h` or `--version` (0), or for flags that do not exist or cannot be read (2).
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
    refuse_idle(config, given_flags(rest))
    task: Task = "print_config" if choice.print_config else "dry_run" if choice.dry_run else "train"
    return TrainCommand(task, config)


def given_flags(arguments: Iterable[str]) -> set[str]:
    """Return the options that a command line names, in their spelling as fields.

    >>> sorted(given_flags(["--lr", "1", "--no_antialias", "--batch_size=4", "--augment.flip", "0.5"]))
    ['antialias', 'augment.flip', 'batch_size', 'lr']
    """
    known = {one.name for one in fields(TrainConfig)}
    words = [word.split("=")[0].removeprefix("--").replace("-", "_") for word in arguments if word.startswith("--")]
    return {word if word in known else word.removeprefix("no_") for word in words}


def refuse_idle(config: TrainConfig, given: set[str]) -> None:
    """Refuse flags that do nothing beside the others; the values of defaults and presets may.

    Raises:
        ValueError: A given flag has no effect.
    """
    for setting, is_chosen, names in IDLE:
        idle = [f"--{name}" for name in names if name in given]
        if idle and is_chosen(config):
            raise ValueError(f"{', '.join(idle)}: wanted a run that uses it, found {setting}: leave one of them out")
