"""`run_zero_shot.py compare`: results side by side on the screen, with paired differences."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from common.programs import Job

ABOUT = """Print the AUROCs of result folders side by side, with paired differences to the first.

Results that were not made under one specification are refused, unless --experiment names what was changed.

python run_zero_shot.py compare predictions/a predictions/b --experiment models
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareConfig:
    """Which results to compare."""

    folders: Positional[tuple[Path, ...]]
    """Result folders of run_zero_shot.py, two or more; the others are compared with the first"""
    experiment: tuple[str, ...] = ()
    """Blocks or entries of the specification that were changed on purpose, such as models, prompts, scoring or
    images.split; without it, none may differ"""

    def __post_init__(self) -> None:
        if len(self.folders) < 2:
            raise ValueError(f"compare: wanted two result folders or more, found {len(self.folders)}")


def main(config: CompareConfig) -> None:
    """Print the comparison."""
    from zero_shot.evaluation.compare import compare_results, side_by_side  # noqa: PLC0415  (pandas)

    print(side_by_side(compare_results(config.folders, experiment=config.experiment)))


JOB = Job(about=ABOUT, config=CompareConfig, run=main)
