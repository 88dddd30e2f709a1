"""The whole job on simulated films: archive, preprocess, train, score by prompts, report. Minutes on a laptop, no data.

python run_demo.py --out_dir runs/demo
python run_demo.py --out_dir runs/underdiagnosis --scenario underdiagnosis --control
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from audit.config import DemoConfig
from exit_codes import exit_code

if TYPE_CHECKING:
    import pandas as pd

    from train import TrainConfig
    from zero_shot import ZeroShotConfig
    from zero_shot.results import Results


def main(config: DemoConfig) -> dict[str, Any]:
    """Run every stage, write report.html and summary.json, and return the summary."""
    import audit  # noqa: PLC0415  (pandas, OpenCV and torch, which -h does not need)
    from make_phantom import PhantomConfig  # noqa: PLC0415
    from make_phantom import main as make_phantom  # noqa: PLC0415
    from preprocess import PreprocessConfig  # noqa: PLC0415
    from preprocess_train_data import main as preprocess  # noqa: PLC0415
    from run_train import main as train  # noqa: PLC0415
    from run_zero_shot import main as score  # noqa: PLC0415
    from train import phantom as recipe  # noqa: PLC0415
    from zero_shot import ZeroShotConfig  # noqa: PLC0415

    root, seed = config.out_dir, config.seed
    archive, size = root / "phantom", config.image_size
    phantom = PhantomConfig(
        out_dir=archive, n_patients=config.n_patients, seed=seed, scenario=config.scenario, image_size=size
    )
    packing = PreprocessConfig(
        archive_root=archive, out_dir=root / "data", resolution=config.resolution, section="both"
    )
    files = packing.outputs
    paths = {"cxr_filepath": files.images, "cohort_filepath": files.cohort}
    training = replace(
        recipe(), **paths, txt_filepath=files.texts, max_minutes=config.train_minutes, seed=seed, out_dir=root / "model"
    )
    scoring = ZeroShotConfig(
        checkpoints=(str(training.folder),),
        **paths,
        truth_filepath=archive / "truth.csv",
        seed=seed,
        n_replicates=config.n_replicates,
        out_dir=root / "predictions",
    )
    runs, shuffled = {"reports": training.folder}, None
    with audit.metered() as meter:
        with meter.stage("phantom"):
            make_phantom(phantom)
        with meter.stage("preprocess"):
            packed = preprocess(packing)
        with meter.stage("train"):
            train(training)
        with meter.stage("zero_shot"):
            results = score(scoring)
        with meter.stage("supervised"):
            ceiling = supervised_scores(training, results, scoring)
        if config.control:
            with meter.stage("control"):
                control = replace(training, shuffle_reports=True, out_dir=root / "model_shuffled")
                train(control)
                control_scoring = replace(
                    scoring, checkpoints=(str(control.folder),), out_dir=root / "predictions_shuffled"
                )
                shuffled = score(control_scoring).metrics
            runs["shuffled reports"] = control.folder
        with meter.stage("report"):
            scored = audit.Scored(
                predictions=results.predictions,
                truth=results.truth,
                cohort=results.cohort,
                prompts=results.spec["evaluation"]["prompts"],
            )
            run = audit.SimulatedRun(
                archive=archive,
                cohort_filepath=files.cohort,
                txt_filepath=files.texts,
                scored=scored,
                scores=results.metrics,
                subgroups=audit.read_subgroups(scoring.folder / "subgroups.csv"),
                ceiling=ceiling,
                shuffled=shuffled,
                flows={"Packed": packed.flow.to_frame(), "Scored": results.flow.to_frame()},
                runs=runs,
                specification=results.spec,
                seed=seed,
                n_replicates=config.n_replicates,
            )
            audit.write_simulated_report(root, run)
    return audit.summarise(root, run, meter)


def supervised_scores(training: TrainConfig, results: Results, scoring: ZeroShotConfig) -> pd.DataFrame:
    """Return the AUROCs of a classifier of the same image tower, films and minutes, trained on the reports' labels."""
    import pandas as pd  # noqa: PLC0415

    from cohort import open_images, read_cohort  # noqa: PLC0415
    from train import fit_supervised, load_pairs, predict_supervised, start_model  # noqa: PLC0415
    from zero_shot import metrics_table  # noqa: PLC0415

    with open_images(training.cxr_filepath) as store:
        rows = load_pairs(training).rows
        labels = read_cohort(training.cohort_filepath).set_index("image_id").loc[[store.image_ids[row] for row in rows]]
        labels = labels[results.findings].to_numpy(float)
        classifier = fit_supervised(start_model(training), store, labels, training, rows=rows)
        scores = predict_supervised(classifier, store, rows=store.rows(results.predictions["image_id"].tolist()))
    predictions = pd.DataFrame(scores, columns=results.findings)
    predictions.insert(0, "image_id", results.predictions["image_id"])
    patients = results.cohort["subject_id"].tolist()
    bootstrap = {"n_replicates": scoring.n_replicates, "seed": scoring.seed}
    return metrics_table(predictions, results.truth, patients, findings=results.findings, **bootstrap)


def cli() -> int:
    """Run from the command line; 2 for a request that cannot be understood, 1 for a job that failed."""
    import tyro  # noqa: PLC0415

    return exit_code(lambda: main(tyro.cli(DemoConfig, description=__doc__, use_underscores=True)))


if __name__ == "__main__":
    sys.exit(cli())
