"""Result folders side by side, with paired differences; refused if other things differ than the experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

import metrics
from cohort import read_labels
from metrics.evidence import MEAN, NOT_IN_MEAN
from zero_shot.evaluation.earlier_results import read_spec
from zero_shot.evaluation.spec import differing, hash_of, shown
from zero_shot.images import refuse_repeated

FOLLOWS = {
    "models": ("temperature", "logit_bias"),
    "prompts": ("prompt_set",),
    "scoring": ("temperature", "logit_bias", "aggregation"),
}
"""Block -> blocks that change with it and need not be named as part of the experiment"""
DIFFERENCE = ("difference", "difference_low", "difference_high", "difference_reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFolder:
    """What a result folder holds."""

    name: str
    """Name in the table"""
    evaluation: Mapping[str, Any]
    """Part of its specification that the hash covers"""
    scores: pd.DataFrame
    """A probability per finding, sorted by image id"""
    labels: pd.DataFrame
    """Labels in {1, 0, NaN}, same rows"""
    subjects: pd.Series
    """Patient of every image, same rows"""
    table: pd.DataFrame
    """Its metrics.csv, by finding"""


def compare_results(folders: Sequence[Path | str], *, experiment: Sequence[str] = ()) -> pd.DataFrame:
    """Return the metrics of two or more result folders and the difference of each to the first.

    Differences are paired: every replicate is one draw of patients on which both AUROCs are computed, so that their
    common variation cancels. Replicates and seed are those of the first folder's specification. The difference of the
    means is over the findings that are `ok` in both, without "No Finding".

    Args:
        folders: what `run_zero_shot.py` wrote; the others are compared with the first.
        experiment: what was changed on purpose: blocks of the specification such as "models", "prompts" or "scoring",
            or entries such as "images.split". Everything else has to be equal.

    Returns:
        One row per finding and folder: finding, folder, the columns of metrics.csv, and `difference` of the AUROC with
        its 95 % interval; `difference_reason` says why there is none.

    Raises:
        FileNotFoundError: a file of a folder is missing.
        ValueError: specifications that differ in more than the experiment, with the entries and their values; a
            specification that was edited; an experiment that no specification has; an id that is repeated; one image
            with two patients.
    """
    if len(folders) < 2:
        raise ValueError(f"wanted two result folders or more to compare, found {len(folders)}")
    names = [Path(folder).name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]

    first, *others = [_read(Path(folder), name) for folder, name in zip(folders, names, strict=True)]
    for other in others:
        refuse_differences(first.evaluation, other.evaluation, experiment, names=(first.name, other.name))

    parts = [_rows(first, _nothing(first, "the others are compared with this one"))]
    parts += [_rows(other, _differences(first, other)) for other in others]
    table = pd.concat(parts, ignore_index=True)

    # folder by folder within each finding, the mean last
    order = {finding: place for place, finding in enumerate(dict.fromkeys(table["finding"]))} | {MEAN: len(table)}
    return table.sort_values("finding", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def refuse_differences(
    first: Mapping[str, Any], other: Mapping[str, Any], experiment: Sequence[str], *, names: tuple[str, str]
) -> None:
    """Refuse two `evaluation` blocks that differ in more than the experiment.

    Raises:
        ValueError: as `compare_results`.
    """
    unknown = [name for name in experiment if name.split(".")[0] not in {*first, *other}]
    if unknown:
        raise ValueError(
            f"no specification has {', '.join(unknown)}; the experiment can be: {', '.join(sorted(first))}"
        )

    if hash_of(first) == hash_of(other):
        return
    allowed = [*experiment, *(block for name in experiment for block in FOLLOWS.get(name, ()))]
    differences = [
        (path, values)
        for path, *values in differing(first, other)
        if not any(path == name or path.startswith(f"{name}.") for name in allowed)
    ]
    if differences:
        lines = [f"  {path}: {shown(a)} in {names[0]}, {shown(b)} in {names[1]}" for path, (a, b) in differences]
        blocks = " ".join(dict.fromkeys(path.split(".")[0] for path, _ in differences))
        raise ValueError(
            "the results were not made under one specification:\n"
            + "\n".join(lines)
            + f"\nIf that is the experiment, say so: --experiment {blocks}; else evaluate again under one specification"
        )


def _read(folder: Path, name: str) -> ResultFolder:
    """Read a result folder, rows in order of their ids."""
    missing = [
        file for file in ("spec.json", "predictions.csv", "truth.csv", "metrics.csv") if not (folder / file).is_file()
    ]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}: wanted a folder that run_zero_shot.py wrote")

    spec = read_spec(folder / "spec.json")
    if hash_of(spec["evaluation"]) != spec["hash"]:
        raise ValueError(f"{folder / 'spec.json'} was edited: its hash does not match its content")

    scores = _by_id(folder / "predictions.csv").astype(np.float64)
    labels = read_labels(folder / "truth.csv", list(scores.columns))
    subjects = _by_id(folder / "truth.csv")["subject_id"]
    if set(labels.index) != set(scores.index):
        raise ValueError(f"{folder}: predictions.csv and truth.csv are not of the same images")

    ids = sorted(scores.index)
    table = pd.read_csv(folder / "metrics.csv").fillna({"reason": ""}).set_index("finding")
    return ResultFolder(
        name=name,
        evaluation=spec["evaluation"],
        scores=scores.loc[ids],
        labels=labels.loc[ids],
        subjects=subjects.loc[ids],
        table=table,
    )


def _by_id(path: Path) -> pd.DataFrame:
    """Read a table as text, by image id."""
    table = pd.read_csv(path, dtype=str, na_filter=False)
    refuse_repeated(table["image_id"].tolist(), str(path))
    return table.set_index("image_id")


def _rows(saved: ResultFolder, differences: pd.DataFrame) -> pd.DataFrame:
    """Return a folder's metrics with its differences beside them."""
    table = saved.table.join(differences).reset_index()
    table.insert(1, "folder", saved.name)
    return table


def _nothing(saved: ResultFolder, reason: str) -> pd.DataFrame:
    """Return undefined differences with their reason."""
    undefined = {"difference": np.nan, "difference_low": np.nan, "difference_high": np.nan}
    return pd.DataFrame({**undefined, "difference_reason": reason}, index=saved.table.index)


def _differences(first: ResultFolder, other: ResultFolder) -> pd.DataFrame:
    """Return the paired difference of the AUROC, other minus first, for every row of the other's table."""
    if list(first.scores.index) != list(other.scores.index):
        return _nothing(other, "not the same images: no paired difference")
    moved = first.subjects.index[(first.subjects != other.subjects).to_numpy()]
    if len(moved):
        raise ValueError(f"{first.name} and {other.name} give image {moved[0]} to different patients")

    # both AUROCs on one draw of patients
    interval = first.evaluation["interval"]
    rng = np.random.default_rng(interval["seed"])
    drawn = metrics.patient_weights(first.subjects.to_numpy(), interval["replicates"], rng)
    both = [finding for finding in other.scores.columns if finding in first.scores.columns]
    estimate, replicates = (
        _auroc(other, both, weights) - _auroc(first, both, weights)
        for weights in (metrics.unit_weights(len(first.subjects)), drawn)
    )  # (1, c) and (r, c)

    rows = {finding: _row(estimate[0, [c]], replicates[:, [c]]) for c, finding in enumerate(both)}
    ok = [
        c
        for c, finding in enumerate(both)
        if finding not in NOT_IN_MEAN and all(saved.table.loc[finding, "status"] == "ok" for saved in (first, other))
    ]
    rows[MEAN] = _row(estimate[0, ok], replicates[:, ok])

    found = _nothing(other, f"{first.name} does not have it")
    found.loc[list(rows)] = pd.DataFrame.from_dict(rows, orient="index", columns=list(DIFFERENCE))
    return found


def _auroc(saved: ResultFolder, findings: Sequence[str], weights: metrics.ReplicateWeights) -> Float[np.ndarray, "r c"]:
    """Return the AUROC of findings in every replicate."""
    return metrics.auroc_matrix(
        saved.labels[list(findings)].to_numpy(), saved.scores[list(findings)].to_numpy(), weights
    )


def _row(estimates: Float[np.ndarray, "c"], replicates: Float[np.ndarray, "r c"]) -> tuple[float, float, float, str]:
    """Return the mean difference over findings with its interval, and the reason if there is none."""
    if not len(estimates) or np.isnan(estimates).any():
        return np.nan, np.nan, np.nan, "not evaluable in both"
    low, high, _, sparse = metrics.percentile_interval(replicates.mean(axis=1))
    return float(estimates.mean()), low, high, sparse


def side_by_side(table: pd.DataFrame) -> str:
    """Return a table of `compare_results` as text: a line per finding, a column per folder, and the differences."""

    def text(value: float, low: float, high: float, form: str) -> str:
        ends = "" if np.isnan(low) else f" ({low:{form}} to {high:{form}})"
        return "" if np.isnan(value) else f"{value:{form}}{ends}"

    first, *others = table["folder"].unique()
    lines: dict[str, dict[str, str]] = {finding: {} for finding in table["finding"].unique()}
    for row in table.to_dict("records"):
        line = lines[row["finding"]]
        line[row["folder"]] = text(row["auroc"], row["low"], row["high"], ".3f")
        if row["folder"] != first:
            difference = text(row["difference"], row["difference_low"], row["difference_high"], "+.3f")
            line[f"{row['folder']} - {first}"] = difference or row["difference_reason"]

    columns = [first, *others, *(f"{other} - {first}" for other in others)]
    shown = pd.DataFrame.from_dict(lines, orient="index").reindex(columns=columns).fillna("")
    return shown.to_string()
