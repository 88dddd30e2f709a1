"""A report on disk: tables, figures, audit.json and the page that shows them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from audit.figures import curve_figure, forest_figure, reliability_figure, score_figure
from audit.page import ReportPage, attributes_of, is_missing, render, slug
from audit.under_reporting import POOLED
from common.atomic import write_json, write_text, write_whole

FINDINGS_ABREAST = 6
"""Reliability plots in one figure of the page."""


def write_report(out_dir: Path, report: ReportPage) -> Path:
    """Write tables/*.csv, figures/*.svg, audit.json and report.html into `out_dir`; return the page's path.

    Each file appears whole or not at all, and the page comes last.
    """
    figures = draw_figures(report)
    optional = {"ceiling": report.ceiling, "report_sensitivity": report.sensitivity}
    tables = {"scores": report.scores, "subgroups": report.subgroups}
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

    # Differences of the groups, a figure per attribute and metric.
    for attribute in attributes_of(report.subgroups):
        for metric in report.subgroups["metric"].unique():
            figures[f"{attribute}_{metric}"] = forest_figure(report.subgroups, attribute, metric)
    if report.sensitivity is not None:
        for attribute in attributes_of(report.sensitivity):
            figures[f"reports_{attribute}"] = forest_figure(
                report.sensitivity, attribute, "tpr", finding=POOLED, label="share mentioned"
            )

    # Calibration and training, where there was any.
    if report.reliability is not None:
        for number, bins in enumerate(_pages_of_bins(report.reliability), start=1):
            figures[f"reliability_{number}"] = reliability_figure(bins)
    if report.curves:
        figures["loss"] = curve_figure(report.curves, "loss", "loss")
        figures["validation"] = curve_figure(report.curves, "mean_auroc", "validation mean AUROC", chance=0.5)

    return {slug(name): svg for name, svg in figures.items()}


def _pages_of_bins(bins: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the bins of a few findings at a time: one drawing of all of them would be longer than a page."""
    filled = bins[bins["n"] > 0] if "n" in bins else bins
    findings = list(dict.fromkeys(filled["finding"]))
    for start in range(0, len(findings), FINDINGS_ABREAST):
        yield filled[filled["finding"].isin(findings[start : start + FINDINGS_ABREAST])]


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Return rows for JSON: undefined numbers are null, and the same row gives the reason."""
    rows = table.to_dict("records")
    return [{str(key): None if is_missing(value) else value for key, value in row.items()} for row in rows]
