"""Which settings wrote the files of a folder, so that a job with others does not replace them in silence.

`preprocess.json` in every folder of outputs lists jobs, each with its settings and the names of the files it wrote.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.atomic import write_json
from preprocess.archives import column_mapping
from preprocess.preprocess_config import PreprocessConfig

RECORD = "preprocess.json"
DECIDING = (
    "dataset_type",
    "chest_x_ray_path",
    "radiology_reports_path",
    "mimiciv_path",
    "nih_edition",
    "resolution",
    "exact",
    "dtype",
    "views",
    "text_rule",
    "section",
    "prior_references",
    "deidentification_marks",
    "require_text",
    "compat",
)
"""Settings that decide what the files hold. Where they lie, who decodes and what is tolerated do not count"""

Settings = dict[str, Any]


def deciding_settings(config: PreprocessConfig, archive: Path) -> Settings:
    """Return what decides the content of the files.

    Args:
        config: Resolved settings.
        archive: Folder or table that was found.
    """
    values = {name: getattr(config, name) for name in DECIDING}
    found = {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in values.items()}
    columns = {f"columns.{name}": value for name, value in asdict(column_mapping(config)).items()}
    # As JSON gives them back: tuples become lists.
    settings: Settings = json.loads(json.dumps({**found, **columns, "archive": str(archive.absolute())}))
    return settings


def refuse_other_settings(written: Iterable[Path], settings: Settings) -> None:
    """Refuse to replace files that other settings wrote.

    Raises:
        ValueError: There are such files, or files of which no record tells who wrote them.
    """
    strangers: dict[str, list[str]] = {}
    for path in written:
        theirs = _settings_of(path)
        if path.exists() and theirs != settings:
            strangers.setdefault(_difference(theirs, settings), []).append(str(path))

    for difference, paths in strangers.items():
        raise ValueError(
            f"--out_dir: {', '.join(paths)} {difference}; name another --out_dir (or the flags of these files), or "
            "replace them with --overwrite"
        )


def record(written: Iterable[Path], settings: Settings) -> None:
    """Note in every folder which of its files these settings wrote; the notes on other files stay."""
    by_folder: dict[Path, set[str]] = {}
    for path in written:
        by_folder.setdefault(path.parent, set()).add(path.name)

    for folder, names in by_folder.items():
        jobs = [{**job, "files": sorted(set(job["files"]) - names)} for job in _jobs(folder)]
        jobs.append({"files": sorted(names), "settings": settings})
        write_json(folder / RECORD, {"jobs": [job for job in jobs if job["files"]]})


def _settings_of(path: Path) -> Settings | None:
    return next((job["settings"] for job in _jobs(path.parent) if path.name in job["files"]), None)


def _jobs(folder: Path) -> list[dict[str, Any]]:
    path = folder / RECORD
    if not path.is_file():
        return []
    try:
        jobs: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["jobs"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete it, and give --overwrite") from error
    return jobs


def _difference(theirs: Settings | None, ours: Settings) -> str:
    if theirs is None:
        return f"would be replaced, and no {RECORD} tells which settings wrote them"
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    return "were written with other settings: " + ", ".join(
        f"{name} {theirs.get(name)}, now {ours.get(name)}" for name in names
    )
