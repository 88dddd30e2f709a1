"""Anyone's images: a CSV with one row per image, and a mapping of its columns."""

import os
from pathlib import Path

import pandas as pd

from cohort._csv import read_strings, some
from cohort.cohort_table import listed
from cohort.demographics.race import CONFLICT, race_by_patient
from cohort.flow import Flow
from cohort.labels import to_labels
from cohort.names import FINDINGS
from cohort.sources.mapping import TRANSLATED, ColumnMapping
from cohort.sources.repeated import one_row_per_image
from cohort.sources.words import add_ages, add_views, translated
from common.plain_values import NOT_SAID, one_spelling, plain_ids, plain_words

REQUIRED = ("image_id", "path", "subject_id")
IDS = ("image_id", "subject_id", "study_id")
OPTIONAL = ("study_id", "view", "age_years", "sex", "race", "insurance", "split", "report", "text_kind", "licence")
DEFAULT_MAPPING = ColumnMapping()
"""Every column has the cohort's own name."""
EXTRA = ("report", "text_kind", "licence")


def read_table(
    csv_path: Path | str,
    *,
    mapping: ColumnMapping = DEFAULT_MAPPING,
    image_root: Path | str = "",
    check_files: bool = True,
) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of a user's CSV, one row per image in the order of the file, and its flow.

    Rows without image id, path or patient, and images whose file is missing, are left out and counted. The words of
    view, sex, race, insurance and split are translated by `mapping.translations`, then by the tables in
    `cohort/tables/`, and stay as they are in `raw_view`, `raw_sex`, `raw_race` and `raw_insurance`. `report`,
    `text_kind` and `licence` are kept by these names where they exist, and columns that the mapping does not use as
    `raw_NAME`.

    Args:
        csv_path: `.csv` or `.csv.gz` with a header.
        mapping: Which column is which.
        image_root: Folder that relative paths start from.
        check_files: Look whether each image exists.

    Raises:
        FileNotFoundError: The CSV or `image_root` is not there, or not one image is.
        ValueError: A column that is required or was asked for is missing, a patient is in two
            splits, or a label is none of 1, 0, -1, blank.
    """
    if str(image_root) and not Path(image_root).is_dir():
        raise FileNotFoundError(f"image root: wanted a folder, found none at {image_root}; check the path")
    # A lone carriage return inside a text would end the row when the cohort is written and read again.
    raw = read_strings(csv_path, what="the image table").replace(r"\r\n?", "\n", regex=True)
    _refuse_missing(raw, mapping, csv_path)
    flow = Flow()
    frame = _rename(raw, mapping)
    flow.start(frame, f"listed in {Path(csv_path).name}")
    frame = _add_labels(frame, raw, mapping, flow, path=csv_path)
    frame = _keep_identified(frame, flow, path=csv_path)
    frame = one_row_per_image(frame, flow)
    frame["path"] = frame["path"].map(lambda path: os.path.join(image_root, path))  # noqa: PTH118
    if check_files:
        frame = _keep_existing(frame, flow, csv_path=csv_path)
    frame = _add_demographics(frame, mapping, flow)
    return listed(frame, dataset=mapping.dataset, source=mapping.source), flow


def _refuse_missing(raw: pd.DataFrame, mapping: ColumnMapping, path: Path | str) -> None:
    renamed = [getattr(mapping, name) for name in OPTIONAL if getattr(mapping, name) != name]
    wanted = [*(getattr(mapping, name) for name in REQUIRED), *renamed, *mapping.labels.values()]
    missing = [name for name in [*wanted, *filter(None, [mapping.finding_list])] if name not in raw]
    if missing:
        raise ValueError(
            f"the image table: {path} has no column {some(missing)}; found {some(raw.columns, 30)}; "
            "name your columns by flags or in a YAML file"
        )


def _plain(texts: pd.Series, name: str) -> "pd.Series[str]":
    """Return one column in plain words; a report and a path keep their blanks."""
    if name in IDS:
        return plain_ids(texts)
    if name == "report":
        return texts.str.strip()  # "NA" in a report is for the text rule to judge
    words = plain_words(texts)
    return texts.str.strip().where(words.ne(""), "") if name == "path" else words


def _rename(raw: pd.DataFrame, mapping: ColumnMapping) -> pd.DataFrame:
    """Return a table with the cohort's names, blanks stripped, and the unused columns as `raw_NAME`."""
    sources = {name: getattr(mapping, name) for name in (*REQUIRED, *OPTIONAL)}
    frame = pd.DataFrame({name: _plain(raw[column], name) for name, column in sources.items() if column in raw})
    absent = [name for name in OPTIONAL if name not in frame and name not in EXTRA]
    frame = frame.assign(**dict.fromkeys(absent, ""))
    # An examination that nobody named is the image's own: two images must not seem to share one.
    frame["study_id"] = frame["study_id"].mask(frame["study_id"].eq(""), frame["image_id"])
    for name in ("view", "sex", "race", "insurance"):
        frame[f"raw_{name}"] = raw[sources[name]].str.strip() if sources[name] in raw else ""
    used = {*sources.values(), *mapping.labels.values(), *FINDINGS}
    for column in [name for name in raw if name not in used]:
        name = f"raw_{column}"
        while name in frame:
            name = f"raw_{name}"
        frame[name] = raw[column]
    return frame


def _keep_identified(frame: pd.DataFrame, flow: Flow, *, path: Path | str) -> pd.DataFrame:
    for column, words in (("image_id", "no image id"), ("path", "no image path"), ("subject_id", "no patient id")):
        frame = flow.keep(frame, frame[column].ne(""), words, fault=True)
    if frame.empty:
        raise ValueError(f"the image table: no row of {path} has an image id, a path and a patient id")
    return frame


def _keep_existing(frame: pd.DataFrame, flow: Flow, *, csv_path: Path | str) -> pd.DataFrame:
    there = frame["path"].map(os.path.isfile).astype(bool)
    kept = flow.keep(frame, there, "image file not found")
    if kept.empty:
        raise FileNotFoundError(
            f"the image table: none of the {len(frame)} images of {csv_path} exists; looked for "
            f"{some(frame['path'], 3)}; check the image root"
        )
    return kept


def _add_demographics(frame: pd.DataFrame, mapping: ColumnMapping, flow: Flow) -> pd.DataFrame:
    frame = add_ages(frame, frame["age_years"], flow)
    for name in TRANSLATED:
        words = frame[f"raw_{name}"] if f"raw_{name}" in frame else frame[name]
        frame[name] = one_spelling(_first_translation(words, mapping, name))
    raw_view = frame["raw_view"]
    frame = add_views(frame, frame["view"], flow).assign(raw_view=raw_view)
    frame["sex"] = translated(frame, frame["sex"], what="sex", table="sex.csv", flow=flow)
    if mapping.race_table:
        frame["race"] = translated(frame, frame["race"], what="race", table=mapping.race_table, flow=flow)
    for name in ("race", "insurance"):
        frame[name] = frame[name].mask(frame[name].str.lower().isin(NOT_SAID), "")
    frame["race"] = frame["subject_id"].map(race_by_patient(frame["subject_id"], frame["race"]))
    for name in ("sex", "race", "insurance"):
        flow.note(frame, f"{name} unknown", rows=int(frame[name].eq("").sum()))
    flow.note(frame, "race in conflict between a patient's rows", rows=int(frame["race"].eq(CONFLICT).sum()))
    return frame


def _first_translation(raw: pd.Series, mapping: ColumnMapping, name: str) -> pd.Series:
    """Return the words with those that the user translates replaced; case does not matter."""
    values = {word.strip().casefold(): value for word, value in mapping.translations.get(name, {}).items()}
    return raw.map({word: values.get(word.casefold(), word) for word in raw.unique()})


def _add_labels(
    frame: pd.DataFrame, raw: pd.DataFrame, mapping: ColumnMapping, flow: Flow, *, path: Path | str
) -> pd.DataFrame:
    from_list = _labels_from_list(frame, raw, mapping, flow)
    for finding in FINDINGS:
        column = mapping.labels.get(finding, finding)
        if column in raw:
            frame[finding] = to_labels(raw[column], what=f"{path}, {column}")
        else:
            frame[finding] = from_list.get(finding, float("nan"))
    return frame


def _labels_from_list(frame: pd.DataFrame, raw: pd.DataFrame, mapping: ColumnMapping, flow: Flow) -> pd.DataFrame:
    """Return one column per finding that the archive labels: 1 where the row's list names it, else 0.

    A row with an empty list, or with a name outside the declared vocabulary, has no labels: what the names it could
    have held are is not known.
    """
    if not mapping.finding_list:
        return pd.DataFrame(index=raw.index)
    meaning = {name.strip(): finding for name, finding in mapping.finding_names.items()}
    lists = raw[mapping.finding_list].str.split(mapping.finding_separator, regex=False)
    names = lists.map(lambda words: [word.strip() for word in words if word.strip()])
    strange = names.map(lambda words: sorted(set(words) - set(meaning)))
    for word, count in strange.explode().dropna().value_counts().items():
        flow.note(frame, f"finding {str(word)!r} is not in finding_names: no labels", rows=int(count))
    labelled = names.map(bool) & ~strange.map(bool)
    flow.note(frame, f"nothing in {mapping.finding_list}: no labels", rows=int((~names.map(bool)).sum()))
    found = names.map(lambda words: {meaning.get(word) for word in words})
    return pd.DataFrame(
        {
            finding: found.map(lambda have, finding=finding: float(finding in have)).where(labelled)
            for finding in sorted({finding for finding in meaning.values() if finding})
        }
    )
