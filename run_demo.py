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
    from wiring.evaluation_report import evaluation_page  # noqa: PLC0415
    from wiring.side_by_side import beside  # noqa: PLC0415
    from wiring.supervised_ceiling import ceiling_predictions  # noqa: PLC0415

    archive, packing, training, scoring = plan(config)
    root, runs, shuffled = config.out_dir, {"reports": training.folder}, None

    with audit.metered() as meter:
        with meter.stage("phantom"):
            make_phantom(archive)
        with meter.stage("preprocess"):
            packed = preprocess(packing)

        # the model of the reports, and beside it the classifier that learns from labels
        with beside(partial(ceiling_predictions, training, scoring)) as supervised:
            with meter.stage("train"):
                if train(training).was_interrupted:
                    raise InterruptedError("training was interrupted, so the demo stops")
            with meter.stage("zero_shot"):
                results = score(scoring)
            with meter.stage("supervised"):
                ceiling = results.judge(supervised(), n_replicates=config.n_replicates, seed=config.seed)

        if config.control:
            with meter.stage("control"):
                control = replace(training, shuffle_reports=True, out_dir=root / "model_shuffled")
                train(control)
                shuffled = score(scoring_of(control, config, out_dir=root / "predictions_shuffled")).metrics
            runs["shuffled reports"] = control.folder
        with meter.stage("report"):
            run = audit.SimulatedRun(
                evaluation=evaluation_page(results, audit.read_subgroups(scoring.folder / "subgroups.csv")),
                archive=archive.out_dir,
                cohort_filepath=training.cohort_filepath,
                txt_filepath=training.txt_filepath,
                scored=audit.ScoredImages(
                    predictions=results.predictions,
                    truth=results.truth,
                    cohort=results.cohort,
                    prompts=results.prompts,
                ),
                ceiling=ceiling,
                shuffled=shuffled,
                packed=packed.flow.to_frame(),
                runs=runs,
                seed=config.seed,
                n_replicates=config.n_replicates,
            )
            audit.write_simulated_report(root, run)
    return audit.summarise(root, run, meter)


def cli() -> int:
    """Run from the command line; 2 for a request that cannot be understood, 1 for a job that failed."""
    return start(Job(about=__doc__ or "", config=DemoConfig, run=main, headings=HEADINGS))


if __name__ == "__main__":
    sys.exit(cli())
