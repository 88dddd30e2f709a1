"""Train on image-text pairs and write runs/NAME/: checkpoints, metrics.jsonl and metrics.csv, TensorBoard.

python run_train.py --cxr_filepath data/cxr.h5 --txt_filepath data/mimic_impressions.csv
python run_train.py --preset phantom --model_name phantom
torchrun --nproc_per_node 4 run_train.py --preset mimic_vit_b16 --resume
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from common.programs import exit_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from train import RunSummary, TrainConfig
    from train.dry_run import DryRun


def main(config: TrainConfig) -> RunSummary:
    """Load pairs and model, train with validation where the cohort allows it, and return the summary."""
    from train import fit, load_pairs, start_model  # noqa: PLC0415  (torch, which -h does not need)
    from wiring.validation_plan import validation  # noqa: PLC0415

    pairs = load_pairs(config)
    say(pairs.describe())
    plan = validation(config)
    for note in plan.notes:
        say(f"note: {note}")
    summary = fit(start_model(config), pairs, config, evaluate=plan.evaluate, selected=plan.images)
    say(summary)
    return summary


def dry_run(config: TrainConfig) -> DryRun:
    """Take the first two steps of the run, print what they needed, and return it."""
    from train import load_pairs, start_model  # noqa: PLC0415
    from train.dry_run import dry_run as two_steps  # noqa: PLC0415

    pairs = load_pairs(config)
    say(pairs.describe())
    found = two_steps(start_model(config), pairs, config)
    say(found)
    return found


def print_config(config: TrainConfig) -> None:
    """Print every option with its value, preset and flags resolved, as JSON."""
    say(json.dumps(asdict(config), indent=2, default=str))


def say(what: object) -> None:
    """Print, on one of the processes that torchrun started."""
    if os.environ.get("RANK", "0") == "0":
        print(what)


def cli() -> int:
    """Run from the command line; 2 for input that is missing or cannot be used, 1 for a job that failed.

    A run that a signal stopped is 0: it is saved and can be continued.
    """
    return exit_code(_run)


def _run() -> None:
    from train.command_line import read_command_line  # noqa: PLC0415

    task, config = read_command_line(sys.argv[1:], about=__doc__ or "")
    jobs: dict[str, Callable[[TrainConfig], object]] = {"train": main, "dry_run": dry_run, "print_config": print_config}
    jobs[task](config)


if __name__ == "__main__":
    sys.exit(cli())
