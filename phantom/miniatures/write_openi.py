"""A miniature of Open-i: reports as XML in one compressed file, PNG files, and the two tables that others derived."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from xml.sax.saxutils import escape

import pandas as pd

from phantom.miniatures.file_formats import write_csv, write_png, write_tgz
from phantom.miniatures.miniature_population import MiniatureFilm, MiniaturePopulation
from phantom.reports.radiology_report import sections_of

HEADER_COLUMNS = (
    "imageid",
    "Patient's Birth Date",
    "Study Date",
    "Patient's Sex",
    "View Position",
    "Photometric Interpretation",
    "Bits Stored",
    "Rows",
    "Columns",
)
TERMS: Mapping[str, str] = MappingProxyType(
    {
        "Atelectasis": "Pulmonary Atelectasis/base/left",
        "Cardiomegaly": "Cardiomegaly/mild",
        "Consolidation": "Consolidation/lung/upper lobe/right",
        "Edema": "Pulmonary Edema",
        "Fracture": "Fractures, Bone/ribs",
        "Lung Lesion": "Nodule/lung/apex/right",
        "Lung Opacity": "Opacity/lung/base/bilateral",
        "Pleural Effusion": "Pleural Effusion/left/small",
        "Pleural Other": "Thickening/pleura/apex/bilateral",
        "Pneumonia": "Pneumonia/right",
        "Pneumothorax": "Pneumothorax/left",
        "Support Devices": "Catheters, Indwelling/right",
        "No Finding": "normal",
    }
)
"""CheXpert's name -> MeSH/major"""

_LABELS = ("COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION")
_CAPTIONS = {True: "Xray Chest PA and Lateral", False: "Chest, AP portable"}


def write_openi(root: Path, population: MiniaturePopulation) -> None:
    """Write the reports, the images and the tables.

    The last report has no image, the fourth was not indexed, and a cardiomegaly of every fifth is borderline. In the
    DICOM table every third image has no view.
    """
    studies: dict[int, list[MiniatureFilm]] = {}
    for film in population.films():
        studies.setdefault(film.study.study_id, []).append(film)

    files, headers, projections = {}, [], []
    for uid, films in enumerate(studies.values(), start=1):
        without_image = uid == len(studies)
        files[f"ecgen-radiology/{uid}.xml"] = _xml(uid, [] if without_image else films, population, first=films[0])
        for film in [] if without_image else films:
            name = _image_name(uid, film)
            picture = population.picture(film)
            write_png(root / "NLMCXR_png" / f"{name}.png", picture)
            headers.append((name, *_header(film), "MONOCHROME2", 12, *picture.shape))
            projection = "Lateral" if film.image.view == "LATERAL" else "Frontal"
            projections.append((uid, f"{name.split('_', 1)[1]}.dcm.png", projection))

    write_tgz(root / "NLMCXR_reports.tgz", files)
    write_csv(root / "nlmcxr_dicom_metadata.csv.gz", pd.DataFrame(headers, columns=list(HEADER_COLUMNS)))
    write_csv(root / "indiana_projections.csv", pd.DataFrame(projections, columns=["uid", "filename", "projection"]))


def _header(film: MiniatureFilm) -> tuple[str, str, str, str]:
    view = "" if film.number % 3 == 0 else film.image.view
    return f"{2013 - film.age_years}0801", "20130801", film.study.person.sex, view


def _image_name(uid: int, film: MiniatureFilm) -> str:
    return f"CXR{uid}_1_IM-{film.number:04d}-{film.image_number}001"


def _terms(uid: int, film: MiniatureFilm) -> list[str]:
    if uid == 4:
        return ["No Indexing"]
    terms = [TERMS[finding] for finding in TERMS if finding in film.findings]
    if uid % 5 == 0:
        terms = ["Cardiomegaly/borderline", *(term for term in terms if not term.startswith(("Cardiom", "normal")))]
    return terms or ["Spine/degenerative"]


def _xml(uid: int, films: Sequence[MiniatureFilm], population: MiniaturePopulation, *, first: MiniatureFilm) -> str:
    found = {heading: " ".join(body.split()) for heading, body in sections_of(population.report(first).text).items()}
    portable = any(film.image.view == "AP" for film in films)
    texts = {label: escape(found.get(label, "").replace("___", "XXXX")) for label in _LABELS}

    # Anonymised words are "XXXX" here, "___" in MIMIC.
    abstract = "\n".join(
        f'            <AbstractText Label="{label}">{text}</AbstractText>' for label, text in texts.items()
    )
    mesh = "\n".join(f"      <major>{escape(term)}</major>" for term in _terms(uid, first))
    images = "\n".join(
        f'   <parentImage id="{_image_name(uid, film)}">\n      <figureId>F{number}</figureId>\n'
        f"      <caption>{_CAPTIONS[not portable]}</caption>\n   </parentImage>"
        for number, film in enumerate(films, start=1)
    )

    return f"""<?xml version="1.0" encoding="utf-8"?>
<eCitation>
   <meta type="rr"/>
   <uId id="CXR{uid}"/>
   <pmcId id="{uid}"/>
   <docSource>CXR</docSource>
   <MedlineCitation Owner="Phantom" Status="simulated">
      <Article PubModel="Electronic">
         <Abstract>
{abstract}
         </Abstract>
      </Article>
   </MedlineCitation>
   <MeSH>
{mesh}
   </MeSH>
{images}
</eCitation>
"""
