"""`run_zero_shot.py probe`: does a model understand negation, scope, normality, severity and sides?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from common.programs import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    import models
    from zero_shot.images import Images
    from zero_shot.probing.minimal_pairs import Probe
    from zero_shot.probing.probes import Bootstrap

ABOUT = """Probe what a model understands: of two sentences that hardly differ, does the true one fit the image better?

Chance is 0.5. negation, scope and normality need labels only; severity needs graded findings, and laterality needs
boxes, which few archives have. Writes probes.csv.

python run_zero_shot.py probe --checkpoint runs/phantom --probes negation scope
python run_zero_shot.py probe --checkpoint runs/phantom --truth_filepath TRUTH --severity_filepath TRUTH \
--boxes_filepath TRUTH --sizes_filepath METADATA
"""
HEADINGS = {
    "checkpoint": "model and images",
    "probes": "what is asked",
    "truth_filepath": "truth",
    "n_replicates": "intervals",
    "batch_size": "computation",
    "out_dir": "output",
}
"""Field -> heading in `-h` of this field and the fields after it."""
SHIPPED_PROBES = ("negation", "scope", "normality", "severity", "laterality")
NEEDS = {"severity": "--severity_filepath", "laterality": "--boxes_filepath and --sizes_filepath"}
"""Probe -> the flags that it cannot do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """What a model is asked, and where the truth is."""

    checkpoint: str
    """Run folder, checkpoint folder, CheXzero .pt file or open_clip NAME:TAG"""
    cxr_filepath: Path = Path("data/cxr.h5")
    """Image store written by preprocess_train_data.py"""
    cohort_filepath: Path = Path("data/cohort.csv")
    """Cohort table written with the images"""
    split: str = "test"
    """Split of the cohort whose frontal images are used, or "all\""""
    probes: tuple[str, ...] = ()
    """Probes: negation, scope, normality, severity, laterality, or a JSON file; without it, all shipped probes whose
    truth is given"""
    truth_filepath: Path | None = None
    """CSV with image_id and columns of 0 and 1 named as the findings; without it, the cohort's own labels. Questions
    about other findings are left out"""
    severity_filepath: Path | None = None
    """CSV with image_id and severity_FINDING columns, 0 where absent, such as the phantom's truth.csv; for severity"""
    mild_below: float = 0.55
    """Severity below which a finding is mild; the phantom's reports say mild below 0.55"""
    severe_from: float = 0.8
    """Severity from which a finding is severe; the phantom's reports say severe from 0.8"""
    boxes_filepath: Path | None = None
    """CSV with image_id and boxes (JSON), such as the phantom's truth.csv; for laterality"""
    sizes_filepath: Path | None = None
    """CSV with image_id or dicom_id, Columns and Rows of the original films, such as MIMIC-CXR's metadata; for
    laterality, because boxes are in pixels of the originals"""
    n_replicates: int = 1000
    """Bootstrap resamples of patients; 0: no intervals"""
    seed: int = 0
    """Seed of the bootstrap"""
    batch_size: int = 64
    """Images per forward pass"""
    device: str = "auto"
    """Device, as torch names it; auto: cuda if available, else cpu"""
    out_dir: Path = Path("predictions/probes")
    """Folder of probes.csv"""

    def __post_init__(self) -> None:
        lacking = [f"{name} needs {NEEDS[name]}" for name in self.probes if name in self.without_truth]
        if lacking:
            raise ValueError(f"--probes: wanted probes whose truth is given, found that {'; '.join(lacking)}")
        if (self.boxes_filepath is None) != (self.sizes_filepath is None):
            raise ValueError("--boxes_filepath, --sizes_filepath: wanted both (boxes are in pixels of the originals), "
                             "found one")  # fmt: skip
        if not 0 < self.mild_below <= self.severe_from:
            raise ValueError(
                f"--mild_below, --severe_from: wanted 0 < mild_below <= severe_from, found {self.mild_below:g} and "
                f"{self.severe_from:g}"
            )
        for flag, value, least in (("n_replicates", self.n_replicates, 0), ("batch_size", self.batch_size, 1)):
            if value < least:
                raise ValueError(f"--{flag}: wanted {least} or more, found {value}")

    @property
    def without_truth(self) -> tuple[str, ...]:
        """Shipped probes that cannot be asked, because their truth is not given."""
        given = {"severity": self.severity_filepath, "laterality": self.boxes_filepath}
        return tuple(name for name, path in given.items() if path is None)

    @property
    def chosen_probes(self) -> tuple[str, ...]:
        """The probes to ask."""
        return self.probes or tuple(name for name in SHIPPED_PROBES if name not in self.without_truth)


def main(config: ProbeConfig) -> pd.DataFrame:
    """Write probes.csv, print the means, and return the table of `probes.probe_table`.

    Raises:
        FileNotFoundError, ValueError: no such probe, no question with truth, and what `ask` and `ask_sides` refuse.
    """
    import pandas as pd  # noqa: PLC0415  (pandas and torch, which -h does not need)

    from zero_shot.job_inputs import frontal_images, load_on, write_tables  # noqa: PLC0415
    from zero_shot.probing.minimal_pairs import load_probe  # noqa: PLC0415

    probes = [load_probe(name) for name in config.chosen_probes]
    with frontal_images(config.cxr_filepath, config.cohort_filepath, split=config.split) as (chosen, images):
        bundle = load_on(config.checkpoint, config.device)
        table = pd.concat(list(_answers(config, bundle, probes, chosen, images)), ignore_index=True)

    write_tables(config.out_dir, {"probes": table})
    _say(config, probes, table)
    return table


def _answers(
    config: ProbeConfig, bundle: models.Bundle, probes: list[Probe], chosen: pd.DataFrame, images: Images
) -> Iterator[pd.DataFrame]:
    """Yield one table per kind of truth: labels, severity, sides."""
    from zero_shot.probing.laterality import ask_sides  # noqa: PLC0415
    from zero_shot.probing.probes import Bootstrap, ask  # noqa: PLC0415

    patients = chosen["subject_id"].tolist()
    bootstrap = Bootstrap(n_replicates=config.n_replicates, seed=config.seed)
    by_labels = [probe for probe in probes if probe.name not in NEEDS]
    if by_labels:
        yield _ask_labels(config, bundle, by_labels, chosen, images, bootstrap=bootstrap)

    for probe in probes:
        if probe.name == "severity":
            truth, known = _severity(config, probe, images)
            yield ask(bundle, images, [known], truth, patients, batch_size=config.batch_size, bootstrap=bootstrap)
        elif probe.name == "laterality":
            sides = _sides(config, probe, images)
            yield ask_sides(bundle, images, probe, sides, patients, batch_size=config.batch_size, bootstrap=bootstrap)


def _ask_labels(
    config: ProbeConfig,
    bundle: models.Bundle,
    probes: list[Probe],
    chosen: pd.DataFrame,
    images: Images,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Ask the questions whose truth is a label, leaving out those about findings without labels."""
    import pandas as pd  # noqa: PLC0415

    from cohort import FINDINGS  # noqa: PLC0415
    from zero_shot.probing.probes import ask  # noqa: PLC0415
    from zero_shot.select import choose_labels  # noqa: PLC0415

    known = set(FINDINGS) if config.truth_filepath is None else set(pd.read_csv(config.truth_filepath, nrows=0).columns)
    askable = [_with_truth(probe, known, str(config.truth_filepath or config.cohort_filepath)) for probe in probes]
    columns = dict.fromkeys(
        column for probe in askable for question in probe.questions.values() for column in question.columns
    )
    truth = choose_labels(chosen, list(columns), truth_filepath=config.truth_filepath)
    patients = chosen["subject_id"].tolist()
    return ask(bundle, images, askable, truth, patients, batch_size=config.batch_size, bootstrap=bootstrap)


def _with_truth(probe: Probe, known: set[str], where: str) -> Probe:
    """Return a probe with the questions whose columns are known."""
    questions = {name: question for name, question in probe.questions.items() if set(question.columns) <= known}
    if not questions:
        raise ValueError(f"{where}: wanted labels for a question of the probe {probe.name!r}, found none")
    return replace(probe, questions=questions)


def _severity(config: ProbeConfig, probe: Probe, images: Images) -> tuple[pd.DataFrame, Probe]:
    """Return which findings are mild and which severe, and the probe about the findings that are graded."""
    import pandas as pd  # noqa: PLC0415

    from zero_shot.probing.probe_truth import severity_truth  # noqa: PLC0415

    if config.severity_filepath is None:
        raise ValueError(f"severity: wanted {NEEDS['severity']}, found none")
    table = pd.read_csv(config.severity_filepath, dtype={"image_id": str})
    graded = {column.removeprefix("severity_") for column in table.columns if column.startswith("severity_")}
    known = _with_truth(probe, graded, str(config.severity_filepath))
    table = _in_order(table, images, config.severity_filepath)
    bounds = {"mild_below": config.mild_below, "severe_from": config.severe_from}
    return severity_truth(table, findings=list(known.questions), **bounds), known


def _sides(config: ProbeConfig, probe: Probe, images: Images) -> pd.DataFrame:
    """Return on which side of the patient each finding lies."""
    import json  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415

    from zero_shot.localisation.boxes import read_boxes, read_sizes  # noqa: PLC0415
    from zero_shot.probing.probe_truth import sides_from_boxes  # noqa: PLC0415

    if config.boxes_filepath is None or config.sizes_filepath is None:
        raise ValueError(f"laterality: wanted {NEEDS['laterality']}, found none")
    boxes, sizes = read_boxes(config.boxes_filepath), read_sizes(config.sizes_filepath)
    for path, rows in ((config.boxes_filepath, boxes), (config.sizes_filepath, sizes)):
        _refuse_missing(path, [image_id for image_id in images.ids if image_id not in rows], len(images))
    widths = np.array([sizes[image_id][0] for image_id in images.ids])
    texts = [json.dumps(boxes[image_id]) for image_id in images.ids]
    return sides_from_boxes(images.ids, texts, widths, findings=list(probe.questions))


def _in_order(table: pd.DataFrame, images: Images, path: Path) -> pd.DataFrame:
    """Return the rows of a table in the order of the images."""
    by_id = table.set_index("image_id")
    _refuse_missing(path, [image_id for image_id in images.ids if image_id not in by_id.index], len(images))
    return by_id.loc[list(images.ids)].reset_index()


def _refuse_missing(path: Path, missing: list[str], n_images: int) -> None:
    if missing:
        raise ValueError(
            f"{path}: wanted a row for every image, found none for {len(missing)} of {n_images}, "
            f"first {', '.join(missing[:3])}"
        )


def _say(config: ProbeConfig, probes: list[Probe], table: pd.DataFrame) -> None:
    """Print the mean of every probe, what it cannot show, and what was not asked."""
    from metrics.evidence import MEAN  # noqa: PLC0415
    from zero_shot.job_inputs import as_text  # noqa: PLC0415

    means = table[table["question"] == MEAN]
    print(as_text(means[["probe", "task", "score", "low", "high", "status", "reason"]]))
    print("chance is 0.5; in the task change sides, a model that always prefers the same side scores 0")
    for probe in probes:
        print(fill(f"{probe.name}: {probe.asks} What it cannot show: {probe.cannot_show}", 120, subsequent_indent="  "))
    if not config.probes:
        for name in config.without_truth:
            print(f"{name}: not asked, because it needs {NEEDS[name]}")
    print(f"table in {config.out_dir / 'probes.csv'}")


JOB = Job(about=ABOUT, config=ProbeConfig, run=main, headings=HEADINGS)
