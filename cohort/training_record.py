"""The record of what a model learnt from: one row per image, beside its checkpoints.

`trained_on.csv.gz` has the columns

    dataset, image_id, subject_id   as in the cohort table; dataset and subject_id are blank in a run without one
    origin_image_id                 the image's name in the archive that it was taken from; "" where there is none
    role                            trained, or selected: a validation image that chose the checkpoint or the settings
    hash                            `exposure.image_hashes` as 128 hexadecimal digits; "" if the picture was not hashed

One more row with the role "unrecorded" and the name of some weights in `dataset` says that the training started from
these and that it is unknown what they had seen.
"""

import gzip
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import UInt64

from cohort._csv import read_strings, some
from cohort.exposure import Cohort
from common.atomic import write_whole

TRAINED_ON = "trained_on.csv.gz"
"""Name of the file in a run's folder."""
Role = Literal["trained", "selected"]
ROLES: tuple[Role, ...] = ("trained", "selected")

_UNRECORDED = "unrecorded"
_IDS = ("dataset", "image_id", "subject_id")
_COLUMNS = (*_IDS, "origin_image_id", "role", "hash")
_HASH_BYTES = 64
_HEX = rf"[0-9a-f]{{{2 * _HASH_BYTES}}}"


def write_trained_on(
    path: Path | str, images: pd.DataFrame, hashes: UInt64[np.ndarray, "n 8"] | None = None, *, unrecorded: str = ""
) -> None:
    """Write the record of a run, whole or not at all; equal records are equal bytes.

    Args:
        path: The file; `TRAINED_ON` in the folder of the run is where it is looked for.
        images: `dataset`, `image_id`, `subject_id` and `role` of every image (see `ROLES`), and `origin_image_id` where
            the archive has it, such as the cohort rows of the run. Other columns are left out. An image may have both
            roles.
        hashes: `exposure.image_hashes` of the pictures as the model saw them, in the same order.
        unrecorded: Name of the weights that training started from, if what they were trained on is not in `images`.

    Raises:
        ValueError: A column is missing, an id is blank, a role is none of `ROLES`, or not one hash per image.
    """
    missing = [name for name in (*_IDS, "role") if name not in images]
    if missing:
        raise ValueError(f"{path}: wanted the columns {some((*_IDS, 'role'))}, found no {some(missing)}")
    strange = images.loc[~images["role"].isin(ROLES), "role"].unique()
    if len(strange):
        raise ValueError(f"{path}: wanted the roles {some(ROLES)}, found {some(strange)}")
    # patients and archive are blank where training had no cohort table
    is_unknown = images["dataset"].fillna("").eq("")
    blank = images["image_id"].fillna("").eq("") | (images["subject_id"].fillna("").eq("") & ~is_unknown)
    if blank.any():
        raise ValueError(f"{path}: wanted image_id and subject_id of every image, found {int(blank.sum())} without")
    if hashes is not None and len(hashes) != len(images):
        raise ValueError(f"{path}: wanted one hash per image, found {len(hashes)} for {len(images)} images")

    frame = images.reindex(columns=list(_COLUMNS[:-1]), fill_value="").fillna("")
    frame = frame.assign(hash="" if hashes is None else _to_hex(hashes))
    if unrecorded:
        start = dict.fromkeys(_COLUMNS, "") | {"dataset": unrecorded, "role": _UNRECORDED}
        frame = pd.concat([frame, pd.DataFrame([start])], ignore_index=True)
    if frame.empty:
        raise ValueError(f"{path}: wanted the images that were trained on, found none")

    # No time in the header of the compressed file: equal records are equal bytes.
    with write_whole(path) as temporary:
        content = frame.to_csv(index=False, lineterminator="\n").encode()
        temporary.write_bytes(gzip.compress(content, mtime=0))


def read_trained_on(path: Path | str) -> Cohort:
    """Return a record as one side of `exposure.check_exposure`; its `images` have the column `role`.

    A table without roles will do, such as the cohort table of an archive that was trained on as a whole.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A column is missing, a role or a hash is none, or only some of the images are hashed.
    """
    frame = read_strings(path, columns=_IDS, only=_COLUMNS, what="the record of training")
    if "role" not in frame:
        frame["role"] = ROLES[0]
    frame = frame.reindex(columns=list(_COLUMNS), fill_value="")
    strange = frame.loc[~frame["role"].isin([*ROLES, _UNRECORDED]), "role"].unique()
    if len(strange):
        raise ValueError(f"the record of training: {path}: wanted the roles {some(ROLES)}, found {some(strange)}")
    starts = frame.loc[frame["role"].eq(_UNRECORDED), "dataset"]
    images = frame[frame["role"].ne(_UNRECORDED)].reset_index(drop=True)
    return Cohort(
        images=images.drop(columns="hash"),
        hashes=_from_hex(images["hash"], path),
        unrecorded=" and ".join(starts),
    )


def _to_hex(hashes: UInt64[np.ndarray, "n 8"]) -> list[str]:
    # Big-endian, so that the digits do not depend on the machine.
    return [row.tobytes().hex() for row in hashes.astype(">u8")]


def _from_hex(texts: pd.Series, path: Path | str) -> UInt64[np.ndarray, "n 8"] | None:
    if texts.eq("").all():
        return None
    wrong = ~texts.str.fullmatch(_HEX)
    if wrong.any():
        raise ValueError(
            f"the record of training: {path}: wanted a hash of {2 * _HASH_BYTES} hexadecimal digits for every image or "
            f"for none, found {some(texts[wrong].unique(), 2)}"
        )
    digits = bytes.fromhex("".join(texts))
    return np.frombuffer(digits, dtype=">u8").astype(np.uint64).reshape(-1, _HASH_BYTES // 8)
