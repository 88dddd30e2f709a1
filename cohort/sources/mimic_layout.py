"""Where the parts of MIMIC-CXR-JPG, MIMIC-CXR and MIMIC-IV lie on this disk."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from cohort.sources.archive_files import MARK_OF_SIMULATION, source_of

HOW_TO_GET_MIMIC = """\
No chest X-ray archive was found below {root}/.

The real one, MIMIC-CXR-JPG, is free for credentialed researchers (training course and data-use agreement):
  1. Apply at https://physionet.org/content/mimic-cxr-jpg/2.1.0/ (images and labels),
     https://physionet.org/content/mimic-cxr/2.1.0/ (reports) and
     https://physionet.org/content/mimiciv/3.1/ (age, sex, race, insurance).
  2. Download into {root}/, each as PhysioNet lays it out:
     {root}/mimic-cxr-jpg/2.1.0/files/p10/p10000032/s50414267/*.jpg  with mimic-cxr-2.0.0-*.csv.gz beside files/
     {root}/mimic-cxr/2.1.0/files/p10/p10000032/s50414267.txt
     {root}/mimiciv/3.1/hosp/patients.csv.gz and admissions.csv.gz
     {root}/physionet.org/files/..., as wget leaves it, is found too.

A simulated archive in the same layout, which needs no permission, takes minutes:
  python make_phantom.py --out_dir {root}/phantom

Your own images: --dataset_type csv reads any table with the columns image_id, path and subject_id.
"""

MAX_DEPTH = 6
_METADATA = r"mimic-cxr-[\d.]+-metadata\.csv(\.gz)?"
_RECORDS = r"cxr-record-list\.csv(\.gz)?"
Suffix = Literal["jpg", "dcm"]
_DICOM_ID = r"[0-9a-f]{8}(-[0-9a-f]{8}){4}"
_PROBED_PATIENTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MimicLayout:
    """The folders and files of one copy of the archive. Parts that are None are absent, and the reader says so."""

    metadata: Path
    """`mimic-cxr-2.0.0-metadata.csv.gz` of MIMIC-CXR-JPG, beside which split and label files lie; or, for DICOM files
    without it, `cxr-record-list.csv.gz` of MIMIC-CXR, which names the images and says nothing else of them."""
    images_dir: Path
    """Folder of `p10/p10000032/s50414267/*.jpg` (or `*.dcm`), or of all of them when `flat`."""
    suffix: Suffix = "jpg"
    """Of the images: "jpg" in MIMIC-CXR-JPG, "dcm" in MIMIC-CXR."""
    flat: bool = False
    """Whether all images lie in one folder."""
    reports_dir: Path | None = None
    """Folder of `p10/p10000032/s50414267.txt`."""
    patients: Path | None = None
    """MIMIC-IV `patients.csv.gz`."""
    admissions: Path | None = None
    """MIMIC-IV `admissions.csv.gz`."""
    source: str = "real"
    """"phantom" where `scenario.json` lies in a folder above."""

    def __str__(self) -> str:
        parts = [
            ("metadata", self.metadata),
            ("images", self.images_dir),
            ("reports", self.reports_dir),
            ("patients", self.patients),
            ("admissions", self.admissions),
        ]
        return "\n".join(f"{name:<10}  {path or 'not found'}" for name, path in parts)

    def beside(self, kind: str) -> Path | None:
        """Return the table `mimic-cxr-2.0.0-KIND.csv[.gz]` beside the metadata, or None."""
        stem = self.metadata.name.split("-metadata")[0]
        names = (f"{stem}-{kind}.csv.gz", f"{stem}-{kind}.csv")
        return next((path for name in names if (path := self.metadata.parent / name).is_file()), None)


def how_to_get_mimic(root: Path | str = "data") -> str:
    """Return the text for users who have no archive yet: how to get the real one, or the simulated one."""
    return HOW_TO_GET_MIMIC.format(root=str(root).rstrip("/"))


def find_mimic(root: Path | str = "data", *, suffix: Suffix = "jpg") -> MimicLayout | None:
    """Return the archive below `root`, or None.

    Looks for the metadata table in `root` and up to six folders below it, so that the layouts of PhysioNet's zip files
    and of its wget command, any version number, and `phantom/` are all found. With several copies a real one comes
    before a simulated one, then the higher version. Reports and MIMIC-IV are taken from the same side only: simulated
    patients never borrow a real demographic table.

    Args:
        root: Where to look.
        suffix: "dcm" looks for DICOM files, for which MIMIC-CXR's own record list will do as a table of images.
    """
    root = Path(root)
    if not root.is_dir():
        return None
    folders = list(_folders(root, MAX_DEPTH))
    tables = [(folder, table) for folder in folders if (table := _metadata_in(folder))]
    if suffix == "dcm":
        tables = tables or [(folder, table) for folder in folders if (table := _records_in(folder))]
    if not tables:
        return None
    simulated = [folder for folder in (*root.resolve().parents, *folders) if (folder / MARK_OF_SIMULATION).is_file()]
    folder, metadata = min(tables, key=lambda found: (bool(_owner(found[0], simulated)), _newest_first(found[0])))
    owner = _owner(folder, simulated)
    mine = [other for other in folders if _owner(other, simulated) == owner]
    return _complete(metadata, [folder, *mine], source="phantom" if owner else "real", suffix=suffix)


def needed_mimic(root: Path | str = "data", *, suffix: Suffix = "jpg") -> MimicLayout:
    """Return `find_mimic`.

    Raises:
        FileNotFoundError: No archive below `root`; the message says how to get the real one or the simulated one.
    """
    layout = find_mimic(root, suffix=suffix)
    if layout is None:
        raise FileNotFoundError(how_to_get_mimic(root))
    return layout


def layout_at(
    chest_x_ray_path: Path | str,
    *,
    radiology_reports_path: Path | str | None = None,
    mimiciv_path: Path | str | None = None,
    suffix: Suffix = "jpg",
) -> MimicLayout:
    """Return the archive at folders that the user names, as CheXzero's flags do.

    Args:
        chest_x_ray_path: The folder `files` of MIMIC-CXR-JPG, or the one above it that has the metadata table.
        radiology_reports_path: The folder `files` of MIMIC-CXR, or the one above; None where there are no reports, or
            where they lie among the images.
        mimiciv_path: MIMIC-IV, or its folder `hosp` or `core`; None to do without demographics.
        suffix: "dcm" for MIMIC-CXR's DICOM files; the reports lie among them.

    Raises:
        FileNotFoundError: A named folder does not exist or does not hold what it should.
    """
    images = _folder(chest_x_ray_path, "chest_x_ray_path")
    metadata = _metadata_in(images) or _metadata_in(images.parent)
    if suffix == "dcm":
        metadata = metadata or _records_in(images) or _records_in(images.parent)
    if metadata is None:
        tables = "mimic-cxr-2.0.0-metadata.csv.gz" + (" or cxr-record-list.csv.gz" if suffix == "dcm" else "")
        raise FileNotFoundError(
            f"chest_x_ray_path: wanted {tables} in {images} or in {images.parent}, found neither; it belongs to "
            f"MIMIC-CXR{'' if suffix == 'dcm' else '-JPG'}; for images without it use --dataset_type csv"
        )
    hospital = [] if mimiciv_path is None else _hospital(_folder(mimiciv_path, "mimiciv_path"))
    layout = _complete(metadata, [images, *hospital], source=source_of(metadata.parent), suffix=suffix)
    if radiology_reports_path is None:
        return layout
    return replace(layout, reports_dir=_reports(_folder(radiology_reports_path, "radiology_reports_path")))


def _reports(folder: Path) -> Path:
    reports = _tree_of("txt", [folder])
    if reports is None:
        raise FileNotFoundError(
            f"radiology_reports_path: wanted p10/p10000032/s50414267.txt and the like below {folder}, found none"
        )
    return reports


def _hospital(folder: Path) -> list[Path]:
    inside = list(_folders(folder, 2))
    if _table("patients", inside) is None:
        raise FileNotFoundError(f"mimiciv_path: wanted hosp/patients.csv.gz below {folder}, found none")
    return inside


def _complete(metadata: Path, folders: list[Path], *, source: str, suffix: Suffix) -> MimicLayout:
    images = _tree_of(suffix, folders)
    flat = None if images else _flat_images(folders, suffix)
    return MimicLayout(
        metadata=metadata,
        images_dir=images or flat or metadata.parent / "files",
        suffix=suffix,
        flat=flat is not None,
        reports_dir=_tree_of("txt", folders),
        patients=_table("patients", folders),
        admissions=_table("admissions", folders),
        source=source,
    )


def _folder(path: Path | str, flag: str) -> Path:
    if not Path(path).is_dir():
        raise FileNotFoundError(f"{flag}: wanted a folder, found none at {path}; check the path")
    return Path(path)


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """Yield `root` and the folders below it, but not the hundred thousands of patients and studies."""
    yield root
    if depth == 0:
        return
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith(".") and not re.fullmatch(r"[ps]\d+", entry.name):
            yield from _folders(Path(entry.path), depth - 1)


def _metadata_in(folder: Path) -> Path | None:
    return next(_entries(folder, _METADATA), None)


def _records_in(folder: Path) -> Path | None:
    return next(_entries(folder, _RECORDS), None)


def _newest_first(folder: Path) -> tuple[list[int], str]:
    """Return a sort key by which the highest version number in a path comes first."""
    versions = re.findall(r"(?<![\d.])\d+(?:\.\d+)+(?![\d.])", str(folder))
    numbers = [int(number) for number in versions[-1].split(".")] if versions else []
    return [-number for number in numbers] or [1], str(folder)


def _owner(folder: Path, simulated: list[Path]) -> Path | None:
    """Return the simulated archive that `folder` lies in, or None for a real one."""
    above = (folder, *folder.resolve().parents, *folder.parents)
    return next((phantom for phantom in simulated if phantom in above), None)


def _entries(folder: Path, pattern: str) -> Iterator[Path]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if re.fullmatch(pattern, entry.name))
        yield from (folder / name for name in names)


def _tree_of(suffix: str, folders: list[Path]) -> Path | None:
    """Return the first folder, or its `files`, with p10/p10000032/ that holds images or reports ("txt").

    Both have a look inside: the archive with the DICOM files has the same folders of studies, and reports beside them.
    """
    for place in _with_files(folders):
        patients = (patient for group in _entries(place, r"p\d\d") for patient in _entries(group, r"p\d+"))
        for patient in islice(patients, _PROBED_PATIENTS):
            studies = _entries(patient, r"s\d+") if suffix != "txt" else [patient]
            if any(next(_entries(study, rf".+\.{suffix}"), None) for study in studies):
                return place
    return None


def _flat_images(folders: list[Path], suffix: Suffix) -> Path | None:
    """Return the first folder, or its `files`, that holds the images themselves."""
    images = rf"{_DICOM_ID}\.{suffix}"
    return next((place for place in _with_files(folders) if next(_entries(place, images), None)), None)


def _with_files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (folder, folder / "files")


def _table(name: str, folders: list[Path]) -> Path | None:
    """Return MIMIC-IV's table `name` of the newest version among `folders`."""
    found = [path for folder in folders if (path := next(_entries(folder, rf"{name}\.csv(\.gz)?"), None))]
    return min(found, key=lambda path: _newest_first(path.parent), default=None)
