"""The list of images that defines an evaluation, such as CheXpert 5x200: read, checked and hashed.

Such lists are drawn at random once and then passed on. Two results are comparable only if their lists are equal, so
`spec.json` records the hash of the list, and a file beside the list can freeze it.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cohort import read_labels
from cohort.sources.chexpert import ids_of
from zero_shot.protocols.protocol import Labels


def read_image_list(path: Path, labels: Labels, classes: Sequence[str]) -> pd.DataFrame:
    """Return the list as labels: index `image_id`, one column per class in {1, 0}, exactly one of them 1 in a row.

    The file has one column per class, by name, and its images in `image_id` or, as in CheXpert, in `Path`. Anything but
    1 counts as 0: the list gives the class an image was chosen for, not what else it shows.

    Args:
        path: the CSV file.
        labels: number of images per class, and the hash if one is known.
        classes: the columns.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another size, an image that is listed twice or has no class or several; a hash that differs from the
            protocol's, or from the one in the file `NAME.sha256` beside the list.
    """
    header = pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns if path.is_file() else ()
    by_path = "image_id" not in header
    listed = read_labels(path, classes, id_column="Path" if by_path else "image_id").eq(1.0).astype("float64")
    if by_path:
        listed.index = pd.Index(ids_of(pd.Series(listed.index, dtype=str))["image_id"])
    _refuse_other_size(path, listed, labels.per_class)
    _refuse_other_hash(path, listed, labels.sha256)
    return listed


def list_hash(listed: pd.DataFrame) -> str:
    """Return the SHA-256 of the sorted lines "image_id,class": the same for any order of rows and any folder."""
    lines = sorted(f"{image_id},{name}\n" for image_id, name in listed.idxmax(axis=1).items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _refuse_other_size(path: Path, listed: pd.DataFrame, per_class: int) -> None:
    """Refuse repeated images, images without exactly one class, and classes of another size."""
    repeated = listed.index[listed.index.duplicated()]
    if len(repeated):
        raise ValueError(f"{path}: {len(repeated)} images are listed twice, first {repeated[0]}")
    unclear = listed.index[listed.sum(axis=1).ne(1)]
    if len(unclear):
        raise ValueError(f"{path}: wanted one class per image; {len(unclear)} have none or several, first {unclear[0]}")
    counts = listed.sum().astype(int)
    if counts.ne(per_class).any():
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ValueError(f"{path}: wanted {per_class} images of every class, found {found}")


def _refuse_other_hash(path: Path, listed: pd.DataFrame, wanted: str) -> None:
    """Refuse a list other than the frozen one."""
    beside = path.with_name(f"{path.name}.sha256")
    frozen = [(wanted, "the protocol")] if wanted else []
    if beside.is_file():
        frozen.append((beside.read_text(encoding="utf-8").strip().split(" ")[0], str(beside)))
    # the hash of the file's bytes, as by `sha256sum`, is accepted too
    found = (list_hash(listed), hashlib.sha256(path.read_bytes()).hexdigest())
    for expected, source in frozen:
        if expected not in found:
            raise ValueError(
                f"{path} is not the frozen list: {source} wants {expected}, its images and classes hash to "
                f"{found[0]}; results on the two lists cannot be compared"
            )
