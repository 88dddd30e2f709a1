"""The report of a run on simulated films: an evaluation's page, and what only a simulated archive knows."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from audit.assemble import ScoredImages, choose_examples, count_in_mean, mean_auroc, simulated_headlines
from audit.cost import Meter
from audit.page import ReportPage
from audit.report import write_report
from audit.under_reporting import report_sensitivity
from cohort import FINDINGS, group_table, parse_groups, read_cohort, read_labels, read_texts
from common.atomic import write_json

# Not under-reported by group: reports always mention tubes, and often name an opacity by its cause.
NOT_COMPARED = frozenset({"No Finding", "Support Devices", "Lung Opacity"})
REPORT_GROUPS = ("sex", "age:0,18,40,60,80,+", "race", "insurance")
CAVEATS = (
    "Films, reports and people are simulated: the numbers show that the pipeline works, nothing about patients.",
    "The truth is what was drawn into the films. Training sees only the reports, with all that they leave out.",
    "The supervised classifier is a comparison, not an upper bound: it learns from labels read from those reports.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """A run on simulated films: its evaluation, and where its other parts are."""

    evaluation: ReportPage
    """Page of the evaluation of the held-out films, which the report extends"""
    archive: Path
    """Folder of the simulated archive: truth.csv, scenario.json"""
    cohort_filepath: Path
    txt_filepath: Path
    scored: ScoredImages
    """The held-out films"""
    ceiling: pd.DataFrame
    """AUROCs of the supervised classifier"""
    shuffled: pd.DataFrame | None = None
    """AUROCs after training on shuffled reports"""
    packed: pd.DataFrame | None = None
    """Flow table of preprocessing"""
    runs: Mapping[str, Path] = field(default_factory=dict)
    """Name of a training run -> its folder, for the learning curves"""
    seed: int = 0
    n_replicates: int = 1000


def write_simulated_report(out_dir: Path, run: SimulatedRun) -> Path:
    """Write the report of a run on simulated films and return the page's path."""
    scenario = json.loads((run.archive / "scenario.json").read_text(encoding="utf-8"))["scenario"]

    # What the reports leave out, against what was drawn into all packed films.
    cohort = read_cohort(run.cohort_filepath)
    packed = cohort[cohort["h5_row"].notna()]
    sensitivity = sensitivity_of_reports(
        packed, run.archive / "truth.csv", n_replicates=run.n_replicates, seed=run.seed
    )

    # Films and reports may be shown: nobody in them exists.
    texts = read_texts(run.txt_filepath)
    paths = dict(zip(run.scored.cohort["image_id"], run.scored.cohort["path"], strict=True))
    examples = choose_examples(
        run.scored,
        dict(zip(texts["image_id"], texts["text"], strict=True)),
        lambda image_id: read_film(Path(paths[image_id])),
    )

    page, patients = run.evaluation, run.scored.cohort["subject_id"].nunique()
    known = simulated_headlines(ceiling=run.ceiling, shuffled=run.shuffled, sensitivity=sensitivity)
    report = replace(
        page,
        title="Findings scored without labels, on a simulated archive",
        subtitle=f"Trained on films and reports only; scored by prompts on {len(run.scored.predictions):,} films of "
        f"{patients:,} patients held out. Scenario “{scenario['name']}”. Everybody here is simulated.",
        headlines=[*page.headlines, *known],
        ceiling=run.ceiling,
        sensitivity=sensitivity,
        planted=describe_planted(scenario),
        flows=page.flows if run.packed is None else {"Films packed": run.packed, **page.flows},
        curves={name: read_curve(folder) for name, folder in run.runs.items()},
        examples=examples,
        caveats=[*CAVEATS, *page.caveats],
    )
    return write_report(out_dir, report)


def sensitivity_of_reports(
    cohort: pd.DataFrame,
    truth_filepath: Path,
    *,
    groups: Sequence[str] = REPORT_GROUPS,
    n_replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return `report_sensitivity` of a simulated archive, whatever the split of its films.

    Args:
        cohort: cohort rows, whose labels were read from the reports.
        truth_filepath: the archive's truth.csv.
        groups: group specifications.
        n_replicates: bootstrap resamples of patients.
        seed: of the resampling.
    """
    findings = [finding for finding in FINDINGS if finding not in NOT_COMPARED]
    truth = read_labels(truth_filepath, findings).loc[cohort["image_id"]]
    return report_sensitivity(
        cohort[["image_id", *findings]],
        truth.reset_index(names="image_id"),
        group_table(cohort, [parse_groups(text) for text in groups]),
        findings=findings,
        n_replicates=n_replicates,
        seed=seed,
    )


def describe_planted(scenario: Mapping[str, Any]) -> str:
    """Return what a scenario plants in its reports, as a sentence."""
    groups = [f"{group} {rate:.0%}" for group, rate in scenario["underreporting_in_group"].items()]
    more = f"; more of them in {', '.join(groups)}" if groups else "; no group more than another"
    return f"Planted: {scenario['underreporting']:.0%} of the visible abnormalities are left out for everybody{more}."


def read_curve(run_folder: Path) -> pd.DataFrame:
    """Return a training run's metrics.jsonl as a frame, one row per line."""
    lines = (run_folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return pd.DataFrame([json.loads(line) for line in lines])


def read_film(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Return the pixels of a film in grey."""
    with Image.open(path) as film:
        return np.asarray(film.convert("L"))


def summarise(out_dir: Path, run: SimulatedRun, meter: Meter) -> dict[str, Any]:
    """Write summary.json beside the report, print its main numbers, and return the summary.

    `seconds` leaves out the control. An AUROC that is undefined (too few positives) is null.
    """
    control = meter.seconds_by_stage.get("control", 0.0)
    scores = run.evaluation.scores
    summary: dict[str, Any] = {
        "mean_auroc": _or_none(mean_auroc(scores)),
        "supervised_mean_auroc": _or_none(mean_auroc(run.ceiling)),
        "n_findings": count_in_mean(scores),
    }
    if run.shuffled is not None:
        summary["shuffled_mean_auroc"] = _or_none(mean_auroc(run.shuffled))
    summary |= {
        "seconds": round(sum(meter.seconds_by_stage.values()) - control, 1),
        "seconds_by_stage": {name: round(seconds, 1) for name, seconds in meter.seconds_by_stage.items()},
        "peak_rss_mb": round(meter.peak_rss_mb),
        "report": str(out_dir / "report.html"),
    }
    write_json(out_dir / "summary.json", summary)

    # What a reader wants to know first, on the terminal.
    aurocs = {name: value for name, value in summary.items() if name.endswith("mean_auroc")}
    shown = {name: "not evaluable" if value is None else f"{value:.3f}" for name, value in aurocs.items()}
    print(f"\nmean zero-shot AUROC {shown['mean_auroc']} over {summary['n_findings']} findings; trained without labels")
    print(f"supervised, same image tower, films and passes: {shown['supervised_mean_auroc']}")
    if run.shuffled is not None:
        print(f"after training on shuffled reports: {shown['shuffled_mean_auroc']} (chance is 0.5)")
    print(f"{summary['seconds']:.0f} s, at most {summary['peak_rss_mb']:,} MB\nreport: {summary['report']}")
    return summary


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
