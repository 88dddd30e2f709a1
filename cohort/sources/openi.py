"""Open-i, the Indiana University chest X-ray collection: 7,470 films, 3,955 reports as XML, indexed by people.

Counts    3,955 reports; 3,921 have an impression, 3,425 findings, 3,419 both, 28 neither; 104 have no image
Files     NLMCXR_reports.tgz, or ecgen-radiology/*.xml unpacked; images CXR1_1_IM-0001-3001.png (NLMCXR_png.tgz). Read
          too where they are: indiana_projections.csv (frontal or lateral) and nlmcxr_dicom_metadata.csv (view, sex,
          dates), which others derived from the DICOM files
Licence   CC BY-NC-ND 4.0 in every report: pass on nothing derived from its text
Cite      Demner-Fushman et al., JAMIA 2016, doi 10.1093/jamia/ocv080
Access    https://openi.nlm.nih.gov/faq
Labels    MeSH/major terms chosen by indexers, kept as `own_labels`, "term|term". A term not chosen counts as absent,
          "borderline" as uncertain, and "No Indexing" means that there are no labels. What the terms mean among the 14
          is in cohort/tables/labels/openi.csv
Reports   composed of their four sections; removed names and dates read XXXX. A report is taken for a patient of its
          own: the archive names no patients
View      of the DICOM table; else PA or AP where the projection is frontal and the caption names one of them; else
          unknown, because most captions describe both films of a study
"""

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd

from cohort._csv import read_strings
from cohort.cohort_table import listed
from cohort.flow import Flow
from cohort.sources.archive_files import (
    ArchiveFiles,
    add_paths,
    archive_root,
    image_files,
    needed_table,
    source_of,
    table_below,
)
from cohort.sources.composed_report import compose
from cohort.sources.label_map import add_findings, listed_labels, read_label_map
from cohort.sources.repeated import one_row_per_image, one_row_per_key
from cohort.sources.words import add_ages, add_sex, add_views, whole_number, without

ARCHIVE = ArchiveFiles(name="Open-i", dataset="openi", access="https://openi.nlm.nih.gov/faq")
REPORTS = "NLMCXR_reports.tgz"
PROJECTIONS = "indiana_projections.csv"
HEADERS = "nlmcxr_dicom_metadata.csv"
SECTIONS = ("INDICATION", "COMPARISON", "FINDINGS", "IMPRESSION")
NOT_INDEXED = "No Indexing"

_FOLDER = "ecgen-radiology"
_HEADER_COLUMNS = ("imageid", "Patient's Birth Date", "Study Date", "Patient's Sex", "View Position")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIReport:
    """One XML file."""

    uid: str
    """"CXR1"."""
    sections: dict[str, str]
    """Heading in capitals -> text, "" where it is empty."""
    terms: tuple[str, ...]
    """MeSH/major."""
    images: tuple[tuple[str, str], ...]
    """Id and caption of every image."""


def read_openi(root: Path | str, *, check_files: bool = True) -> tuple[pd.DataFrame, Flow]:
    """Return the cohort table of Open-i, one row per image sorted by report number, and its flow.

    Args:
        root: Folder of the reports and images, or one above.
        check_files: Leave out images whose file is missing.

    Raises:
        FileNotFoundError: No such folder, no reports, or none of the images.
        ValueError: Not one of the files is a report, or their archive is damaged.

    Source: Demner-Fushman et al., JAMIA 2016;23:304-310.
    """
    folder = archive_root(root, ARCHIVE)
    reports, damaged = _readable_reports(folder)
    flow = Flow()
    frame = _row_per_image(reports)
    flow.start(frame, f"images of {len(reports):,} reports")
    flow.note(frame, "report file is damaged: its images are not listed", rows=damaged, fault=True)
    frame = one_row_per_image(frame, flow)
    flow.note(frame, "reports without an image", rows=sum(not report.images for report in reports))
    files = image_files(folder, [".png"])
    names = frame["image_id"] + ".png"
    frame = add_paths(frame, names, files, root=folder, archive=ARCHIVE, flow=flow, check=check_files)
    frame = _add_headers(frame, folder, flow)
    frame = without(frame.assign(split=""), "race", "insurance", flow=flow)
    return listed(_add_labels(frame, flow), dataset=ARCHIVE.dataset, source=source_of(folder)), flow


def read_reports(root: Path | str) -> Iterator[OpenIReport]:
    """Yield the reports of `NLMCXR_reports.tgz`, or of the unpacked folder, by number.

    Raises:
        FileNotFoundError: Neither is below `root`.
        ValueError: A file is no XML, or has no uId.
    """
    for name, content in _documents(Path(root)):
        yield parse_report(content, name=name)


def parse_report(content: bytes, *, name: str) -> OpenIReport:
    """Return one report; `name` is the file's, for the message.

    Raises:
        ValueError: No XML, or no uId.
    """
    try:
        tree = ET.fromstring(content)  # noqa: S314 - expat of every supported Python refuses exponential entities
    except ET.ParseError as error:
        raise ValueError(f"{ARCHIVE.name}: {name} is no XML ({error}); unpack the archive again") from error
    uid = tree.find("uId")
    if uid is None or not uid.get("id"):
        raise ValueError(f"{ARCHIVE.name}: {name} has no <uId id=...>: it is no report of this collection")
    texts = {str(one.get("Label")).upper(): (one.text or "").strip() for one in tree.iter("AbstractText")}
    return OpenIReport(
        uid=str(uid.get("id")),
        sections={heading: texts.get(heading, "") for heading in SECTIONS},
        terms=tuple(term for one in tree.iterfind("MeSH/major") if (term := (one.text or "").strip())),
        images=tuple((str(one.get("id")), (one.findtext("caption") or "").strip()) for one in tree.iter("parentImage")),
    )


def _readable_reports(root: Path) -> tuple[list[OpenIReport], int]:
    """Return the reports, and how many files are none."""
    reports, errors = [], []
    for name, content in _documents(root):
        try:
            reports.append(parse_report(content, name=name))
        except ValueError as error:
            errors.append(error)
    if errors and not reports:
        raise errors[0]
    return reports, len(errors)


def _documents(root: Path) -> list[tuple[str, bytes]]:
    """Return name and content of every report file, by number."""
    return sorted(_files(root), key=lambda document: (len(document[0]), document[0]))


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    places = (root, root / _FOLDER, *sorted(root.glob(f"*/{_FOLDER}")))
    unpacked = next((files for place in places if (files := sorted(place.glob("[0-9]*.xml")))), None)
    if unpacked is not None:
        yield from ((path.stem, path.read_bytes()) for path in unpacked)
        return
    path = needed_table(root, REPORTS, archive=ARCHIVE)
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith(".xml") else None
                if file is not None:
                    yield Path(member.name).stem, file.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"{ARCHIVE.name}: {path} is damaged ({error}); download it again") from error


def _row_per_image(reports: list[OpenIReport]) -> pd.DataFrame:
    texts = pd.DataFrame([report.sections for report in reports], columns=list(SECTIONS))
    composed = compose({heading: texts[heading] for heading in SECTIONS})
    rows = [
        (image_id, report.uid, report.uid, text, caption, "|".join(report.terms))
        for report, text in zip(reports, composed, strict=True)
        for image_id, caption in report.images
    ]
    return pd.DataFrame(rows, columns=["image_id", "subject_id", "study_id", "report", "caption", "own_labels"])


def _add_headers(frame: pd.DataFrame, folder: Path, flow: Flow) -> pd.DataFrame:
    """Return the images with view, sex and age, as far as the two derived tables know them."""
    headers = _headers(frame, table_below(folder, HEADERS), flow)
    projections = _projections(frame, table_below(folder, PROJECTIONS), flow)
    position = headers["View Position"]
    frame = add_views(frame, position.where(position.ne(""), _view_words(projections, frame["caption"])), flow)
    frame = add_sex(frame, headers["Patient's Sex"], flow)
    return add_ages(frame, _ages(headers["Study Date"], headers["Patient's Birth Date"]), flow)


def _headers(frame: pd.DataFrame, path: Path | None, flow: Flow) -> pd.DataFrame:
    if path is None:
        flow.note(frame, f"no {HEADERS} was found: no age, no sex", rows=len(frame))
        return pd.DataFrame("", index=frame.index, columns=list(_HEADER_COLUMNS))
    table = read_strings(path, columns=list(_HEADER_COLUMNS), only=True, what="Open-i's DICOM table")
    table = one_row_per_key(table, ["imageid"], images=frame, flow=flow, name=path.name)
    found = table.set_index("imageid").reindex(frame["image_id"]).fillna("")
    return found.set_index(frame.index)


def _projections(frame: pd.DataFrame, path: Path | None, flow: Flow) -> pd.Series:
    """Return "Frontal", "Lateral" or "" for every image."""
    if path is None:
        flow.note(frame, f"no {PROJECTIONS} was found: frontal or lateral is not known from it", rows=len(frame))
        return pd.Series("", index=frame.index)
    table = read_strings(path, columns=["uid", "filename", "projection"], only=True, what="Open-i's projections")
    # "1_IM-0001-4001.dcm.png" of report 1 is the image CXR1_1_IM-0001-4001.
    image_ids = "CXR" + table["uid"] + "_" + table["filename"].str.replace(r"(\.dcm)?\.png$", "", regex=True)
    told = pd.DataFrame({"image_id": image_ids, "projection": table["projection"]})
    told = one_row_per_key(told, ["image_id"], images=frame, flow=flow, name=path.name)
    return frame["image_id"].map(told.set_index("image_id")["projection"]).fillna("")


def _view_words(projections: pd.Series, captions: pd.Series) -> pd.Series:
    """Return the projection, or "PA" or "AP" for a frontal film whose caption names one of the two."""
    says_pa = captions.str.contains(r"\bPA\b", case=False)
    says_ap = captions.str.contains(r"\bAP\b", case=False)
    frontal = projections.str.casefold().eq("frontal")
    words = np.select([frontal & says_pa & ~says_ap, frontal & says_ap & ~says_pa], ["PA", "AP"], projections)
    return pd.Series(words, index=projections.index, dtype=str)


def _ages(taken: pd.Series, born: pd.Series) -> pd.Series:
    """Return years between two dates written as 20130801, as text; "" where one of them is missing."""
    days = [pd.to_datetime(whole_number(dates), format="%Y%m%d", errors="coerce") for dates in (taken, born)]
    years = (days[0] - days[1]).dt.days / 365.25
    return years.map("{:.2f}".format).replace("nan", "")


def _add_labels(frame: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    terms = frame["own_labels"].map(lambda text: None if text in {"", NOT_INDEXED} else text.split("|"))
    flow.note(frame, f"not indexed ({NOT_INDEXED}): no labels", rows=int(terms.isna().sum()))
    table = read_label_map("openi.csv")
    own = listed_labels(terms, table.labels)
    for name in table.labels:
        qualified = terms.map(lambda words, name=name: [word for word in words if _is_kind_of(word, name)], "ignore")
        only_borderline = qualified.map(lambda words: bool(words) and all(map(_borderline, words)), "ignore")
        own[name] = own[name].mask(only_borderline.eq(True), -1.0)
    return add_findings(frame, own, table)


def _is_kind_of(term: str, name: str) -> bool:
    return term == name or term.startswith(f"{name}/")


def _borderline(term: str) -> bool:
    return "borderline" in term.split("/")
