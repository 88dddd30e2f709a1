"""The prompt figure: what is drawn is what the table holds."""

from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from audit.figures import curve_figure, forest_figure, prompt_figure, reliability_figure, score_figure

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
AUROCS = {"Edema": [0.6, 0.7, 0.95, 0.85], "mean": [0.7, 0.75, 0.8, 0.78], "Fracture": [0.55, 0.9, 0.8, 0.97]}


def tables(model="m"):
    prompts = pd.DataFrame(
        [{"model": model, "finding": finding, "auroc": value} for finding, own in AUROCS.items() for value in own]
    )
    summary = pd.DataFrame(
        [
            {"model": model, "finding": f, "median": np.median(own), "auroc": own[-1], "low": own[-1] - 0.1}
            | {"high": own[-1] + 0.02, "status": "ok"}
            for f, own in AUROCS.items()
        ]
    )
    return summary, prompts


def words(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def test_the_mean_comes_first_then_the_findings_by_their_default_prompt():
    root = ET.fromstring(prompt_figure(*tables(), "m"))
    assert [word for word in words(root) if word in AUROCS] == ["mean", "Fracture", "Edema"]


def test_every_prompt_is_a_dot_at_its_auroc():
    root = ET.fromstring(prompt_figure(*tables(), "m"))
    rows = {}
    for use in root.iter(f"{SVG}use"):
        # matplotlib writes the opacity of the dots into their style; nothing else is translucent.
        if "fill-opacity: 0.35" in use.get("style", ""):
            rows.setdefault(round(float(use.get("y")), 2), []).append(float(use.get("x")))
    drawn = [rows[y] for y in sorted(rows)]
    expected = [AUROCS[name] for name in ("mean", "Fracture", "Edema")]
    assert [len(row) for row in drawn] == [4, 4, 4]
    slope, offset = np.polyfit(np.concatenate(expected), np.concatenate(drawn), 1)
    np.testing.assert_allclose(np.concatenate(drawn), slope * np.concatenate(expected) + offset, atol=1e-3)


def test_only_the_asked_model_is_drawn():
    both = [pd.concat(pair) for pair in zip(tables("m"), tables("other"), strict=True)]
    assert prompt_figure(*both, "m") == prompt_figure(*tables(), "m")


def test_a_finding_that_is_undefined_is_left_out():
    summary, prompts = tables()
    columns = ["median", "auroc", "low", "high"]
    summary.loc[summary["finding"] == "Edema", columns] = np.nan
    prompts.loc[prompts["finding"] == "Edema", "auroc"] = np.nan
    assert "Edema" not in words(ET.fromstring(prompt_figure(summary, prompts, "m")))


def test_a_model_that_is_not_in_the_table_is_named():
    with pytest.raises(ValueError, match="no row of the model 'x' with an AUROC; the table has m"):
        prompt_figure(*tables(), "x")


ODD_NAMES = ["$x$", r"$\foo$", "cost $5 to $10", r"a\_b", "<u>&"]
"""What matplotlib would read as a formula, or could not read; and what SVG would read as a tag"""


def test_names_from_the_tables_are_drawn_as_they_are_and_never_as_formulas():
    columns = ["difference", "difference_low", "difference_high", "pointwise_low", "pointwise_high", "value"]
    base = {"attribute": "$a$", "metric": "tpr", "flagged": False, "status": "ok", "reason": ""}
    rows = [base | {"finding": "mean", "group": name} | dict.fromkeys(columns, 0.1) for name in ODD_NAMES]
    rows[0] |= {"difference_low": np.nan, "reason": "$y$ fewer"}
    root = ET.fromstring(forest_figure(pd.DataFrame(rows), "$a$", "tpr", label="$z$"))
    drawn = words(root)
    assert [word for word in drawn if word in ODD_NAMES] == ODD_NAMES
    assert "not evaluable: $y$ fewer" in drawn
    assert "$z$: difference to everybody else" in drawn
    assert root.get("aria-label") == "$z$ by $a$, difference to everybody else"


def test_odd_names_of_findings_and_runs_are_drawn_as_they_are():
    scores = pd.DataFrame({"finding": ODD_NAMES, "auroc": 0.7, "low": 0.6, "high": 0.8, "status": "ok"})
    assert set(ODD_NAMES) <= set(words(ET.fromstring(score_figure(scores))))
    curves = {name: pd.DataFrame({"step": [1, 2], "loss": [1.0, 0.5]}) for name in ODD_NAMES}
    assert set(ODD_NAMES) <= set(words(ET.fromstring(curve_figure(curves, "loss", "$loss$"))))
    panels = pd.concat([bins().assign(finding=name) for name in ODD_NAMES])
    assert set(ODD_NAMES) <= set(words(ET.fromstring(reliability_figure(panels))))
    summary, prompts = (table.replace("Edema", r"$\foo$") for table in tables("$m$"))
    assert r"$\foo$" in words(ET.fromstring(prompt_figure(summary, prompts, "$m$")))


def bins():
    rows = [
        ("Edema", "before", 0.2, 0.1, 10),
        ("Edema", "before", 0.8, 0.5, 40),
        ("Edema", "after", 0.1, 0.1, 50),
        ("Mass", "before", 0.5, 0.9, 20),
        ("Mass", "before", 0.9, 0.9, 0),
    ]
    frame = pd.DataFrame(rows, columns=["finding", "stage", "mean_score", "mean_label", "n"])
    return frame.assign(low=frame["mean_label"] - 0.05, high=frame["mean_label"] + 0.05)


def test_a_reliability_plot_has_a_panel_a_finding_and_a_dot_a_filled_bin():
    root = ET.fromstring(reliability_figure(bins()))
    assert [word for word in words(root) if word in ("Edema", "Mass")] == ["Edema", "Mass"]
    panels = [group for group in root.iter(f"{SVG}g") if (group.get("id") or "").startswith("axes_")]
    dots = []
    for panel in panels:
        drawn = [g for g in panel.iter(f"{SVG}g") if (g.get("id") or "").startswith("PathCollection")]
        # Dots of several sizes are paths, those of one size uses of a path that is defined once.
        dots.append(sum(len(list(g.iter(f"{SVG}use"))) or len(list(g.iter(f"{SVG}path"))) for g in drawn))
    assert dots == [3, 1]


def test_bins_without_any_image_are_refused():
    with pytest.raises(ValueError, match="nothing to draw"):
        reliability_figure(bins().assign(n=0))
