"""A miniature of Open-i: reports as XML in one compressed file, PNG files, and the two tables that others derived."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from xml.sax.saxutils import escape

import pandas as pd

from phantom.miniatures.cast import Cast, Shot
from phantom.miniatures.tiny_files import write_csv, write_png, write_tgz

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

_HEADING = re.compile(r"\n ([A-Z ]+):")
_LABELS = ("COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION")
_CAPTIONS = {True: "Xray Chest PA and Lateral", False: "Chest, AP portable"}


def write_openi(root: Path, cast: Cast) -> None:
    """Write the reports, the images and the tables.

    The last report has no image, the fourth was not indexed, and a cardiomegaly of every fifth is borderline. In the
    DICOM table every third image has no view.
    """
    studies: dict[int, list[Shot]] = {}
    for shot in cast.shots():
        studies.setdefault(shot.study.study_id, []).append(shot)

    files, headers, projections = {}, [], []
    for uid, shots in enumerate(studies.values(), start=1):
        without_image = uid == len(studies)
        files[f"ecgen-radiology/{uid}.xml"] = _xml(uid, [] if without_image else shots, cast, first=shots[0])
        for shot in [] if without_image else shots:
            name = _image_name(uid, shot)
            picture = cast.picture(shot)
            write_png(root / "NLMCXR_png" / f"{name}.png", picture)
            headers.append((name, *_header(shot), "MONOCHROME2", 12, *picture.shape))
            projection = "Lateral" if shot.image.view == "LATERAL" else "Frontal"
            projections.append((uid, f"{name.split('_', 1)[1]}.dcm.png", projection))

    write_tgz(root / "NLMCXR_reports.tgz", files)
    write_csv(root / "nlmcxr_dicom_metadata.csv.gz", pd.DataFrame(headers, columns=list(HEADER_COLUMNS)))
    write_csv(root / "indiana_projections.csv", pd.DataFrame(projections, columns=["uid", "filename", "projection"]))


def _header(shot: Shot) -> tuple[str, str, str, str]:
    view = "" if shot.number % 3 == 0 else shot.image.view
    return f"{2013 - shot.age_years}0801", "20130801", shot.study.person.sex, view


def _image_name(uid: int, shot: Shot) -> str:
    return f"CXR{uid}_1_IM-{shot.number:04d}-{shot.image_number}001"


def _terms(uid: int, shot: Shot) -> list[str]:
    if uid == 4:
        return ["No Indexing"]
    terms = [TERMS[finding] for finding in TERMS if finding in shot.findings]
    if uid % 5 == 0:
        terms = ["Cardiomegaly/borderline", *(term for term in terms if not term.startswith(("Cardiom", "normal")))]
    return terms or ["Spine/degenerative"]


def _xml(uid: int, shots: Sequence[Shot], cast: Cast, *, first: Shot) -> str:
    parts = _HEADING.split(cast.report(first).text)
    found = {heading.strip(): " ".join(body.split()) for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    portable = any(shot.image.view == "AP" for shot in shots)
    texts = {label: escape(found.get(label, "").replace("___", "XXXX")) for label in _LABELS}

    # Anonymised words are "XXXX" here, "___" in MIMIC.
    abstract = "\n".join(
        f'            <AbstractText Label="{label}">{text}</AbstractText>' for label, text in texts.items()
    )
    mesh = "\n".join(f"      <major>{escape(term)}</major>" for term in _terms(uid, first))
    images = "\n".join(
        f'   <parentImage id="{_image_name(uid, shot)}">\n      <figureId>F{number}</figureId>\n'
        f"      <caption>{_CAPTIONS[not portable]}</caption>\n   </parentImage>"
        for number, shot in enumerate(shots, start=1)
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
