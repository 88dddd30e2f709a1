"""A miniature of PadChest: 36 columns, lists of terms as Python writes them, stemmed Spanish, 16-bit PNG files."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from phantom.miniatures.file_formats import write_csv, write_png
from phantom.miniatures.miniature_population import MiniatureFilm, MiniaturePopulation

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
COLUMNS = (
    "",
    "ImageID",
    "ImageDir",
    "StudyDate_DICOM",
    "StudyID",
    "PatientID",
    "PatientBirth",
    "PatientSex_DICOM",
    "ViewPosition_DICOM",
    "Projection",
    "MethodProjection",
    "Pediatric",
    "Modality_DICOM",
    "Manufacturer_DICOM",
    "PhotometricInterpretation_DICOM",
    "PixelRepresentation_DICOM",
    "PixelAspectRatio_DICOM",
    "SpatialResolution_DICOM",
    "BitsStored_DICOM",
    "WindowCenter_DICOM",
    "WindowWidth_DICOM",
    "Rows_DICOM",
    "Columns_DICOM",
    "XRayTubeCurrent_DICOM",
    "Exposure_DICOM",
    "ExposureInuAs_DICOM",
    "ExposureTime",
    "RelativeXRayExposure_DICOM",
    "ReportID",
    "Report",
    "MethodLabel",
    "Labels",
    "Localizations",
    "LabelsLocalizationsBySentence",
    "labelCUIS",
    "LocalizationsCUIS",
)
"""The first has no name: it is the row number of the authors' own table"""

TERMS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "Atelectasis": ("laminar atelectasis", "atelectasi lamin"),
        "Cardiomegaly": ("cardiomegaly", "cardiomegali"),
        "Consolidation": ("consolidation", "consolidacion"),
        "Edema": ("pulmonary edema", "edem pulmon"),
        "Enlarged Cardiomediastinum": ("mediastinal enlargement", "ensanch mediastin"),
        "Fracture": ("rib fracture", "fractur costal"),
        "Lung Lesion": ("nodule", "nodul"),
        "Lung Opacity": ("infiltrates", "infiltr"),
        "Pleural Effusion": ("pleural effusion", "derram pleural"),
        "Pleural Other": ("pleural thickening", "engros pleural"),
        "Pneumonia": ("pneumonia", "neumoni"),
        "Pneumothorax": ("pneumothorax", "neumotorax"),
        "Support Devices": ("central venous catheter", "cateter venos central"),
        "No Finding": ("normal", "sin hallazg patolog"),
    }
)
"""CheXpert's name -> PadChest's term, and a stemmed Spanish phrase for the report"""

_PROJECTIONS = {"PA": "PA", "AP": "AP_horizontal", "LATERAL": "L"}
_POSITIONS = {"PA": "POSTEROANTERIOR", "AP": "ANTEROPOSTERIOR", "LATERAL": "LATERAL"}


def write_padchest(root: Path, population: MiniaturePopulation) -> None:
    """Write the table and the images in numbered folders.

    Of every nine films one has no list of labels, one an empty term in it, and one no projection but its DICOM view.
    """
    rows = []
    for film in population.films():
        row = _row(film, population)
        rows.append(row)
        write_png(root / str(row["ImageDir"]) / str(row["ImageID"]), population.picture(film), kind="12 bit")
    write_csv(root / TABLE, pd.DataFrame(rows, columns=list(COLUMNS)))


def _row(film: MiniatureFilm, population: MiniaturePopulation) -> dict[str, object]:
    study = f"2168403{film.study.study_id}"
    year = 2009 + film.number % 9
    terms = [TERMS[finding][0] for finding in TERMS if finding in film.findings]
    # The oddities of the list: missing, or with an empty term in it; everywhere else each term begins with a blank.
    labels = {3: "", 4: str(["", *terms])}.get(film.number % 9, str([f" {term}" for term in terms]))
    height, width = population.picture(film).shape

    known: dict[str, object] = {
        "": film.number - 1,
        "ImageID": f"{study}_{film.number:02d}-{film.image_number:03d}-084.png",
        "ImageDir": film.number % 3,
        "StudyDate_DICOM": f"{year}0915",
        "StudyID": study,
        "PatientID": f"{film.patient.subject_id}{film.patient_number:04d}",
        "PatientBirth": f"{year - film.age_years}.0",
        "PatientSex_DICOM": "" if film.patient_number == 2 else film.study.person.sex,
        "ViewPosition_DICOM": _POSITIONS[film.image.view],
        "Projection": "" if film.number % 9 == 5 else _PROJECTIONS[film.image.view],
        "MethodProjection": "Manual review of DICOM fields",
        "Pediatric": "PED" if film.age_years < 18 else "No",
        "Modality_DICOM": "CR",
        "Manufacturer_DICOM": "ImagingDynamicsCompanyLtd",
        "PhotometricInterpretation_DICOM": "MONOCHROME2",
        "PixelRepresentation_DICOM": 0,
        "BitsStored_DICOM": 12,
        "WindowCenter_DICOM": 2048,
        "WindowWidth_DICOM": 4096,
        "Rows_DICOM": height,
        "Columns_DICOM": width,
        "ReportID": film.study.study_id,
        "Report": " . ".join(TERMS[finding][1] for finding in TERMS if finding in film.findings),
        "MethodLabel": "Physician" if film.patient_number % 4 == 0 else "RNN_model",
        "Labels": labels,
        "Localizations": "[]",
        "LabelsLocalizationsBySentence": labels,
        "labelCUIS": "[]",
        "LocalizationsCUIS": "[]",
    }

    # Columns that the phantom knows nothing about stay blank.
    return {column: known.get(column, "") for column in COLUMNS}
