"""Whether a cohort that a model is judged on was seen in its training: clean, exposed or unknown.

Three things are looked at, for every image of the evaluation:

1. what is known of the archives (`cohort/tables/exposure/archives.csv`): RSNA and SIIM are parts of ChestX-ray14;
2. ids, within a family of archives that share them: the image itself, or another one of the same patient. They are
   compared by `plain_values.comparable_ids`; if some patients of the training are named in a way that none here is,
   nothing is known of the others;
3. the pictures, if both sides are given as hashes (`image_hashes`): the same film under another name.

The reason of a clean image names what was compared, and says so if the pictures were not. An archive that is an unknown
part of another one counts as exposed to it. "clean" is said only of what can be known: an archive that the table does
not list is unknown until the pictures of both sides were compared, and so is everything if a part of the training is
not on record (`cohort.training_record`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Bool, Float32, UInt8, UInt64

from cohort._csv import read_strings
from cohort.value_tables import TABLES
from common.plain_values import comparable_ids, form_of, forms_of, plain_word

Stamp = Literal["clean", "exposed", "unknown"]

HASH_SIDE = 16
"""A hash compares 16 x 16 patches with two neighbours each: 512 bits."""
NEAR = 24
"""Hashes that differ in at most this many of 512 bits count as the same film.

255 real films, saved as JPEG of quality 60 at 224 pixels, differ from themselves in 7 bits (median; 95th percentile 20,
most 46). The nearest two of 32,000 real pairs of different patients differ in 76, but of the 2.4 million pairs that
the demo compares in 37: the more pairs, the nearer the nearest two. Copies that were saved poorly can be missed."""
CLEAN = "not seen in training; compared by archive"
"""Begins the reason of every clean image; `compared_by` says what else was compared"""
BY_IDS, BY_PICTURES, NO_PICTURES = ", image id and patient id", ", and by picture", "; pictures were not compared"

_ORDER: tuple[Stamp, ...] = ("clean", "unknown", "exposed")
_BLOCK = 4096
"""Hashes of either side compared at a time: bounds the memory to about 80 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """One side of the comparison."""

    images: pd.DataFrame
    """Cohort table with `dataset`, `image_id`, `subject_id`; `origin_image_id` where images have another name too. Of
    training images, `role` may say that some only "selected" the checkpoint, which exposes them as well."""
    hashes: UInt64[np.ndarray, "n 8"] | None = None
    """`image_hashes` of the images, in their order; None if the pictures were not looked at."""
    unrecorded: str = ""
    """Of training: a name for what was learnt from images that are not listed here, such as the weights that the
    training started from; "" if everything is listed."""

    def __post_init__(self) -> None:
        if self.hashes is not None and len(self.hashes) != len(self.images):
            raise ValueError(
                f"exposure: wanted one hash per image, found {len(self.hashes)} for {len(self.images)} images"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExposure:
    """What the comparison found."""

    stamp: Stamp
    """"exposed" if any image is, else "unknown" if any is, else "clean"."""
    images: pd.DataFrame
    """image_id, stamp and reason of every evaluated image, in their order."""

    @property
    def counts(self) -> dict[str, int]:
        """Images by reason, the most frequent first."""
        return {str(reason): int(count) for reason, count in self.images["reason"].value_counts().items()}

    def __str__(self) -> str:
        lines = [f"{count:,} images: {reason}" for reason, count in self.counts.items()]
        return "\n".join([f"exposure: {self.stamp}", *lines])


def check_exposure(evaluated: Cohort, trained: Sequence[Cohort]) -> TrainingExposure:
    """Return for every evaluated image whether a training cohort contains it, or its patient.

    Args:
        evaluated: The images that a model is judged on.
        trained: All cohorts that it was trained or selected on, as they were used (after any split).

    Raises:
        ValueError: No training cohort is given.
    """
    if not trained:
        raise ValueError("exposure: wanted the cohorts that the model was trained on, found none")
    ranks = np.zeros(len(evaluated.images), dtype=np.int64)
    reasons = _clean_reasons(evaluated, trained)
    for cohort in trained:
        for rows, stamp, reason in _all_evidence(evaluated, cohort):
            worse = rows & (ranks < _ORDER.index(stamp))
            ranks[worse] = _ORDER.index(stamp)
            reasons[worse] = reason
    image_ids = evaluated.images["image_id"].to_numpy()
    images = pd.DataFrame({"image_id": image_ids, "stamp": np.array(_ORDER)[ranks], "reason": reasons})
    return TrainingExposure(stamp=_ORDER[int(ranks.max(initial=0))], images=images)


def _clean_reasons(evaluated: Cohort, trained: Sequence[Cohort]) -> npt.NDArray[np.object_]:
    """Return for every evaluated image what "clean" would rest on: `compared_by`."""
    others = {str(name) for cohort in trained for name in cohort.images["dataset"].unique()}
    listed = [cohort for cohort in trained if len(cohort.images)]
    pictures = evaluated.hashes is not None and all(cohort.hashes is not None for cohort in listed)
    archives = _archives()

    def of(dataset: str) -> str:
        ids = any(
            dataset == other
            or (dataset in archives and other in archives and archives[dataset].family == archives[other].family)
            for other in others
        )
        return compared_by(ids=ids, pictures=pictures)

    return evaluated.images["dataset"].map(of).to_numpy(dtype=object)


def compared_by(*, ids: bool, pictures: bool) -> str:
    """Return the reason of a clean image, which names all that was compared and nothing else.

    Args:
        ids: Whether training has images of the same family of archives, so that their ids could be equal.
        pictures: Whether the pictures of both sides were compared.
    """
    return f"{CLEAN}{BY_IDS if ids else ''}{BY_PICTURES if pictures else NO_PICTURES}"


def image_hashes(images: UInt8[np.ndarray, "n h w"]) -> UInt64[np.ndarray, "n 8"]:
    """Return the difference hash of every image: 512 bits that survive another size, encoding or contrast.

    The image is averaged to 17 x 17 patches; the bits say whether a patch is darker than its neighbour to the right
    (first half) and below. Only the middle 80 % are looked at, since fitting a film to a square adds black borders.

    Source: the difference hash (dHash) of Krawetz, hackerfactor.com, 2013, in both directions and at 16 x 16.
    """
    n, height, width = images.shape
    middle = images[:, height // 10 : height - height // 10, width // 10 : width - width // 10]
    down, across = (np.linspace(0, side, HASH_SIDE + 2).astype(int) for side in middle.shape[1:])
    areas = np.diff(down)[:, None] * np.diff(across)

    # sums of patches from the corners of a table of running sums: one pass over the pixels
    corners = np.empty((n, len(down), len(across)), dtype=np.int64)
    for row, one in enumerate(middle):
        corners[row] = cv2.integral(np.ascontiguousarray(one))[np.ix_(down, across)]
    middle = np.diff(np.diff(corners, axis=1), axis=2) / areas  # (n, 17, 17)
    right = middle[:, :-1, 1:] > middle[:, :-1, :-1]
    below = middle[:, 1:, :-1] > middle[:, :-1, :-1]
    bits = np.concatenate([right.reshape(n, -1), below.reshape(n, -1)], axis=1)
    return np.packbits(bits, axis=1).view(np.uint64)


def near_duplicates(
    evaluated: UInt64[np.ndarray, "n 8"], trained: UInt64[np.ndarray, "m 8"], *, near: int = NEAR
) -> Bool[np.ndarray, " n"]:
    """Return which evaluated hashes differ from any of the others in at most `near` bits. All pairs are compared."""
    # bits as -1 and 1: the product of two hashes is 512 minus twice the number of bits that differ
    found = np.zeros(len(evaluated), dtype=bool)
    bits = 2 * HASH_SIDE * HASH_SIDE
    for first in range(0, len(trained), _BLOCK):
        theirs = _signs(trained[first : first + _BLOCK]).T
        for start in range(0, len(evaluated), _BLOCK):
            products = _signs(evaluated[start : start + _BLOCK]) @ theirs
            found[start : start + _BLOCK] |= products.max(axis=1) >= bits - 2 * near
    return found


def _signs(hashes: UInt64[np.ndarray, "n 8"]) -> Float32[np.ndarray, "n 512"]:
    bits = np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8), axis=1)
    return bits.astype(np.float32) * 2 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _ArchiveRow:
    """One row of the table of archives."""

    family: str
    """Archives that share images."""
    ids: str
    """Column that names an image alike in the whole family; "" where there is none."""


_Rows = npt.NDArray[np.bool_]
_WHERE = {"trained": "in training", "selected": "among those that chose the checkpoint"}


def _all_evidence(evaluated: Cohort, trained: Cohort) -> Iterator[tuple[_Rows, Stamp, str]]:
    """Yield `_evidence` of the images that were trained on, of those that selected, and of what is not on record."""
    if trained.unrecorded:
        everything = np.ones(len(evaluated.images), dtype=bool)
        yield everything, "unknown", f"what {trained.unrecorded} was trained on is not on record"
    roles = trained.images["role"] if "role" in trained.images else pd.Series("trained", index=trained.images.index)
    for role, where in _WHERE.items():
        rows = roles.eq(role).to_numpy()
        if rows.any():
            hashes = None if trained.hashes is None else trained.hashes[rows]
            yield from _evidence(evaluated, Cohort(images=trained.images[rows], hashes=hashes), where)


def _evidence(evaluated: Cohort, trained: Cohort, where: str) -> Iterator[tuple[_Rows, Stamp, str]]:
    """Yield what speaks against "clean": the evaluated images concerned, (n,), how they are stamped, and why."""
    pictures = evaluated.hashes is not None and trained.hashes is not None
    for dataset in evaluated.images["dataset"].unique():
        rows = evaluated.images["dataset"].eq(dataset).to_numpy()
        for other, training in trained.images.groupby("dataset"):
            images = evaluated.images[rows]
            for found, stamp, reason in _by_archive(
                str(dataset), str(other), images, training, pictures=pictures, where=where
            ):
                concerned = rows.copy()
                concerned[rows] = found
                yield concerned, stamp, reason
    if evaluated.hashes is not None and trained.hashes is not None:
        yield near_duplicates(evaluated.hashes, trained.hashes), "exposed", f"the same picture is {where}"


def _by_archive(
    dataset: str, other: str, images: pd.DataFrame, training: pd.DataFrame, *, pictures: bool, where: str
) -> Iterator[tuple[_Rows, Stamp, str]]:
    """Yield the evidence against images of one archive, given what is trained on of another one.

    Args:
        dataset: Archive of the evaluated images.
        other: Archive of the training images.
        images: The evaluated images.
        training: The training images.
        pictures: Whether the pictures are compared too.
        where: What the training images were used for, in words.
    """
    archives, dataset, other = _archives(), plain_word(dataset).casefold(), plain_word(other).casefold()
    everything = np.ones(len(images), dtype=bool)

    # An archive without a line in the table: only ids of the very same archive can be compared.
    for name in (other, dataset):
        if name not in archives:
            # images of a run without a cohort table have ids, but no archive
            if other in (dataset, ""):
                yield from _by_id(images["image_id"], training["image_id"], images, training, f"{where} ({other})")
            if not pictures:
                told = name or "without a name"
                yield everything, "unknown", f"nothing is known of the archive {told}; the pictures were not compared"
            return
    if archives[dataset].family != archives[other].family:
        return

    # Archives of one family share films: their own names for them are compared.
    mine, theirs = (_shared_ids(*one) for one in ((images, archives[dataset]), (training, archives[other])))
    named = mine.ne("").to_numpy()
    yield from _by_id(mine, theirs, images, training, f"{where} ({other})")

    # Films without such a name may be among those that were trained on.
    family = archives[dataset].family
    if not pictures:
        yield ~named, "exposed", f"taken from {family} like training ({other}), and nobody knows which images"
    yield ~named, "unknown", f"taken from {family} like training ({other}): no picture is the same, but patients may be"
    if theirs.eq("").any():
        yield named, "unknown", f"training has images of {family} without their names ({other})"


def _by_id(
    mine: pd.Series, theirs: pd.Series, images: pd.DataFrame, training: pd.DataFrame, where: str
) -> Iterator[tuple[_Rows, Stamp, str]]:
    """Yield the evidence of ids of one kind: the image itself, or another one of the same patient."""
    named = mine.ne("").to_numpy()
    is_same = comparable_ids(mine).isin(comparable_ids(theirs[theirs.ne("")]))
    yield named & is_same.to_numpy(), "exposed", f"the image is {where}"

    here, there = comparable_ids(images["subject_id"]), comparable_ids(training["subject_id"])
    patients = here.ne("").to_numpy() & here.isin(there).to_numpy()
    yield named & patients, "exposed", f"another image of the patient is {where}"
    ours, others = here[mine.ne("") & here.ne("")], there[theirs.ne("") & there.ne("")]
    # One patient in a form that no image here has may be any of those here.
    strange = others[~others.map(form_of).isin(forms_of(ours))] if len(ours) else others[:0]
    if len(strange):
        names = f"{ours.iloc[0]!r} here, {strange.iloc[0]!r} there"
        yield named, "unknown", f"patients of the same archive are named otherwise in training: {names}"


def _shared_ids(images: pd.DataFrame, listed: _ArchiveRow) -> "pd.Series[str]":
    if listed.ids and listed.ids in images:
        return images[listed.ids].astype(str)
    return pd.Series("", index=images.index, dtype=str)


def _archives() -> dict[str, _ArchiveRow]:
    table = read_strings(TABLES / "exposure" / "archives.csv", columns=["dataset", "family", "ids"], what="archives")
    rows = zip(table["dataset"], table["family"], table["ids"], strict=True)
    return {dataset: _ArchiveRow(family=family, ids=ids) for dataset, family, ids in rows}
