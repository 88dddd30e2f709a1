"""Judge any table of scores: for whom they hold, with how much evidence, and what follows for everybody else.

The public names load on first use, so that a script that prints its help does not wait for matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.assemble import Scored, choose_examples, count_in_mean, headlines, mean_auroc
    from audit.cells import MEAN
    from audit.cost import Meter, metered
    from audit.figures import reliability_figure
    from audit.report import Example, Headline, Judgement, Report, write_report
    from audit.sensitivity import POOLED, report_sensitivity
    from audit.simulated import SimulatedRun, summarise, write_simulated_report
    from audit.subgroups import disaggregate, read_subgroups
    from audit.thresholds import Thresholds, fit_thresholds

__all__ = [
    "MEAN",
    "POOLED",
    "Example",
    "Headline",
    "Judgement",
    "Meter",
    "Report",
    "Scored",
    "SimulatedRun",
    "Thresholds",
    "choose_examples",
    "count_in_mean",
    "disaggregate",
    "fit_thresholds",
    "headlines",
    "mean_auroc",
    "metered",
    "read_subgroups",
    "reliability_figure",
    "report_sensitivity",
    "summarise",
    "write_report",
    "write_simulated_report",
]

_HOMES = {
    "MEAN": "cells",
    "POOLED": "sensitivity",
    "Example": "report",
    "Headline": "report",
    "Judgement": "report",
    "Meter": "cost",
    "Report": "report",
    "Scored": "assemble",
    "SimulatedRun": "simulated",
    "Thresholds": "thresholds",
    "choose_examples": "assemble",
    "count_in_mean": "assemble",
    "disaggregate": "subgroups",
    "fit_thresholds": "thresholds",
    "headlines": "assemble",
    "mean_auroc": "assemble",
    "metered": "cost",
    "read_subgroups": "subgroups",
    "reliability_figure": "figures",
    "report_sensitivity": "sensitivity",
    "summarise": "simulated",
    "write_report": "report",
    "write_simulated_report": "simulated",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'audit' has no attribute {name!r}")
    return getattr(import_module(f"audit.{_HOMES[name]}"), name)
