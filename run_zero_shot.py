"""Score X-rays by prompts and evaluate the scores, overall and by subgroup.

Writes predictions, truth, metrics, subgroups and flow as CSV, spec.json and report.html.

python run_zero_shot.py --checkpoints runs/phantom --truth_filepath data/phantom/truth.csv --name phantom
python run_zero_shot.py --checkpoints a.pt --protocol nih14 --cxr_filepath nih/cxr.h5 --cohort_filepath nih/cohort.csv
python run_zero_shot.py --checkpoints a.pt b.pt --prompts chexzero --scoring chexzero --groups sex "age:0,18,65,+"
"""

from __future__ import annotations

import sys
from math import nan
from typing import TYPE_CHECKING, Any

from common.programs import Job, start
from zero_shot import retrieve_job
from zero_shot.evaluation import compare_job
from zero_shot.localisation import heatmaps
from zero_shot.probing import probe_job
from zero_shot.wording import wording_job
from zero_shot.zero_shot_config import HEADINGS, ZeroShotConfig

if TYPE_CHECKING:
    from zero_shot.evaluation.results import Results


def main(config: ZeroShotConfig) -> Results:
    """Score, evaluate overall and by group, write the files, and return the tables."""
    from audit import Thresholds, disaggregate  # noqa: PLC0415  (pandas, which -h does not need)
    from cohort import group_table, parse_groups  # noqa: PLC0415
    from wiring.evaluation_report import write_evaluation_report  # noqa: PLC0415
    from zero_shot.evaluation.results import run, write  # noqa: PLC0415

    wanted = [parse_groups(text) for text in config.groups]
    results = run(config)
    groups = group_table(results.cohort, wanted)
    fitted = results.decided.fitted
    # without thresholds there are no rates: none is fitted on the scored images unless asked for
    no_thresholds = Thresholds(by_finding=dict.fromkeys(results.findings, nan), policy="none", fitted_on="nothing")
    subgroups = disaggregate(
        results.predictions,
        results.truth,
        groups,
        findings=results.findings,
        thresholds=Thresholds.of(fitted.thresholds) if fitted else no_thresholds,
        n_replicates=config.n_replicates,
        seed=config.seed,
    )
    write(results, subgroups, config.folder)
    print(results.flow)
    print(results.summary())
    print(f"results in {config.folder}")
    print(f"report: {write_evaluation_report(results, subgroups, config.folder)}")
    return results


def cli() -> int:
    """Run from the command line; 2 for a request that cannot be understood, 1 for a job that failed."""
    others: dict[str, Job[Any]] = {
        "compare": compare_job.JOB,
        "heatmaps": heatmaps.JOB,
        "probe": probe_job.JOB,
        "wording": wording_job.JOB,
        "retrieve": retrieve_job.JOB,
    }
    return start(Job(about=__doc__ or "", config=ZeroShotConfig, run=main, headings=HEADINGS), others=others)


if __name__ == "__main__":
    sys.exit(cli())
