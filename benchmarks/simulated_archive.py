"""A simulated archive, drawn and packed once per scenario and seed, for the benchmarks that train on one."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness  # noqa: F401  (puts the repository's root on the path)

from make_phantom import main as make_phantom
from preprocess_train_data import main as preprocess
from run_train import main as train
from run_zero_shot import main as score
from wiring.demo_plan import DemoConfig, Plan, plan, scoring_of
from zero_shot.evaluation.results import Results


def prepared(config: DemoConfig) -> Plan:
    """Return a demo's plan with its archive drawn and packed; an archive from an earlier call is reused."""
    stages = plan(config)
    archive = make_phantom(stages.archive)
    if not (archive.reused and stages.packing.outputs.images.is_file()):
        preprocess(stages.packing)
    return stages


def train_and_score(
    config: DemoConfig, stages: Plan, overrides: Mapping[str, Any], *, name: str
) -> tuple[Results, Path]:
    """Train the recipe with some settings replaced, score held-out patients, and return the results and their folder.

    The run's last checkpoint is scored; with `patience`, the one that was best on the validation patients.
    """
    training = replace(stages.training, **overrides, out_dir=config.out_dir / name / "model")
    summary = train(training)
    scoring = scoring_of(training, config, out_dir=config.out_dir / name / "predictions")
    if training.patience is not None and summary.best is not None:
        scoring = replace(scoring, checkpoints=(str(summary.best),))
    return score(scoring), scoring.folder
