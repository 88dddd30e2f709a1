"""Which image goes with which text: joined by id, filtered by the cohort, every row left out counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt8

from cohort import FRONTAL_VIEWS, ImageStore, align, open_images, read_cohort, read_texts
from train.config import TrainConfig
from train.sentences import split_sentences

LFS_POINTER = "version https://git-lfs"


@runtime_checkable
class ImageSource(Protocol):
    """Anything that hands out square grey images by row, such as `cohort.ImageStore`."""

    def __len__(self) -> int: ...

    def read(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n h w"]:
        """Return the images of `rows`, grey levels 0..255."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayImages:
    """Images in memory as an `ImageSource`."""

    array: UInt8[np.ndarray, "n h w"]

    def __len__(self) -> int:
        return len(self.array)

    def read(self, rows: Int[np.ndarray, "m"]) -> UInt8[np.ndarray, "m h w"]:
        """Return the images of `rows`."""
        chosen: np.ndarray = self.array[rows]
        return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Images and their texts, ready to train on. Position i is pair i."""

    images: ImageSource
    """where pixels are read from"""
    rows: Int[np.ndarray, "n"]
    """row of each pair's image in `images`"""
    texts: Sequence[str]
    """report text of each pair, never empty"""
    left_out: dict[str, int] = field(default_factory=dict)
    """reason -> images left out, in the order of the filters"""
    notes: tuple[str, ...] = ()
    """what the user should know about the choice of pairs"""

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.texts):
            raise ValueError(f"one text per image wanted, found {len(self.rows)} images and {len(self.texts)} texts")
        refuse_identical(self.texts)

    def __len__(self) -> int:
        return len(self.rows)

    def shuffled(self, rng: np.random.Generator) -> "Pairs":
        """Return the pairs with the texts dealt out at random: the negative control."""
        order = rng.permutation(len(self))
        return replace(self, texts=[self.texts[i] for i in order], notes=(*self.notes, "texts are shuffled"))

    def describe(self) -> str:
        """Return what is trained on and what is not, one line each."""
        counts = "".join(f"\n  left out, {reason}: {count:,}" for reason, count in self.left_out.items() if count)
        return f"{len(self):,} image-text pairs{counts}" + "".join(f"\n  note: {note}" for note in self.notes)


def refuse_identical(texts: Sequence[str]) -> None:
    """Refuse texts that teach nothing.

    Raises:
        ValueError: no text at all, or the same one everywhere (as when reports are git-lfs pointers).
    """
    if not texts:
        raise ValueError("no image-text pairs are left to train on")
    if len(texts) > 1 and len(set(texts)) == 1:
        is_pointer = texts[0].startswith(LFS_POINTER)
        hint = "git-lfs pointers, run `git lfs pull`" if is_pointer else "there is nothing to learn"
        raise ValueError(f"all {len(texts)} texts are identical, {hint}: {texts[0][:80]!r}")


def load_pairs(config: TrainConfig) -> Pairs:
    """Return the pairs that a configuration names, from image store, texts and cohort.

    Images and texts are joined by id (`cohort.align`). Images whose text has no sentence are left out and counted, as
    are those of another split or view.

    Raises:
        FileNotFoundError: store or texts are missing.
        ValueError: ids that do not match, no rows, no row in the split, or identical texts everywhere.
    """
    store = open_images(config.cxr_filepath)
    texts = align(store.image_ids, read_texts(config.txt_filepath), n_images=len(store))["text"].tolist()
    keep = np.ones(len(store), dtype=bool)
    left_out: dict[str, int] = {}

    def leave_out(reason: str, mask: np.ndarray) -> None:
        left_out[reason] = int((keep & mask).sum())
        keep[mask] = False

    cohort, notes = cohort_of(store, config)
    if cohort is not None:
        other_split = (cohort["split"] != config.train_split).to_numpy()
        leave_out(f"split is not {config.train_split}", other_split)
        if other_split.all():
            found = ", ".join(repr(name) for name in sorted(set(cohort["split"])))
            raise ValueError(
                f"no image of {config.cohort_filepath} is in split {config.train_split!r}; found {found}. Name another "
                "with --train_split, or give the archive's table a column split (cohort.split_by_patient draws one)"
            )
        if config.views == "frontal":
            leave_out("view is not frontal", ~cohort["view"].isin(FRONTAL_VIEWS).to_numpy())
    leave_out("no text", np.array([not split_sentences(text) for text in texts]))
    rows = np.flatnonzero(keep)
    return Pairs(images=store, rows=rows, texts=[texts[row] for row in rows], left_out=left_out, notes=notes)


def cohort_of(store: ImageStore, config: TrainConfig) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """Return the cohort's rows in the order of the store, or None and a note why there is none."""
    if not config.cohort_filepath.is_file():
        return None, (f"no cohort at {config.cohort_filepath}: all images are used, whatever their split and view",)
    if store.image_ids is None:
        return None, ("the image store has no ids, so the cohort cannot be joined: all images are used",)
    cohort = read_cohort(config.cohort_filepath).set_index("image_id")
    missing = [image_id for image_id in store.image_ids if image_id not in cohort.index]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(store)} images of {config.cxr_filepath} are not in {config.cohort_filepath}:"
            f" {', '.join(missing[:3])}. Were both written by the same run of preprocess_train_data.py?"
        )
    return cohort.loc[store.image_ids], ()
