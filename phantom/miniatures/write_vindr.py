"""Miniatures of VinDr-CXR, with three readers who do not always agree, and of VinDr-PCXR, with children."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from phantom.miniatures.file_formats import write_csv, write_dicom
from phantom.miniatures.miniature_population import MiniatureFilm, MiniaturePopulation

CXR_LABELS = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Clavicle fracture",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift",
    "Nodule/Mass",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "Rib fracture",
    "Other lesion",
    "COPD",
    "Lung tumor",
    "Pneumonia",
    "Tuberculosis",
    "Other diseases",
    "No finding",
)
PCXR_LABELS = (
    "No finding",
    "Bronchitis",
    "Brocho-pneumonia",
    "Other disease",
    "Bronchiolitis",
    "Situs inversus",
    "Pneumonia",
    "Pleuro-pneumonia",
    "Diagphramatic hernia",
    "Tuberculosis",
    "Congenital emphysema",
    "CPAM",
    "Hyaline membrane disease",
    "Mediastinal tumor",
    "Lung tumor",
)
_CXR_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "Atelectasis": "Atelectasis",
        "Cardiomegaly": "Cardiomegaly",
        "Consolidation": "Consolidation",
        "Edema": "Edema",
        "Fracture": "Rib fracture",
        "Lung Lesion": "Nodule/Mass",
        "Lung Opacity": "Lung Opacity",
        "Pleural Effusion": "Pleural effusion",
        "Pleural Other": "Pleural thickening",
        "Pneumonia": "Pneumonia",
        "Pneumothorax": "Pneumothorax",
    }
)
_PCXR_NAMES: Mapping[str, str] = MappingProxyType(
    {"Pneumonia": "Pneumonia", "Consolidation": "Brocho-pneumonia", "Lung Opacity": "Bronchiolitis"}
)
_READERS = 17


def write_vindr_cxr(root: Path, population: MiniaturePopulation) -> None:
    """Write annotations/, with three rows per training image, and DICOM files, most of them without an age."""
    films = _pa_films(population)
    train, test = _halves(films)
    rows = [row for film in train for row in _readings(film, population)]
    columns = ["image_id", "rad_id", *CXR_LABELS]
    write_csv(root / "annotations" / "image_labels_train.csv", pd.DataFrame(rows, columns=columns))

    consensus = [(image_id(film), *_marks(_shown(film, _CXR_NAMES, "No finding"), CXR_LABELS)) for film in test]
    # The test table spells one column differently.
    columns = ["image_id", *("Other disease" if name == "Other diseases" else name for name in CXR_LABELS)]
    write_csv(root / "annotations" / "image_labels_test.csv", pd.DataFrame(consensus, columns=columns))

    for film in films:
        age = f"{film.age_years:03d}Y" if film.number % 3 == 0 else ""
        folder = "train" if film in train else "test"
        _write_film(root / folder, film, population, age=age)


def write_vindr_pcxr(root: Path, population: MiniaturePopulation) -> None:
    """Write the tables beside train/ and test/, one reader per film, ages in years, months or days."""
    films = _pa_films(population)
    parts = dict(zip(("train", "test"), _halves(films), strict=True))
    for name, members in parts.items():
        rows = [
            (image_id(film), f"R{1 + film.number % 3}", *_marks(_shown(film, _PCXR_NAMES, "No finding"), PCXR_LABELS))
            for film in members
        ]
        table = pd.DataFrame(rows, columns=["image_id", "rad_ID", *PCXR_LABELS])
        write_csv(root / f"image_labels_{name}.csv", table)
        for film in members:
            age = ("003Y", "007M", "021D", "")[film.number % 4]
            _write_film(root / name, film, population, age=age)


def image_id(film: MiniatureFilm) -> str:
    """Return 32 hexadecimal digits."""
    parts = np.random.default_rng([film.study.study_id, film.image_number, 7]).integers(0, 2**32, 4)
    return "".join(f"{part:08x}" for part in parts)


def _pa_films(population: MiniaturePopulation) -> list[MiniatureFilm]:
    return list(population.films(keep=lambda image: image.view == "PA"))


def _halves(films: Sequence[MiniatureFilm]) -> tuple[list[MiniatureFilm], list[MiniatureFilm]]:
    """Return five of six films for training and the sixth for the test, as in the archive; of fewer, the last one."""
    test = [film for film in films if film.number % 6 == 0] or list(films[-1:])
    return [film for film in films if film not in test], test


def _shown(film: MiniatureFilm, names: Mapping[str, str], nothing: str) -> set[str]:
    return {names[finding] for finding in film.findings if finding in names} or {nothing}


def _marks(found: set[str], labels: Sequence[str]) -> list[int]:
    return [int(label in found) for label in labels]


def _readings(film: MiniatureFilm, population: MiniaturePopulation) -> list[tuple[str | int, ...]]:
    """Return what three readers say: two see what is there, the third adds a calcification or misses everything."""
    rng = population.rng(film, 3)
    shown = _shown(film, _CXR_NAMES, "No finding")
    third = {"No finding"} if rng.random() < 0.5 else (shown - {"No finding"}) | {"Calcification"}
    opinions = [shown, shown, third]
    readers = rng.choice(_READERS, 3, replace=False) + 1
    return [
        (image_id(film), f"R{reader}", *_marks(opinion, CXR_LABELS))
        for reader, opinion in zip(readers, opinions, strict=True)
    ]


def _write_film(folder: Path, film: MiniatureFilm, population: MiniaturePopulation, *, age: str) -> None:
    fields = {"PatientSex": film.study.person.sex if film.number % 5 else "O"} | ({"PatientAge": age} if age else {})
    inverted = film.number % 2 == 0
    path = folder / f"{image_id(film)}.dicom"
    write_dicom(path, population.picture(film), uid=film.number, inverted=inverted, fields=fields)
