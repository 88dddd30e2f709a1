"""Published evaluations as data: images, labels, findings, the mean they report, and their published figures.

A protocol is a JSON file of `data/`; its keys are the fields of `Protocol`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from metrics.evidence import MEAN

DATA = Path(__file__).parent / "data"
Evidence = Literal["code", "csv", "measured", "published", "second-hand", "memory", "derived"]
"""Source of a figure: code of a repository or its outputs, a results file committed there, recomputed by us, a paper,
README or model card that was not re-run, a quote by a third party, memory, or arithmetic"""
Value = float | tuple[float, float, float]
"""A figure, or a figure with the ends of its 95 % interval"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Where the ground truth is, and what its blanks mean."""

    form: Literal["findings", "own", "listed", "study file", "image list"]
    """findings: the cohort's 14 columns; own: its columns `own_LABEL`; listed: its column `own_labels` ("term|term");
    study file: a CSV with a row per study; image list: a CSV with a row per image and one class each. The two files
    are not part of the cohort table: they are given as --truth_filepath"""
    source: str
    """Who or what made the labels"""
    uncertainty_policy: Literal["U-ignore", "U-zeros", "U-ones", "U-mixed"] = "U-ignore"
    """What -1 becomes"""
    blank_is_zero: bool = False
    """Count a finding that is not mentioned as absent, in an image with any label"""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """Finding -> the archive's own label, if they differ"""
    file: str = ""
    """Name of the label file, for the forms that need one"""
    study_column: str = ""
    """Column of that file with the study"""
    per_class: int = 0
    """Of an image list: number of images per class"""
    sha256: str = ""
    """Of an image list: the hash it must have (`frozen_list.list_hash`); "" if none is published"""

    def __post_init__(self) -> None:
        if self.form == "study file" and not (self.file and self.study_column):
            raise ValueError("labels: a study file needs the fields file and study_column")
        if self.form == "image list" and not (self.file and self.per_class):
            raise ValueError("labels: an image list needs the fields file and per_class")

    @property
    def needs_file(self) -> bool:
        """Whether the labels come from a file beside the cohort table."""
        return self.form in ("study file", "image list")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlineMean:
    """The mean that is quoted from the evaluation."""

    name: str
    """Name ("mean of 5")"""
    findings: tuple[str, ...] = ()
    """Findings that are averaged; if empty, see `more_positives_than`"""
    more_positives_than: int | None = None
    """Without a list: the mean is over all findings with more positive images than this"""

    def __post_init__(self) -> None:
        if bool(self.findings) == (self.more_positives_than is not None):
            raise ValueError(f"headline {self.name!r}: wanted findings or more_positives_than, one of the two")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Published figures of one system."""

    system: str
    """Model or readers"""
    evidence: Evidence
    """Source of the figures"""
    source: str
    """Paper, table or repository"""
    caveat: str
    """Why they may not be comparable; never empty"""
    metric: Literal["AUROC", "MCC", "F1"] = "AUROC"
    """Metric of the figures"""
    figures: Mapping[str, Value] = field(default_factory=dict)
    """Finding, or "mean" for the headline -> figure"""
    counts: Mapping[float, tuple[int, int]] = field(default_factory=dict)
    """AUROC -> how many findings reach it, out of how many"""

    def __post_init__(self) -> None:
        if not (self.caveat and self.source):
            raise ValueError(f"reference {self.system!r}: wanted a source and a caveat")
        if not (self.figures or self.counts):
            raise ValueError(f"reference {self.system!r}: wanted figures or counts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One published evaluation."""

    name: str
    """Name for --protocol, and of its file"""
    about: str
    """Summary in one line"""
    datasets: tuple[str, ...]
    """Values of the cohort's column `dataset` for this archive"""
    prompts: str
    """Prompt set, as for --prompts"""
    labels: Labels
    """The ground truth"""
    headline: HeadlineMean
    """The mean that is quoted"""
    split: str
    """Value of the cohort's column `split`, or "all" for every row"""
    images: str
    """Which images these are, in words"""
    views: Literal["frontal", "all"] = "all"
    """Views that are scored"""
    where: Mapping[str, str] = field(default_factory=dict)
    """Column of the cohort table -> value that an image must have"""
    unit: Literal["image", "study"] = "image"
    """What gets one score. A study gets the score of its first view, the only one in the cohort table"""
    n: int | None = None
    """Number of images or studies in the published list; None if no list is published"""
    findings: tuple[str, ...] = ()
    """Score columns, in order; if empty, all of the prompt set"""
    rarest: int | None = None
    """Number of findings to score: those with the fewest positive images, at least one each"""
    references: tuple[Reference, ...] = ()
    """Published figures"""
    caveats: tuple[str, ...] = ()
    """What a reader of the numbers should know: exposure, undefined lists, label noise"""

    def __post_init__(self) -> None:
        strange = sorted(set(self.headline.findings) - set(self.findings)) if self.findings else []
        if strange:
            raise ValueError(f"the headline averages {', '.join(strange)}, which the protocol does not score")
        for reference in self.references:
            unknown = sorted(set(reference.figures) - {MEAN, *self.findings}) if self.findings else []
            if unknown:
                raise ValueError(
                    f"reference {reference.system!r} has figures of {', '.join(unknown)}, which is not scored"
                )


def protocol_names() -> tuple[str, ...]:
    """Return the names of the shipped protocols, sorted."""
    return tuple(sorted(path.stem for path in DATA.glob("*.json")))


def load_protocol(name: str | Path) -> Protocol:
    """Return a shipped protocol by its name, or one from a JSON file.

    Raises:
        FileNotFoundError: neither a shipped protocol nor a file; the message lists the shipped ones.
        ValueError: the file is not JSON, lacks a field, has an unknown one, or contradicts itself.
    """
    shipped = DATA / f"{name}.json"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"no protocol {str(name)!r}: wanted one of {', '.join(protocol_names())}, or a file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from error
    try:
        return _protocol(content)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"protocol {path}: {error}") from error


def _protocol(content: dict[str, Any]) -> Protocol:
    """Return the protocol of a file."""
    parts = {
        "labels": Labels(**_known(content["labels"], Labels)),
        "headline": HeadlineMean(**_with_tuples(_known(content["headline"], HeadlineMean))),
        "references": tuple(_reference(entry) for entry in content.get("references", [])),
    }
    return Protocol(**_with_tuples(_known(content, Protocol)) | parts)


def _reference(entry: dict[str, Any]) -> Reference:
    """Return one reference of a file."""
    figures = {of: tuple(value) if isinstance(value, list) else value for of, value in entry.get("figures", {}).items()}
    counts = {float(least): tuple(pair) for least, pair in entry.get("counts", {}).items()}
    return Reference(**_known(entry, Reference) | {"figures": figures, "counts": counts})


def _known(entry: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    """Return `entry`; refuse keys that are not fields of `kind` and values that the fields do not allow."""
    names = [one.name for one in fields(kind)]
    strange = sorted(set(entry) - set(names))
    if strange:
        raise ValueError(f"{', '.join(strange)}: unknown field; wanted some of {', '.join(names)}")
    for one in fields(kind):
        words = get_args(one.type) if get_origin(one.type) is Literal else ()
        if words and one.name in entry and entry[one.name] not in words:
            raise ValueError(f"{one.name}: wanted one of {', '.join(words)}; found {entry[one.name]!r}")
    return entry


def _with_tuples(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with its lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
