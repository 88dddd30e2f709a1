"""Image-text pairs: images and reports joined by id and filtered by the cohort; excluded images counted by reason."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from cohort import FINDINGS, FRONTAL_VIEWS, ImageStore, align, open_images, read_cohort, read_texts
from cohort.image_reader import CONSTANT, ImageReader, constant_images
from cohort.report_sentences import distinct_sentences
from train.train_config import TrainConfig

LFS_POINTER = "version https://git-lfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Images and their texts, ready to train on. Position i is pair i."""

    images: ImageReader
    """Source of the pixels"""
    rows: Int[np.ndarray, "n"]
    """Row in `images` of each pair"""
    texts: Sequence[str]
    """Report text of each pair, never empty"""
    second_texts: Sequence[str] | None = None
    """Second text of each pair, empty for an image without one; None: no image has one"""
    study_ids: Sequence[str] | None = None
    """Study of each pair; None: not known"""
    labels: Float[np.ndarray, "n c"] | None = None
    """Report labels of each pair (1, 0, -1, NaN) for soft targets; None: not known"""
    cohort: pd.DataFrame | None = None
    """Cohort row of each pair; None: not known"""
    image_ids: Sequence[str] | None = None
    """Image id of each pair; None: not known"""
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> excluded images, in the order of the filters"""
    notes: tuple[str, ...] = ()
    """Notes for the user about the choice of pairs"""

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.texts):
            raise ValueError(f"one text per image wanted, found {len(self.rows)} images and {len(self.texts)} texts")
        for name in ("second_texts", "study_ids", "labels", "cohort", "image_ids"):
            more = getattr(self, name)
            if more is not None and len(more) != len(self.rows):
                raise ValueError(f"{name} of each image wanted, found {len(self.rows)} images and {len(more)} {name}")
        refuse_identical(self.texts)

    def __len__(self) -> int:
        return len(self.rows)

    def shuffled(self, rng: np.random.Generator) -> "Pairs":
        """Return the pairs with texts and labels permuted together at random: the negative control."""
        order = rng.permutation(len(self))
        second = None if self.second_texts is None else [self.second_texts[i] for i in order]
        return replace(
            self,
            texts=[self.texts[i] for i in order],
            second_texts=second,
            labels=None if self.labels is None else self.labels[order],
            notes=(*self.notes, "texts are shuffled"),
        )

    def study_numbers(self) -> Int[np.ndarray, "n"] | None:
        """Return a number for the study of each pair, None if no study is known; a blank study is a study of its own.

        Studies of different patients differ, because some archives count studies anew for each patient.
        """
        if self.study_ids is None:
            return None
        known = pd.DataFrame({"study": self.study_ids}).astype(str)
        if self.cohort is not None:
            known["patient"] = self.cohort["subject_id"].astype(str).to_numpy()

        numbers = known.groupby(list(known.columns)).ngroup().to_numpy(np.int64)
        is_blank = known["study"].str.strip().isin(("", "nan", "<NA>")).to_numpy()
        return np.where(is_blank, len(self) + np.arange(len(self)), numbers)

    def describe(self) -> str:
        """Return the number of pairs, excluded images and notes, one line each."""
        counts = "".join(f"\n  left out, {reason}: {count:,}" for reason, count in self.left_out.items() if count)
        return f"{len(self):,} image-text pairs{counts}" + "".join(f"\n  note: {note}" for note in self.notes)


def refuse_identical(texts: Sequence[str]) -> None:
    """Refuse texts that a model cannot learn from.

    Raises:
        ValueError: No text at all, or all texts are identical (for example git-lfs pointers).
    """
    if not texts:
        raise ValueError("no image-text pairs are left to train on")
    if len(texts) > 1 and len(set(texts)) == 1:
        is_pointer = texts[0].startswith(LFS_POINTER)
        hint = "git-lfs pointers, run `git lfs pull`" if is_pointer else "there is nothing to learn"
        raise ValueError(f"all {len(texts)} texts are identical, {hint}: {texts[0][:80]!r}")


def load_pairs(config: TrainConfig) -> Pairs:
    """Return the pairs of a configuration, from its image store, texts and cohort.

    Images and texts are joined by id (`cohort.align`). Images of another split or view, images of a single grey level,
    and images whose text has no sentence, are excluded and counted.

    Raises:
        FileNotFoundError: The store, the texts or the cohort are missing.
        ValueError: The store has no ids to join the cohort by, ids do not match, no image is in the split, no pair is
            left, or all texts are identical.
    """
    # one row per image of the store
    store = open_images(config.cxr_filepath)
    table = align(store.image_ids, read_texts(config.txt_filepath), n_images=len(store))
    cohort, notes = cohort_of(store, config)

    # images of the split and view
    keep, left_out = _filtered(cohort, len(store), config)

    # a black film, as a failed decode leaves it, goes with any text; scoring refuses it too
    is_constant = np.zeros(len(store), dtype=bool)
    is_constant[keep] = constant_images(store, np.flatnonzero(keep))
    left_out[CONSTANT] = int(is_constant.sum())
    keep &= ~is_constant

    # of two texts, an image needs one; the second takes the place of a missing first
    texts, second = _usable(table["text"].iloc[keep]), None
    if config.second_txt_filepath is not None:
        second = _usable(_second_texts(store, config.second_txt_filepath).iloc[keep])
        texts, second = texts.where(texts != "", second), second.where(texts != "", "")

    has_text = (texts != "").to_numpy()
    left_out["no text"] = int((~has_text).sum())
    rows = np.flatnonzero(keep)[has_text]
    studies = _study_ids(table, cohort)

    return Pairs(
        images=store,
        rows=rows,
        texts=texts[has_text].tolist(),
        second_texts=None if second is None else second[has_text].tolist(),
        study_ids=None if studies is None else studies.iloc[rows].tolist(),
        labels=None if cohort is None else cohort[list(FINDINGS)].to_numpy(float)[rows],
        cohort=None if cohort is None else cohort.iloc[rows].reset_index(),
        image_ids=None if store.image_ids is None else [store.image_ids[row] for row in rows],
        left_out=left_out,
        notes=notes,
    )


def _usable(texts: pd.Series) -> pd.Series:
    """Return the texts; those without a sentence become empty."""
    return texts.where(texts.map(lambda text: bool(distinct_sentences(text))), "")


def _second_texts(store: ImageStore, path: Path) -> pd.Series:
    """Return the texts of a second CSV in the order of the store, empty for an image without one.

    Raises:
        ValueError: Store or CSV have no ids, or a text belongs to no image.
    """
    table = read_texts(path)
    if store.image_ids is None or "image_id" not in table:
        raise ValueError(f"second texts are joined by image_id, which the image store or {path} does not have")
    texts = table.set_index("image_id")["text"]
    without_image = texts.index.difference(store.image_ids)
    if len(without_image):
        raise ValueError(
            f"{path}: {len(without_image)} of {len(texts)} texts have no image, such as {', '.join(without_image[:3])}:"
            f" give the texts that belong to this image store"
        )
    return texts.reindex(store.image_ids, fill_value="").reset_index(drop=True)


def _study_ids(texts: pd.DataFrame, cohort: pd.DataFrame | None) -> pd.Series | None:
    """Return the study of each image from the texts' file, else from the cohort, else None."""
    if "study_id" in texts:
        return texts["study_id"]
    return None if cohort is None else cohort["study_id"]


def _filtered(
    cohort: pd.DataFrame | None, n_images: int, config: TrainConfig
) -> tuple[Bool[np.ndarray, "m"], dict[str, int]]:
    """Return which images are of the split and view, and reason -> excluded images, each counted once.

    Raises:
        ValueError: No image is in the split.
    """
    keep, left_out, reasons = np.ones(n_images, dtype=bool), {}, {}
    if cohort is not None:
        other_split = (cohort["split"] != config.train_split).to_numpy()
        if other_split.all():
            found = ", ".join(repr(name) for name in sorted(set(cohort["split"])))
            raise ValueError(
                f"no image of {config.cohort_filepath} is in split {config.train_split!r}; found {found}: name another "
                "with --train_split, or give the archive's table a column split (cohort.split_by_patient draws one)"
            )
        is_lateral = ~cohort["view"].isin(FRONTAL_VIEWS).to_numpy()
        lateral = {} if config.views == "all" else {"view is not frontal": is_lateral}
        reasons = {f"split is not {config.train_split}": other_split, **lateral}

    for reason, mask in reasons.items():
        left_out[reason] = int((keep & mask).sum())
        keep &= ~mask
    return keep, left_out


def cohort_of(store: ImageStore, config: TrainConfig) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """Return the cohort's rows in the order of the store, or None and a note if the run is to have no cohort.

    Raises:
        FileNotFoundError: The cohort is missing and `no_cohort` is not set.
        ValueError: The store has no ids, or the cohort lacks some of its images.
    """
    if config.no_cohort:
        return None, ("--no_cohort: all images of the store are used, whatever their patient, split and view",)
    if not config.cohort_filepath.is_file():
        raise FileNotFoundError(
            f"--cohort_filepath: wanted the cohort table {config.cohort_filepath}, found none; it says which images are"
            " for training: give its path, or --no_cohort to train on all images, test patients included"
        )
    if store.image_ids is None:
        raise ValueError(
            f"--cohort_filepath: wanted images with ids to join {config.cohort_filepath} by, found none in "
            f"{config.cxr_filepath}: pack it with preprocess_train_data.py, or give --no_cohort to train on all images"
        )

    cohort = read_cohort(config.cohort_filepath).set_index("image_id")
    missing = [image_id for image_id in store.image_ids if image_id not in cohort.index]
    if missing:
        raise ValueError(
            f"{config.cohort_filepath} lacks {len(missing)} of {len(store)} images of {config.cxr_filepath}, such as"
            f" {', '.join(missing[:3])}: give both files of the same run of preprocess_train_data.py"
        )
    return cohort.loc[store.image_ids], ()
