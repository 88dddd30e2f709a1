"""Which column of somebody's CSV is which column of the cohort table."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from cohort.names import FINDINGS, SOURCES


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Names of columns in the user's table. A column with its default name is used if it is there; another must be."""

    image_id: str = "image_id"
    """Required: one name per image; may be the same column as that of the path"""
    path: str = "path"
    """Required: image file, absolute or below the image folder"""
    subject_id: str = "subject_id"
    """Required: the patient, by whom images are split and intervals resampled"""
    study_id: str = "study_id"
    """Examination; without it, each image is its own"""
    view: str = "view"
    """Projection: "PA", "AP portable", "frontal", "lateral" and the like"""
    age_years: str = "age_years"
    """Age at the examination: years, or DICOM's "063Y\""""
    sex: str = "sex"
    """Sex: "F", "Female", "M" and the like"""
    race: str = "race"
    """Race or ethnicity, in the archive's words unless `translations` or `race_table` translates them"""
    insurance: str = "insurance"
    """Insurance, in the archive's words unless `translations` translates them"""
    split: str = "split"
    """Split, the same for all images of a patient: "train", "validate" or "test\""""
    report: str = "report"
    """Report or other text of the image"""
    text_kind: str = "text_kind"
    """Kind of text: "report", "caption", "note" or "template\""""
    licence: str = "licence"
    """Terms of use of the image"""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Finding and the column with its 1, 0, -1 or blank; a finding without an entry uses the column of its own name"""
    finding_list: str = ""
    """Column that lists an image's findings in one field, such as "Effusion|Mass"; needs `finding_names`"""
    finding_separator: str = "|"
    """Separator between the names of `finding_list`"""
    finding_names: Mapping[str, str] = field(default_factory=dict)
    """Every name that `finding_list` can hold, and the finding that it means, or "" for none of the 14. Findings
    without a name stay blank: an archive that never labels fractures does not say that there are none"""
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Value of each raw word, per cohort column (view, sex, race, insurance, split); tried before any other rule"""
    race_table: str = ""
    """Table that groups race: "race_mimic_v2.csv", or your own CSV with the columns raw and group"""
    dataset: str = "csv"
    """Name of the archive, written into every row"""
    source: str = "real"
    """Origin of the pixels: "real", "synthetic" or "phantom\""""

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.labels, *self.finding_names.values()) if name not in (*FINDINGS, "")]
        if unknown:
            raise ValueError(f"column mapping: {unknown} are none of the findings {list(FINDINGS)}")
        if bool(self.finding_list) != bool(self.finding_names):
            raise ValueError("column mapping: finding_list and finding_names belong together; give both or neither")
        if self.source not in SOURCES:
            raise ValueError(f"column mapping: source: wanted one of {SOURCES}, found {self.source!r}")
        strange = sorted(set(self.translations) - TRANSLATED)
        if strange:
            raise ValueError(f"column mapping: translations: wanted keys among {sorted(TRANSLATED)}, found {strange}")


TRANSLATED = frozenset({"view", "sex", "race", "insurance", "split"})
"""Columns whose words `ColumnMapping.translations` can translate."""


_DEPTHS = {"labels": 1, "finding_names": 1, "translations": 2}


def read_mapping(path: Path | str) -> ColumnMapping:
    """Return the column mapping of a YAML file, whose keys are the fields of `ColumnMapping`.

    Example:
        image_id: image
        path: image
        subject_id: patient_id
        age_years: age
        translations: {view: {posteroanterior: PA}}

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is no mapping, has a key that is no field, or a value of the wrong kind.
    """
    # Imported here, so that a configuration can hold a ColumnMapping without waiting for YAML.
    import yaml  # noqa: PLC0415

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"column mapping: wanted the YAML file {path}, found none")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"column mapping: {path} is no YAML: {error}") from error
    if not isinstance(content, dict):  # a fault of the file, hence no TypeError
        raise ValueError(f"column mapping: {path}: wanted lines such as 'subject_id: patient', found {content!r}")  # noqa: TRY004
    known = [one.name for one in fields(ColumnMapping)]
    strange = [key for key in content if key not in known]
    if strange:
        raise ValueError(f"column mapping: {path}: {strange} are no fields; wanted some of {known}")
    return ColumnMapping(
        **{key: _words(value, _DEPTHS.get(key, 0), f"{path}: {key}") for key, value in content.items()}
    )


def _words(value: Any, depth: int, where: str) -> Any:
    """Return a string, or a mapping `depth` levels deep of strings, as YAML gave it."""
    if depth == 0:
        # YAML reads no, yes and on as truth values; whoever means the word "no" must quote it.
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"column mapping: {where}: wanted a word, found {value!r}; quote it if it is one")
        return str(value)
    if not isinstance(value, dict):
        raise ValueError(f"column mapping: {where}: wanted a mapping such as {{raw: value}}, found {value!r}")  # noqa: TRY004
    return {_words(key, 0, where): _words(inner, depth - 1, f"{where}: {key}") for key, inner in value.items()}
