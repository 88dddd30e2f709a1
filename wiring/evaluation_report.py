"""The report of an evaluation: the results of `run_zero_shot.py` as the page that a person reads."""

from pathlib import Path

import pandas as pd

from audit import headlines, reliability_figure, write_page
from audit.report import ReportPage
from common.atomic import write_text
from zero_shot.evaluation.results import Results


def write_evaluation_report(results: Results, subgroups: pd.DataFrame, folder: Path) -> Path:
    """Write report.html and reliability.svg beside the results in `folder`, and return the page's path.

    Call it after `results.write`: what fails here leaves the results as they are.

    Args:
        results: of `zero_shot.evaluation.results.run`.
        subgroups: of `audit.disaggregate`.
        folder: the result folder.
    """
    bins = results.decided.reliability
    if bins is not None and not bins.empty:
        write_text(folder / "reliability.svg", reliability_figure(bins))

    return write_page(folder / "report.html", evaluation_page(results, subgroups))


def evaluation_page(results: Results, subgroups: pd.DataFrame) -> ReportPage:
    """Return the page of an evaluation, without films: an archive of patients may forbid to copy them.

    Args:
        results: of `zero_shot.evaluation.results.run`.
        subgroups: of `audit.disaggregate`, or of `audit.read_subgroups`.
    """
    films, patients = len(results.cohort), results.cohort["subject_id"].nunique()
    provenance = results.spec["provenance"]
    return ReportPage(
        title="Zero-shot evaluation",
        subtitle=f"{films:,} films of {patients:,} patients, scored by prompts",
        headlines=headlines(results.metrics, subgroups),
        scores=results.metrics,
        subgroups=subgroups,
        flows={"Scored": results.flow.to_frame()},
        specification=results.spec,
        versions={"Python": provenance["python"], **provenance["versions"]},
    )
