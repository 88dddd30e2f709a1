"""Miniatures of ChestX-ray14 and of the two challenges that took their films from it, RSNA and SIIM-ACR."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from common.atomic import write_text
from phantom.miniatures.file_formats import write_csv, write_dicom, write_png
from phantom.miniatures.miniature_population import MiniatureFilm, MiniaturePopulation

ENTRY_COLUMNS = (
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
    "OriginalImage[Width",
    "Height]",
    "OriginalImagePixelSpacing[x",
    "y]",
)
"""The brackets are split over columns in the archive too"""

_NAMES = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Lung Opacity": "Infiltration",
    "Pleural Effusion": "Effusion",
    "Pleural Other": "Pleural_Thickening",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
}
_RSNA_CLASSES = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
_SUSPICIOUS = frozenset({"Consolidation", "Lung Opacity", "Pneumonia"})
_RLE = "387620 23 996 33 986 43 977 51 968 58 962 65 956 70 952 74 949 76 946 79"
"""Runs counted from the end of the one before, in a film of 1024 x 1024"""


def write_nih(root: Path, population: MiniaturePopulation) -> None:
    """Write both editions of the table, the official lists, and PNG files of which every fifth is RGBA."""
    films = population.frontal_films()
    rows = [_entry(film, population) for film in films]

    table = pd.DataFrame(rows, columns=list(ENTRY_COLUMNS))
    write_csv(root / "Data_Entry_2017_v2020.csv", table)
    write_text(root / "Data_Entry_2017.csv", _first_edition(table))

    test = [str(row[0]) for row, film in zip(rows, films, strict=True) if _is_test(film)]
    others = [str(row[0]) for row, film in zip(rows, films, strict=True) if not _is_test(film)]
    write_text(root / "test_list.txt", "\n".join(test))
    write_text(root / "train_val_list.txt", "\n".join(others))

    for film in films:
        folder = root / f"images_{1 + film.number % 2:03d}" / "images"
        write_png(folder / nih_name(film), population.picture(film), kind="rgba" if film.number % 5 == 0 else "grey")


def write_rsna(root: Path, population: MiniaturePopulation) -> None:
    """Write boxes, classes, the mapping to ChestX-ray14 and DICOM files with age, sex and view in their headers."""
    films = population.frontal_films()
    boxes, classes, mapping = [], [], []
    for film in films:
        name, label = _rsna_id(film), _rsna_class(film)
        # Every other opacity is two boxes, hence two rows in both tables.
        n_boxes = (1 + film.number % 2) if label == _RSNA_CLASSES[0] else 0
        boxes += [(name, "264.0", "152.0", "213.0", "379.0", 1)] * n_boxes or [(name, "", "", "", "", 0)]
        classes += [(name, label)] * max(n_boxes, 1)

        origin = _entry(film, population)
        mapping.append({"subset_img_id": name, "img_id": origin[0], "orig_labels": str(origin[1]).split("|")})
        file = root / "stage_2_train_images" / f"{name}.dcm"
        write_dicom(file, population.picture(film), uid=film.number, fields=_header(film, patient_id=name))

    columns = ["patientId", "x", "y", "width", "height", "Target"]
    write_csv(root / "stage_2_train_labels.csv", pd.DataFrame(boxes, columns=columns))
    write_csv(root / "stage_2_detailed_class_info.csv", pd.DataFrame(classes, columns=["patientId", "class"]))
    write_text(root / "pneumonia-challenge-dataset-mappings_2018.json", json.dumps(mapping))


def write_siim(root: Path, population: MiniaturePopulation) -> None:
    """Write run lengths under " EncodedPixels", with the blank, and DICOM files in folders of study and series."""
    rows = []
    for film in population.frontal_films():
        name = f"1.2.276.0.7230010.3.1.4.8323329.{film.number}.1517875{film.study.study_id % 1000000}.{film.number}"
        outlines = (1 + film.number % 2) if "Pneumothorax" in film.findings else 0
        rows += [(name, f" {_RLE}")] * outlines or [(name, " -1")]
        series = root / "dicom-images-train" / name.replace(".4.", ".2.", 1) / name.replace(".4.", ".3.", 1)
        header = _header(film, patient_id=name)
        write_dicom(series / f"{name}.dcm", population.picture(film), uid=film.number, fields=header)
    write_csv(root / "train-rle.csv", pd.DataFrame(rows, columns=["ImageId", " EncodedPixels"]))


def nih_name(film: MiniatureFilm) -> str:
    """Return the file name that ChestX-ray14 gives a film: patient, then the film's number within the patient."""
    earlier = sum(
        image.view != "LATERAL" for study in film.patient.studies[: film.study_number - 1] for image in study.images
    )
    return f"{film.patient_number:08d}_{earlier + film.image_number - 1:03d}.png"


def nih_labels(film: MiniatureFilm, population: MiniaturePopulation) -> list[str]:
    """Return the words of "Finding Labels", in alphabetical order."""
    found = {_NAMES[finding] for finding in film.findings if finding in _NAMES}
    if "Lung Lesion" in film.findings:
        found.add(str(population.rng(film, 1).choice(["Mass", "Nodule"])))
    return sorted(found) or ["No Finding"]


def _entry(film: MiniatureFilm, population: MiniaturePopulation) -> tuple[str | int | float, ...]:
    return (
        nih_name(film),
        "|".join(nih_labels(film, population)),
        film.study_number - 1,
        film.patient_number,
        film.age_years,
        film.study.person.sex,
        film.image.view,
        2544,
        3056,
        0.139,
        0.139,
    )


def _first_edition(table: pd.DataFrame) -> str:
    """Return the table of 2017: ages as DICOM texts, padded ids, and a comma at the end of every line."""
    first = table.copy()
    first["Patient Age"] = first["Patient Age"].map("{:03d}Y".format)
    first["Patient ID"] = first["Patient ID"].map("{:08d}".format)
    # A child's age is in months there, and a few ages are impossible.
    first.loc[0, "Patient Age"], first.loc[1, "Patient Age"] = "013M", "414Y"
    return first.to_csv(index=False, lineterminator=",\n")


def _is_test(film: MiniatureFilm) -> bool:
    return film.patient_number % 3 == 0


def _rsna_id(film: MiniatureFilm) -> str:
    parts = [f"{part:08x}" for part in np.random.default_rng([film.study.study_id, film.number]).integers(0, 2**32, 4)]
    joined = "".join(parts)
    return "-".join([joined[:8], joined[8:12], joined[12:16], joined[16:20], joined[20:]])


def _rsna_class(film: MiniatureFilm) -> str:
    if film.findings & _SUSPICIOUS:
        return _RSNA_CLASSES[0]
    return _RSNA_CLASSES[2] if "No Finding" in film.findings else _RSNA_CLASSES[1]


def _header(film: MiniatureFilm, *, patient_id: str) -> dict[str, str]:
    return {
        "PatientID": patient_id,
        "PatientAge": f"{film.age_years}",
        "PatientSex": film.study.person.sex,
        "ViewPosition": film.image.view,
        "ConversionType": "WSD",
    }
