"""The report of run_demo.py: the report of an evaluation, and what only a simulated archive can tell."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from audit import ScoredImages, SimulatedRun, read_subgroups
from wiring.demo_plan import Plan
from wiring.evaluation_report import evaluation_page
from zero_shot.evaluation.results import Results


def simulated_run(
    stages: Plan,
    results: Results,
    *,
    ceiling: pd.DataFrame,
    shuffled: pd.DataFrame | None,
    packed: pd.DataFrame,
    runs: Mapping[str, Path],
) -> SimulatedRun:
    """Return what the report of a demo shows.

    Args:
        stages: the settings of every stage.
        results: the zero-shot evaluation on held-out patients.
        ceiling: metrics of the supervised classifier on the same films.
        shuffled: metrics of the model trained on shuffled reports; None: there is none.
        packed: the flow table of packing.
        runs: name of a model -> its run folder, for the learning curves.
    """
    training, scoring = stages.training, stages.scoring
    return SimulatedRun(
        evaluation=evaluation_page(results, read_subgroups(scoring.folder / "subgroups.csv")),
        archive=stages.archive.out_dir,
        cohort_filepath=training.cohort_filepath,
        txt_filepath=training.txt_filepath,
        scored=ScoredImages(
            predictions=results.predictions, truth=results.truth, cohort=results.cohort, prompts=results.prompts
        ),
        ceiling=ceiling,
        shuffled=shuffled,
        packed=packed,
        runs=runs,
        seed=scoring.seed,
        n_replicates=scoring.n_replicates,
    )
