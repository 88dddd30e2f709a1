"""The report: tables, figures and one self-contained HTML page that a person can read on a desk or a telephone."""

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

from audit.figures import METRIC_NAMES, curve_figure, forest_figure, score_figure
from audit.joined_tables import OVERALL
from audit.under_reporting import POOLED
from common.atomic import write_json, write_text, write_whole
from metrics.evidence import MEAN

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One number at the top of the page."""

    label: str
    value: str
    note: str
    """What it is and what it is not, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one film was scored for one finding."""

    finding: str
    positive: tuple[str, ...]
    """The positive prompts, at least one."""
    negative: tuple[str, ...]
    """The negative ones."""
    score: float
    """Probability of the positive side."""
    truth: bool | None
    """Whether it is in the picture; None where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One film with its report and its scores."""

    image: UInt8[np.ndarray, "h w"]
    caption: str
    report: str
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPage:
    """Everything that the page shows. Tables are those of the other functions; a missing part is left out."""

    title: str
    subtitle: str
    headlines: Sequence[Headline]
    scores: pd.DataFrame
    """finding, n, n_pos, n_neg, patients, patients_pos, auroc, low, high, status, reason; and the row "mean"."""
    ceiling: pd.DataFrame | None = None
    """The same for the supervised classifier."""
    subgroups: pd.DataFrame
    """Of `disaggregate`."""
    sensitivity: pd.DataFrame | None = None
    """Of `report_sensitivity`."""
    planted: str = ""
    """What is known to have been planted in the reports, in a sentence."""
    flows: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Title -> flow table of exclusions: step, reason, rows, and what remained."""
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Name of a run -> its metrics by step."""
    examples: Sequence[Example] = ()
    caveats: Sequence[str] = ()
    specification: Mapping[str, Any] = field(default_factory=dict)
    """What the scores depend on. Its block "exposure" (stamp, images by reason) is shown with the scores."""
    versions: Mapping[str, str] = field(default_factory=dict)


def write_report(out_dir: Path, report: ReportPage) -> Path:
    """Write tables/*.csv, figures/*.svg, audit.json and report.html into `out_dir`; return the page's path.

    Each file appears whole or not at all, and the page comes last.
    """
    figures = draw_figures(report)
    tables = {"scores": report.scores, "subgroups": report.subgroups}
    optional = {"ceiling": report.ceiling, "report_sensitivity": report.sensitivity}
    tables |= {name: table for name, table in optional.items() if table is not None}
    for name, table in tables.items():
        with write_whole(out_dir / "tables" / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    for name, svg in figures.items():
        write_text(out_dir / "figures" / f"{name}.svg", svg.replace("<svg ", '<svg style="background: white" ', 1))
    write_json(out_dir / "audit.json", {name: _records(table) for name, table in tables.items()})
    return write_page(out_dir / "report.html", report, figures)


def write_page(path: Path, report: ReportPage, figures: Mapping[str, str] | None = None) -> Path:
    """Write the page alone, with its figures inside it, and return its path.

    Args:
        path: of the page.
        report: what it shows.
        figures: of `draw_figures`, if they are drawn already.
    """
    write_text(path, render(report, draw_figures(report) if figures is None else figures))
    return path


def draw_figures(report: ReportPage) -> dict[str, str]:
    """Return name -> SVG of every figure that the report has data for."""
    figures = {"scores": score_figure(report.scores, report.ceiling)}
    for attribute in _attributes(report.subgroups):
        for metric in report.subgroups["metric"].unique():
            figures[f"{attribute}_{metric}"] = forest_figure(report.subgroups, attribute, metric)
    if report.sensitivity is not None:
        for attribute in _attributes(report.sensitivity):
            figures[f"reports_{attribute}"] = forest_figure(
                report.sensitivity, attribute, "tpr", finding=POOLED, label="share mentioned"
            )
    if report.curves:
        figures["loss"] = curve_figure(report.curves, "loss", "loss")
        figures["validation"] = curve_figure(report.curves, "mean_auroc", "validation mean AUROC", chance=0.5)
    return {_slug(name): svg for name, svg in figures.items()}


def render(report: ReportPage, figures: Mapping[str, str]) -> str:
    """Return the page. Every text is escaped; only the drawings go in as they are."""
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
        scores=_score_rows(report),
        attributes=[_attribute_context(report, attribute) for attribute in _attributes(report.subgroups)],
        overall=_rows(report.subgroups, OVERALL, MEAN),
        reports=[] if report.sensitivity is None else _sensitivity_rows(report.sensitivity),
        report_figures=[name for name in figures if name.startswith("reports_")],
        flows={title: table.astype(object).to_dict("records") for title, table in report.flows.items()},
        examples=[(_data_uri(example.image), example) for example in report.examples],
        exposure=report.specification.get("exposure"),
        specification=json.dumps(report.specification, indent=2),
        metric_names=METRIC_NAMES,
        policy=", ".join(sorted(set(report.subgroups["threshold_policy"]) - {""})),
        n_flagged=int(report.subgroups["flagged"].sum()),
        n_tested=int((report.subgroups["family"] != "").sum()),
    )


def _attributes(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table["attribute"].unique() if name != OVERALL]


def _rows(table: pd.DataFrame, attribute: str, finding: str) -> list[dict[str, Any]]:
    chosen = table[(table["attribute"] == attribute) & (table["finding"] == finding)]
    return _dicts(chosen)


def _attribute_context(report: ReportPage, attribute: str) -> dict[str, Any]:
    """Return one attribute's rows: its means for everybody to see, its single findings to unfold."""
    table = report.subgroups[report.subgroups["attribute"] == attribute]
    single = table[table["finding"] != MEAN].sort_values("flagged", ascending=False, kind="stable")
    return {
        "name": attribute,
        "means": _rows(table, attribute, MEAN),
        "single": _dicts(single),
        "n_flagged": int(table["flagged"].sum()),
        "n_single_flagged": int(single["flagged"].sum()),
        "n_not_evaluable": int((single["status"] != "ok").sum()),
        "figures": [_slug(f"{attribute}_{metric}") for metric in table["metric"].unique()],
    }


def _score_rows(report: ReportPage) -> list[dict[str, Any]]:
    """Return one row per finding, with the supervised classifier's AUROC where there is one, the mean first."""
    rows = _dicts(report.scores)
    above = {} if report.ceiling is None else {row["finding"]: row for row in _dicts(report.ceiling)}
    for row in rows:
        row["ceiling"] = above.get(row["finding"])
    return sorted(rows, key=lambda row: row["finding"] != MEAN)


def _sensitivity_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return _dicts(table[table["finding"] == POOLED])


def _dicts(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows for JSON: undefined numbers are null; their reasons stand in the same row."""
    return [{key: None if _missing(value) else value for key, value in row.items()} for row in _dicts(table)]


def _slug(name: str) -> str:
    """Return a name that is safe as that of a file; attributes are the user's, such as "race*sex"."""
    return re.sub(r"[^\w-]+", "-", name)


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _number(value: Any, digits: int = 3) -> str:
    return DASH if _missing(value) else f"{value:.{digits}f}"


def _signed(value: Any, digits: int = 3) -> str:
    return DASH if _missing(value) else f"{value:+.{digits}f}".replace("-", MINUS)


def _interval(low: Any, high: Any, digits: int = 3) -> str:
    if _missing(low) or _missing(high):
        return ""
    return f"{low:.{digits}f} to {high:.{digits}f}".replace("-", MINUS)


def _count(value: Any) -> str:
    return "" if _missing(value) else f"{int(value):,}"


def _data_uri(image: UInt8[np.ndarray, "h w"]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
