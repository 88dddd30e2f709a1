"""Miniatures of VinDr-CXR, with three readers who do not always agree, and of VinDr-PCXR, with children."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from phantom.miniatures.cast import Cast, Shot
from phantom.miniatures.tiny_files import write_csv, write_dicom

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


def write_vindr_cxr(root: Path, cast: Cast) -> None:
    """Write annotations/, with three rows per training image, and DICOM files, most of them without an age."""
    shots = _pa_films(cast)
    train, test = _halves(shots)
    rows = [row for shot in train for row in _readings(shot, cast)]
    columns = ["image_id", "rad_id", *CXR_LABELS]
    write_csv(root / "annotations" / "image_labels_train.csv", pd.DataFrame(rows, columns=columns))

    consensus = [(image_id(shot), *_marks(_shown(shot, _CXR_NAMES, "No finding"), CXR_LABELS)) for shot in test]
    # The test table spells one column differently.
    columns = ["image_id", *("Other disease" if name == "Other diseases" else name for name in CXR_LABELS)]
    write_csv(root / "annotations" / "image_labels_test.csv", pd.DataFrame(consensus, columns=columns))

    for shot in shots:
        age = f"{shot.age_years:03d}Y" if shot.number % 3 == 0 else ""
        folder = "train" if shot in train else "test"
        _write_film(root / folder, shot, cast, age=age)


def write_vindr_pcxr(root: Path, cast: Cast) -> None:
    """Write the tables beside train/ and test/, one reader per film, ages in years, months or days."""
    shots = _pa_films(cast)
    parts = dict(zip(("train", "test"), _halves(shots), strict=True))
    for name, members in parts.items():
        rows = [
            (image_id(shot), f"R{1 + shot.number % 3}", *_marks(_shown(shot, _PCXR_NAMES, "No finding"), PCXR_LABELS))
            for shot in members
        ]
        table = pd.DataFrame(rows, columns=["image_id", "rad_ID", *PCXR_LABELS])
        write_csv(root / f"image_labels_{name}.csv", table)
        for shot in members:
            age = ("003Y", "007M", "021D", "")[shot.number % 4]
            _write_film(root / name, shot, cast, age=age)


def image_id(shot: Shot) -> str:
    """Return 32 hexadecimal digits."""
    parts = np.random.default_rng([shot.study.study_id, shot.image_number, 7]).integers(0, 2**32, 4)
    return "".join(f"{part:08x}" for part in parts)


def _pa_films(cast: Cast) -> list[Shot]:
    return list(cast.shots(keep=lambda image: image.view == "PA"))


def _halves(shots: Sequence[Shot]) -> tuple[list[Shot], list[Shot]]:
    """Return five of six films for training and the sixth for the test, as in the archive; of fewer, the last one."""
    test = [shot for shot in shots if shot.number % 6 == 0] or list(shots[-1:])
    return [shot for shot in shots if shot not in test], test


def _shown(shot: Shot, names: Mapping[str, str], nothing: str) -> set[str]:
    return {names[finding] for finding in shot.findings if finding in names} or {nothing}


def _marks(found: set[str], labels: Sequence[str]) -> list[int]:
    return [int(label in found) for label in labels]


def _readings(shot: Shot, cast: Cast) -> list[tuple[str | int, ...]]:
    """Return what three readers say: two see what is there, the third adds a calcification or misses everything."""
    rng = cast.rng(shot, 3)
    shown = _shown(shot, _CXR_NAMES, "No finding")
    third = {"No finding"} if rng.random() < 0.5 else (shown - {"No finding"}) | {"Calcification"}
    opinions = [shown, shown, third]
    readers = rng.choice(_READERS, 3, replace=False) + 1
    return [
        (image_id(shot), f"R{reader}", *_marks(opinion, CXR_LABELS))
        for reader, opinion in zip(readers, opinions, strict=True)
    ]


def _write_film(folder: Path, shot: Shot, cast: Cast, *, age: str) -> None:
    fields = {"PatientSex": shot.study.person.sex if shot.number % 5 else "O"} | ({"PatientAge": age} if age else {})
    inverted = shot.number % 2 == 0
    path = folder / f"{image_id(shot)}.dicom"
    write_dicom(path, cast.picture(shot), uid=shot.number, inverted=inverted, fields=fields)
