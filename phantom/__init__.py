"""A simulated archive: drawn chests, a report grammar, and a population with planted, known disparities.

The public names load on first use, so that `python make_phantom.py -h` does not wait for pandas and OpenCV.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from phantom.body import DEVICE_KINDS, FINDINGS, Body, Exposure, Lesion
from phantom.people import Person
from phantom.presets import PRESETS, default, few_children, null, underdiagnosis
from phantom.scenario import Scenario

if TYPE_CHECKING:
    from phantom.archive import Archive, write_archive
    from phantom.film import Film, draw_film
    from phantom.population import Patient, Study, simulate
    from phantom.reports import Report, write_report

__all__ = [
    "DEVICE_KINDS",
    "FINDINGS",
    "PRESETS",
    "Archive",
    "Body",
    "Exposure",
    "Film",
    "Lesion",
    "Patient",
    "Person",
    "Report",
    "Scenario",
    "Study",
    "default",
    "draw_film",
    "few_children",
    "null",
    "simulate",
    "underdiagnosis",
    "write_archive",
    "write_report",
]

_HOMES = {
    "Archive": "archive",
    "write_archive": "archive",
    "Film": "film",
    "draw_film": "film",
    "Patient": "population",
    "Study": "population",
    "simulate": "population",
    "Report": "reports",
    "write_report": "reports",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'phantom' has no attribute {name!r}")
    return getattr(import_module(f"phantom.{_HOMES[name]}"), name)
