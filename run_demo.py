"""The whole pipeline on simulated films: archive, preprocess, train, score by prompts, report. Minutes on a laptop.

python run_demo.py --out_dir runs/demo
python run_demo.py --out_dir runs/underdiagnosis --scenario underdiagnosis --control
"""

import sys
from dataclasses import replace
from functools import partial
from typing import Any

from common.programs import Job, start
from wiring.demo_plan import HEADINGS, DemoConfig, plan, scoring_of


def main(config: DemoConfig) -> dict[str, Any]:
    """Run every stage, write report.html and summary.json, and return the summary."""
    import audit  # noqa: PLC0415  (pandas, OpenCV and torch, which -h does not need)
    from make_phantom import main as make_phantom  # noqa: PLC0415
    from preprocess_train_data import main as preprocess  # noqa: PLC0415
    from run_train import main as train  # noqa: PLC0415
    from run_zero_shot import main as score  # noqa: PLC0415
    from wiring.demo_report import simulated_run  # noqa: PLC0415
    from wiring.side_by_side import beside  # noqa: PLC0415
    from wiring.supervised_ceiling import ceiling_predictions  # noqa: PLC0415

    stages = plan(config)
    training, scoring = stages.training, stages.scoring
    runs, shuffled = {"reports": training.folder}, None

    with audit.metered() as meter:
        # Films and reports, and what training reads of them.
        with meter.stage("phantom"):
            make_phantom(stages.archive)
        with meter.stage("preprocess"):
            packed = preprocess(stages.packing).flow.to_frame()

        # The model that learns from reports, scored by prompts. Beside it, in a process of its own, the same tower
        # learns from labels, for as many passes: what prompts could reach.
        with beside(partial(ceiling_predictions, training, scoring)) as supervised:
            with meter.stage("train"):
                if train(training).was_interrupted:
                    raise InterruptedError("training was interrupted, so the demo stops")
            with meter.stage("zero_shot"):
                results = score(scoring)
            with meter.stage("supervised"):
                ceiling = results.judge(supervised(), n_replicates=config.n_replicates, seed=config.seed)

        # The same model trained on reports of other films: what a leak alone would reach.
        if config.control:
            with meter.stage("control"):
                control = replace(training, shuffle_reports=True, out_dir=config.out_dir / "model_shuffled")
                train(control)
                shuffled = score(scoring_of(control, config, out_dir=config.out_dir / "predictions_shuffled")).metrics
            runs["shuffled reports"] = control.folder

        with meter.stage("report"):
            run = simulated_run(stages, results, ceiling=ceiling, shuffled=shuffled, packed=packed, runs=runs)
            audit.write_simulated_report(config.out_dir, run)

    return audit.summarise(config.out_dir, run, meter)


def cli() -> int:
    """Run from the command line; 2 for a request that cannot be understood, 1 for a job that failed."""
    return start(Job(about=__doc__ or "", config=DemoConfig, run=main, headings=HEADINGS))


if __name__ == "__main__":
    sys.exit(cli())
