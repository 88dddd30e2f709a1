"""The page of an evaluation: what it shows, and one self-contained HTML text for a desk or a telephone."""

import base64
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from jaxtyping import UInt8
from markupsafe import Markup
from PIL import Image

from audit.figures import METRIC_NAMES
from audit.joined_tables import OVERALL
from audit.under_reporting import POOLED
from metrics.evidence import MEAN, MIN_N, MIN_PATIENTS

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One number at the top of the page."""

    label: str
    value: str
    note: str
    """What the number is and what it is not, in a sentence"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingScore:
    """The score of one film for one finding."""

    finding: str
    positive: tuple[str, ...]
    """Positive prompts, at least one"""
    negative: tuple[str, ...]
    """Negative prompts"""
    score: float
    """Probability of the positive side"""
    truth: bool | None
    """Whether the finding is in the film; None: not known"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleFilm:
    """One film with its report and its scores."""

    image: UInt8[np.ndarray, "h w"]
    caption: str
    report: str
    scores: tuple[FindingScore, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigures:
    """A published protocol that was followed, and its figures beside the measured ones."""

    about: str
    """Name of the protocol and what it is"""
    table: pd.DataFrame
    """of, metric, measured, low, high, note, system, published, published_low, published_high, evidence, source,
    caveat"""
    warning: str = ""
    """Why the figures may not be comparable, in general"""
    deviations: Sequence[str] = ()
    """Where this evaluation differs from the protocol"""
    caveats: Sequence[str] = ()
    """What has to be known about the protocol"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPage:
    """Everything that the page shows; a part that is missing or empty is left out."""

    title: str
    subtitle: str
    headlines: Sequence[Headline]
    scores: pd.DataFrame
    """finding, n, n_pos, n_neg, patients, patients_pos, auroc, low, high, status, reason, and the row "mean"; with
    auprc and its interval where it was measured"""
    subgroups: pd.DataFrame
    """Table of `disaggregate`"""
    notes: Sequence[str] = ()
    """What has to be known to read the scores, such as images that were enlarged"""

    published: PublishedFigures | None = None
    decisions: pd.DataFrame | None = None
    """Threshold per finding, and sensitivity, specificity, ppv, npv, f1 and mcc with their intervals"""
    calibration: pd.DataFrame | None = None
    """Calibration errors per finding, before and after the calibrator"""
    reliability: pd.DataFrame | None = None
    """Bins of the reliability plots, see `reliability_figure`"""
    readers: pd.DataFrame | None = None
    """mcc and f1 of the model, of the readers, and their difference"""

    ceiling: pd.DataFrame | None = None
    """Scores of a supervised classifier, as `scores`"""
    sensitivity: pd.DataFrame | None = None
    """Table of `report_sensitivity`"""
    planted: str = ""
    """What was planted in simulated reports, in a sentence"""
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Name of a training run -> its metrics by step"""
    examples: Sequence[ExampleFilm] = ()
    """Films with their reports: only those that may be copied into a file that is passed on"""

    flows: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Title -> flow table: step, reason, rows, and what remained"""
    caveats: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    """What the scores depend on, name -> words"""
    prompts: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """Finding -> its "positive" and "negative" phrases"""
    specification: Mapping[str, Any] = field(default_factory=dict)
    """The whole specification; its block "exposure" (stamp, images by reason, records) has a section of its own"""
    versions: Mapping[str, str] = field(default_factory=dict)


def render(report: ReportPage, figures: Mapping[str, str]) -> str:
    """Return the page as HTML. Every text is escaped; only the drawings go in as they are.

    Args:
        report: what the page shows.
        figures: slug of a name -> SVG, of `audit.report.draw_figures`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "signed": _signed, "interval": _interval, "count": _count}

    return environment.get_template("report.html").render(
        report=report,
        # Drawn by matplotlib, which escapes the names of groups and findings itself.
        figures={name: Markup(svg) for name, svg in figures.items()},  # noqa: S704
        # Tables as rows.
        scores=_score_rows(report),
        has_auprc="auprc" in report.scores,
        overall=rows_of(report.subgroups, OVERALL, MEAN),
        attributes=[_attribute_context(report, attribute) for attribute in attributes_of(report.subgroups)],
        published=[] if report.published is None else _dicts(report.published.table),
        decisions=_dicts(report.decisions),
        calibration=_dicts(report.calibration),
        readers=_dicts(report.readers),
        reports=[] if report.sensitivity is None else _dicts(_pooled(report.sensitivity)),
        report_figures=[name for name in figures if name.startswith("reports_")],
        reliability_figures=[name for name in figures if name.startswith("reliability_")],
        flows={title: _dicts(table) for title, table in report.flows.items()},
        # Words and counts of the text.
        examples=[(_data_uri(example.image), example) for example in report.examples],
        exposure=report.specification.get("exposure"),
        specification=json.dumps(report.specification, indent=2, ensure_ascii=False),
        metric_names=METRIC_NAMES,
        min_n=MIN_N,
        min_patients=MIN_PATIENTS,
        policy=", ".join(sorted(set(report.subgroups["threshold_policy"]) - {""})),
        weak=set(report.scores.loc[report.scores["status"] != "ok", "finding"]),
        n_flagged=int(report.subgroups["flagged"].sum()),
        n_tested=int((report.subgroups["family"] != "").sum()),
    )


def attributes_of(table: pd.DataFrame) -> list[str]:
    """Return the attributes of a subgroup table without the row of everybody."""
    return [str(name) for name in table["attribute"].unique() if name != OVERALL]


def rows_of(table: pd.DataFrame, attribute: str, finding: str) -> list[dict[str, Any]]:
    """Return the rows of one attribute and finding of a subgroup table."""
    return _dicts(table[(table["attribute"] == attribute) & (table["finding"] == finding)])


def slug(name: str) -> str:
    """Return a name that is safe as a file name; users name the attributes, such as "race*sex"."""
    return re.sub(r"[^\w-]+", "-", name)


def is_missing(value: Any) -> bool:
    """Return whether a value of a table is undefined."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _attribute_context(report: ReportPage, attribute: str) -> dict[str, Any]:
    """Return the rows of one attribute: its means, which are shown, and its single findings, which unfold."""
    table = report.subgroups[report.subgroups["attribute"] == attribute]
    single = table[table["finding"] != MEAN].sort_values("flagged", ascending=False, kind="stable")
    return {
        "name": attribute,
        "means": rows_of(table, attribute, MEAN),
        "single": _dicts(single),
        "n_single_flagged": int(single["flagged"].sum()),
        "n_not_evaluable": int((single["status"] != "ok").sum()),
        "figures": [slug(f"{attribute}_{metric}") for metric in table["metric"].unique()],
    }


def _score_rows(report: ReportPage) -> list[dict[str, Any]]:
    """Return one row per finding, the mean first, each with its row of the supervised classifier where there is one."""
    above = {row["finding"]: row for row in _dicts(report.ceiling)}
    rows = [row | {"ceiling": above.get(row["finding"])} for row in _dicts(report.scores)]
    return sorted(rows, key=lambda row: row["finding"] != MEAN)


def _pooled(sensitivity: pd.DataFrame) -> pd.DataFrame:
    return sensitivity[sensitivity["finding"] == POOLED]


def _dicts(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the rows of a table, none for no table; whole numbers stay whole."""
    rows = [] if table is None else table.astype(object).to_dict("records")
    return [{str(key): None if is_missing(value) else value for key, value in row.items()} for row in rows]


def _number(value: Any, digits: int = 3) -> str:
    return DASH if is_missing(value) else f"{value:.{digits}f}".replace("-", MINUS)


def _signed(value: Any, digits: int = 3) -> str:
    return DASH if is_missing(value) else f"{value:+.{digits}f}".replace("-", MINUS)


def _interval(low: Any, high: Any, digits: int = 3) -> str:
    if is_missing(low) or is_missing(high):
        return ""
    return f"{low:.{digits}f} to {high:.{digits}f}".replace("-", MINUS)


def _count(value: Any) -> str:
    return "" if is_missing(value) else f"{int(value):,}"


def _data_uri(image: UInt8[np.ndarray, "h w"]) -> str:
    """Return the pixels as a JPEG that stands in the page itself."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
