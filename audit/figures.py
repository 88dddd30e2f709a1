"""Figures of the report as SVG text, in the colours of the page: one drawing serves light and dark."""

import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metrics.evidence import MEAN

# Colours that matplotlib draws with, and the page's variables in their place; the fallback serves an SVG on its own.
INK, MUTED, LINE, ACCENT, SECOND, PAGE = "#101011", "#101012", "#101013", "#101014", "#101015", "#101016"
PAGE_COLOURS = {
    INK: "var(--ink, #1c2430)",
    MUTED: "var(--muted, #667085)",
    LINE: "var(--line, #d5dae1)",
    ACCENT: "var(--accent, #0b6bcb)",
    SECOND: "var(--second, #b4540a)",
    PAGE: "var(--page, #ffffff)",
}
STYLE: Any = {
    "svg.fonttype": "none",
    # A dollar sign in the name of a group, finding or run begins no formula.
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
}
WIDTH = 3.9
"""Inches: readable on a phone without shrinking, and two or three abreast on a desk"""
REASON_FITS = 29
"""Letters of a reason that fit into a forest plot without touching the values on its right"""
PLOTS_ABREAST = 2
DASHED: Any = {"color": MUTED, "linewidth": 0.9, "linestyle": (0, (3, 3))}
"""Line of chance, or of perfect calibration"""
METRIC_NAMES = {"auroc": "AUROC", "tpr": "TPR", "fpr": "FPR"}


def score_figure(scores: pd.DataFrame, ceiling: pd.DataFrame | None = None) -> str:
    """Return the AUROC of each finding with its interval, best first, and beside it that of a supervised classifier.

    Args:
        scores: columns finding, auroc, low, high, status; the row "mean" comes on top.
        ceiling: the same columns for the supervised classifier.
    """
    rows = _best_first(scores)
    above = {} if ceiling is None else dict(zip(ceiling["finding"], ceiling["auroc"], strict=True))

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.7 + 0.27 * len(rows)))
        axes = figure.subplots()

        # One line per finding, the interval below its point.
        for y, row in enumerate(rows.to_dict("records")):
            enough, name = row["status"] == "ok", row["finding"]
            axes.plot([row["low"], row["high"]], [y, y], color=ACCENT if enough else MUTED, linewidth=1.8)
            axes.plot(row["auroc"], y, "o", color=ACCENT, markersize=6 if name == MEAN else 5, **_fill(enough))
            if not math.isnan(above.get(name, math.nan)):
                axes.plot(above[name], y, "D", color=SECOND, markersize=4.5, markerfacecolor="none")

        axes.axvline(0.5, **DASHED)
        _label_rows(axes, [str(name) for name in rows["finding"]])
        _limit(axes, [0.5, 1.0, *rows["auroc"], *rows["low"], *rows["high"], *above.values()])
        axes.set_xlabel("AUROC (dashed: chance)")
        return _svg(figure, "AUROC per finding with 95 % intervals")


def forest_figure(table: pd.DataFrame, attribute: str, metric: str, *, finding: str = MEAN, label: str = "") -> str:
    """Return the difference of each group to everybody else: thick pointwise, thin simultaneous interval.

    Args:
        table: of `disaggregate` or `report_sensitivity`.
        attribute: whose groups to draw.
        metric: auroc, tpr or fpr.
        finding: a finding or the mean.
        label: of the metric; by default its own name.
    """
    label = label or METRIC_NAMES[metric]
    chosen = (table["attribute"] == attribute) & (table["metric"] == metric) & (table["finding"] == finding)
    rows = table[chosen].reset_index(drop=True)

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.75 + 0.3 * len(rows)))
        axes = figure.subplots()
        axes.axvline(0, color=MUTED, linewidth=0.9)
        ends = rows[["difference_low", "difference_high", "pointwise_low", "pointwise_high"]].to_numpy(float).ravel()
        _limit(axes, [-0.05, 0.05, *ends])

        # One line per group, or the reason why there is none.
        for y, row in enumerate(rows.to_dict("records")):
            colour = SECOND if row["flagged"] else ACCENT
            if math.isnan(row["difference_low"]):
                beside_axis = axes.get_yaxis_transform()
                # Its box hides the line of zero behind the words.
                box = {"facecolor": PAGE, "edgecolor": "none", "pad": 1.5}
                axes.text(0.02, y, _why(row), color=MUTED, va="center", fontsize=8.5, transform=beside_axis, bbox=box)
                continue
            axes.plot([row["difference_low"], row["difference_high"]], [y, y], color=colour, linewidth=0.9)
            axes.plot([row["pointwise_low"], row["pointwise_high"]], [y, y], color=colour, linewidth=3)
            axes.plot(row["difference"], y, "o", color=colour, markersize=5.5)

        _label_rows(axes, [str(name) for name in rows["group"]])
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))

        # The group's own value on the right.
        right = axes.secondary_yaxis("right")
        right.set_yticks(range(len(rows)), [_number(value) for value in rows["value"]])
        right.tick_params(length=0, labelcolor=INK)
        right.spines["right"].set_visible(False)

        axes.set_xlabel(f"{label}: difference to everybody else")
        return _svg(figure, f"{label} by {attribute}, difference to everybody else")


def curve_figure(curves: Mapping[str, pd.DataFrame], column: str, label: str, *, chance: float | None = None) -> str:
    """Return one line per run of a column of its metrics over training steps; blanks in a column are skipped.

    Args:
        curves: name of the run -> its metrics, with a column `step`.
        column: what to draw.
        label: of the vertical axis.
        chance: where to draw the dashed line.
    """
    with mpl.rc_context({**STYLE, "axes.grid.axis": "y", "axes.spines.left": True, "ytick.labelcolor": MUTED}):
        figure = Figure(figsize=(WIDTH, 2.7))
        axes = figure.subplots()

        for (name, frame), colour in zip(curves.items(), _cycle(len(curves)), strict=True):
            if column in frame:
                points = frame[["step", column]].dropna()
                marker = "o" if len(points) < 40 else ""
                axes.plot(points["step"], points[column], color=colour, label=name, marker=marker, markersize=3.5)
        if chance is not None:
            axes.axhline(chance, **DASHED)

        axes.set(xlabel="step", ylabel=label)
        if len(axes.lines) > (chance is not None):
            axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
        return _svg(figure, f"{label} during training")


def prompt_figure(summary: pd.DataFrame, prompts: pd.DataFrame, model: str) -> str:
    """Return the AUROC of every prompt by finding, and below it the default prompt's interval over patients.

    If the dots spread wider than the bar, the choice of words matters more than the choice of patients.

    Args:
        summary: `summary` of `zero_shot.prompt_sensitivity`: model, finding, median, auroc, low, high, status.
        prompts: its `prompts`: model, finding, auroc.
        model: whose rows to draw.

    Raises:
        ValueError: the model has no row with an AUROC.
    """
    rows = _best_first(summary[summary["model"] == model])
    if rows.empty:
        known = ", ".join(summary["model"].unique())
        raise ValueError(f"no row of the model {model!r} with an AUROC; the table has {known}")
    own = prompts[prompts["model"] == model]

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.2 + 0.36 * len(rows)))
        axes = figure.subplots()

        for y, row in enumerate(rows.to_dict("records")):
            # Above: every prompt a dot, their median a stroke.
            dots = own.loc[own["finding"] == row["finding"], "auroc"]
            axes.plot([dots.min(), dots.max()], [y - 0.16] * 2, color=ACCENT, linewidth=0.8)
            axes.plot(dots, [y - 0.16] * len(dots), "o", color=ACCENT, markersize=3.6, alpha=0.35, markeredgewidth=0)
            axes.plot(row["median"], y - 0.16, "|", color=ACCENT, markersize=9, markeredgewidth=1.6)

            # Below: the default prompt and its interval over patients, hollow if there are too few.
            axes.plot([row["low"], row["high"]], [y + 0.16] * 2, color=SECOND, linewidth=2.4)
            enough: dict[str, Any] = {} if row["status"] == "ok" else {"markerfacecolor": PAGE}
            axes.plot(row["auroc"], y + 0.16, "D", color=SECOND, markersize=5, **enough)

        axes.axvline(0.5, **DASHED)
        _label_rows(axes, [str(name) for name in rows["finding"]])
        _limit(axes, [0.5, 1.0, *own["auroc"], *rows["low"], *rows["high"]])
        axes.set_xlabel("AUROC (dashed: chance)")

        # A legend of both, above the plot.
        of_prompts: dict[str, Any] = {"color": ACCENT, "marker": "o", "markersize": 3.6, "linewidth": 0.8}
        of_patients: dict[str, Any] = {"color": SECOND, "marker": "D", "markersize": 5, "linewidth": 2.4}
        handles = [
            Line2D([], [], label="prompts (bar: their median)", **of_prompts),
            Line2D([], [], label="default prompt, 95 % over patients", **of_patients),
        ]
        figure.legend(handles=handles, loc="outside upper left", frameon=False, fontsize=8.5, labelcolor=INK)
        return _svg(figure, f"AUROC by prompt and over patients, {model}")


def reliability_figure(bins: pd.DataFrame) -> str:
    """Return a reliability plot per finding: observed share over mean score, before and after calibration.

    A point is a bin of about equally many validation scores; its bar is the 95 % interval of the share, its size the
    number of images. Calibrated scores lie on the dashed diagonal.

    Args:
        bins: finding, stage ("before", "after"), n, mean_score, mean_label, low, high, as `reliability_bins` of
            zero_shot returns; empty bins have n 0.

    Raises:
        ValueError: there is no bin with an image.
    """
    filled = bins[bins["n"] > 0]
    if filled.empty:
        raise ValueError("no bin with an image: there is nothing to draw")
    findings = list(dict.fromkeys(filled["finding"]))
    rows = math.ceil(len(findings) / PLOTS_ABREAST)

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.5 + 1.85 * rows))
        grid = figure.subplots(rows, PLOTS_ABREAST, sharex=True, sharey=True, squeeze=False).flatten()
        for axes, finding in zip(grid, findings, strict=False):
            _reliability(axes, filled[filled["finding"] == finding], most=int(filled["n"].max()))
            axes.set_title(finding, fontsize=7.5, color=INK, loc="left")
            _unit_square(axes)
        for axes in grid[len(findings) :]:
            axes.set_axis_off()

        figure.supxlabel("mean score of a bin", fontsize=9, color=MUTED)
        figure.supylabel("share with the finding", fontsize=9, color=MUTED)
        handles = [
            Line2D([], [], color=colour, marker="o", markersize=4.5, linewidth=0.9, label=label)
            for colour, label in ((SECOND, "as scored"), (ACCENT, "calibrated on validation patients"))
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False, fontsize=8.5, labelcolor=INK)
        return _svg(figure, "Reliability of the scores before and after calibration")


def _reliability(axes: Axes, bins: pd.DataFrame, *, most: int) -> None:
    """Draw the bins of one finding; `most` is the number of images of the largest point."""
    axes.plot([0, 1], [0, 1], **DASHED)
    for stage, colour in (("before", SECOND), ("after", ACCENT)):
        own = bins[bins["stage"] == stage].sort_values("mean_score")
        axes.vlines(own["mean_score"], own["low"], own["high"], color=colour, linewidth=1.0)
        axes.plot(own["mean_score"], own["mean_label"], color=colour, linewidth=0.9)
        sizes = 6 + 40 * own["n"] / most
        axes.scatter(own["mean_score"], own["mean_label"], s=sizes, color=colour, linewidths=0, zorder=3)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "½", "1"])


def _best_first(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with an AUROC, the mean first and then the highest."""
    rows = scores.dropna(subset=["auroc"]).sort_values("auroc", ascending=False)
    return pd.concat([rows[rows["finding"] == MEAN], rows[rows["finding"] != MEAN]], ignore_index=True)


def _fill(enough: Any) -> dict[str, Any]:
    return {} if enough else {"markerfacecolor": "none", "markeredgecolor": MUTED}


def _why(row: Mapping[Any, Any]) -> str:
    """Return the reason, or as much of it as fits left of the values."""
    status = str(row["status"]).removeprefix("undefined:")
    reason = str(row["reason"]) or status
    ways = (reason, reason.split(",")[0], status)
    return f"not evaluable: {next((way for way in ways if len(way) <= REASON_FITS), status)}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _cycle(n: int) -> list[str]:
    return [(ACCENT, SECOND, MUTED)[i % 3] for i in range(n)]


def _label_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)


def _limit(axes: Axes, values: Sequence[float]) -> None:
    """Set the horizontal range to the values, ignoring the undefined, with a little air."""
    finite = [float(value) for value in values if not math.isnan(value)]
    low, high = min(finite), max(finite)
    air = 0.04 * (high - low)
    axes.set_xlim(low - air, high + air)


def _svg(figure: Figure, title: str) -> str:
    """Return the drawing as an <svg> element that can stand in a page, the same bytes for the same data."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": title, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Title": title})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for drawn, variable in PAGE_COLOURS.items():
        text = text.replace(drawn, variable)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
