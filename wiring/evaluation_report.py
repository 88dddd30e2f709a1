"""The report of an evaluation: the results of `run_zero_shot.py` as report.html beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from audit import ReportPage, headlines, reliability_figure, write_page
from audit.page import Headline, PublishedFigures
from common.atomic import write_text
from zero_shot.evaluation.results import Results
from zero_shot.protocols.published import WARNING

HASH_SHOWN = 12
"""Characters of a hash on the page; the specification has it whole"""


def write_evaluation_report(results: Results, subgroups: pd.DataFrame, folder: Path) -> Path:
    """Write report.html and reliability.svg into the result folder, and return the page's path.

    Call it after `results.write`: an error here leaves the results as they are.

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
    """Return the page of an evaluation.

    It shows tables and no films: MIMIC-CXR, CheXpert and PadChest come under agreements that forbid to pass films and
    reports of patients on, and this page is made to be passed on. Only the demo adds films, which are simulated.

    Args:
        results: of `zero_shot.evaluation.results.run`.
        subgroups: of `audit.disaggregate`, or of `audit.read_subgroups`.
    """
    spec, decisions = results.spec, results.decided
    evaluation, provenance = spec["evaluation"], spec["provenance"]
    films, patients = len(results.cohort), results.cohort["subject_id"].nunique()
    models = ", ".join(dict.fromkeys(member["name"] for member in provenance["checkpoints"]))

    return ReportPage(
        title="Zero-shot evaluation of chest X-rays",
        subtitle=f"{films:,} films of {patients:,} patients (split “{evaluation['images']['split']}”), scored for "
        f"{len(results.findings)} findings by {models} with the prompt set “{evaluation['prompt_set']}”.",
        headlines=[
            *_protocol_headlines(results),
            *headlines(results.metrics, subgroups, exposure=spec["exposure"]),
        ],
        scores=results.metrics,
        subgroups=subgroups,
        notes=results.notes,
        published=_published(results),
        decisions=decisions.decisions,
        calibration=decisions.calibration,
        reliability=decisions.reliability,
        readers=decisions.readers,
        flows={"Films scored": results.flow.to_frame()},
        settings=_settings(spec),
        prompts=results.prompts,
        specification=spec,
        versions={"Python": provenance["python"], **provenance["versions"]},
    )


def _published(results: Results) -> PublishedFigures | None:
    plan = results.protocol
    if plan is None or results.beside is None:
        return None
    return PublishedFigures(
        about=f"{plan.protocol.name}: {plan.protocol.about}",
        table=results.beside,
        warning=WARNING,
        deviations=plan.deviations,
        caveats=plan.protocol.caveats,
    )


def _protocol_headlines(results: Results) -> list[Headline]:
    """Return the protocol's own mean, which may be over other findings than the mean of the table."""
    if results.protocol is None or results.beside is None:
        return []
    name, table = results.protocol.protocol.headline.name, results.beside
    rows = table[(table["of"] == name) & (table["metric"] == "AUROC")]
    if rows.empty:
        return []

    first, printed = rows.iloc[0], rows[rows["published"].notna()]
    published = _published_words(printed)
    if pd.isna(first["measured"]):
        note = f"Not all of its findings are evaluable, see below. {published}"
        return [Headline(label=f"Protocol: {name}", value="too few", note=note)]
    interval = "" if pd.isna(first["low"]) else f"95 % interval {first['low']:.3f} to {first['high']:.3f}. "
    return [Headline(label=f"Protocol: {name}", value=f"{first['measured']:.3f}", note=interval + published)]


def _published_words(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "No published figure is on record."
    if len(rows) == 1:
        return f"Published, not re-run: {rows['published'].iloc[0]:.3f} ({rows['system'].iloc[0]})."
    low, high = rows["published"].min(), rows["published"].max()
    return f"Published, not re-run: {low:.3f} to {high:.3f} ({len(rows)} figures, see below)."


def _settings(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return what the scores depend on, in words."""
    evaluation = spec["evaluation"]
    images, labels, interval = evaluation["images"], evaluation["labels"], evaluation["interval"]
    scoring, checkpoints = evaluation["aggregation"], spec["provenance"]["checkpoints"]

    # The models, as many as were averaged.
    settings = {}
    for number, (checkpoint, model) in enumerate(zip(checkpoints, evaluation["models"], strict=True), start=1):
        side = model["preprocessing"]["crop_from"] or model["preprocessing"]["image_size"]
        name = "Model" if len(checkpoints) == 1 else f"Model {number}"
        settings[name] = (
            f"{checkpoint['name']} from {checkpoint['path']}; weights {_short(model['weights'])}; reads {side} px; "
            f"logit scale {model['logit_scale']:.3f}"
        )
    if len(checkpoints) > 1:
        settings["Average over models"] = scoring["checkpoints"]

    # How a score comes about.
    temperatures = ", ".join(f"{value:.4g}" for value in evaluation["temperature"])
    settings["Scoring"] = (
        f"{evaluation['scoring']}; phrases: {scoring['phrases']}; negative phrases {scoring['negative_phrases']}; "
        f"temperature {temperatures}"
    )
    settings["Prompts"] = f"set “{evaluation['prompt_set']}”, {len(evaluation['findings'])} findings"

    # What was scored, and what the scores were compared with.
    settings["Films"] = (
        f"split “{images['split']}”, {images['views']} views, {images['n']:,} films stored with {images['resolution']} "
        f"px; fingerprint {_short(images['fingerprint'])}"
    )
    blank = "blank is absent" if labels["blank_is_zero"] else "blank is left out"
    settings["Labels"] = (
        f"from the {labels['source']}; uncertain: {labels['uncertainty_policy']}; {blank}; fingerprint "
        f"{_short(labels['fingerprint'])}"
    )
    settings["Intervals"] = (
        f"{interval['level']:.0%}, {interval['replicates']:,} bootstrap resamples of patients, seed {interval['seed']}"
    )
    settings["Thresholds and calibration"] = _decision_words(evaluation["decisions"])
    settings["Specification"] = f"hash {_short(spec['hash'])}"
    return settings


def _decision_words(decisions: Mapping[str, Any]) -> str:
    fitted_on = decisions["fitted_on"]
    if fitted_on is None:
        return "thresholds of a file, no calibration" if decisions["thresholds"] else "none fitted"
    thresholds = "thresholds of a file" if decisions["thresholds"] else f"policy {decisions['policy']}"
    return (
        f"{thresholds}; calibration {decisions['calibration']}; fitted on the split “{fitted_on['split']}”, "
        f"{fitted_on['n']:,} films"
    )


def _short(fingerprint: str) -> str:
    return fingerprint[:HASH_SHOWN]
