"""Which images are scored, which of the validation split are fitted on, and against which labels."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from cohort import FINDINGS, FRONTAL_VIEWS, Flow, ImageStore, read_labels
from cohort.labels import apply_uncertainty
from zero_shot.images import Images

NOT_PACKED = ("excluded", "failed")
"""Values of the cohort's `status` for images without pixels in the store"""


def select_images(
    cohort: pd.DataFrame,
    store: ImageStore,
    *,
    split: str,
    views: str = "frontal",
    left_out: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, Images, Flow]:
    """Return the cohort rows to be scored, sorted by image id, their images, and the count of rows left out.

    Args:
        cohort: the cohort table.
        store: the image store, joined by id; a file of CheXzero has no ids and is joined by the column `h5_row`.
        split: value of the column `split`; "all" takes every row.
        views: "frontal" (PA and AP) or "all".
        left_out: image id -> another reason not to score it, beside split and view.

    Raises:
        ValueError: the store holds ids that the cohort does not know, an image is not in the store, no row is left.
    """
    _refuse_strangers(cohort, store)
    flow = Flow()
    flow.start(cohort, "in the cohort table")
    chosen = cohort.sort_values("image_id", kind="stable", ignore_index=True)

    # each rule in turn, so that the flow table counts a row under the first one that drops it
    reasons = dict(left_out or {})
    for reason in dict.fromkeys(reasons.values()):
        chosen = flow.keep(chosen, chosen["image_id"].map(reasons).ne(reason).to_numpy(bool), reason)
    if split != "all":
        chosen = flow.keep(chosen, chosen["split"].eq(split).to_numpy(bool), f"not in the split {split!r}")
    if views == "frontal":
        chosen = flow.keep(chosen, chosen["view"].isin(FRONTAL_VIEWS).to_numpy(bool), "not a frontal view")
    packed = chosen["h5_row"].notna() & ~chosen["status"].isin(NOT_PACKED)
    chosen = flow.keep(chosen, packed.to_numpy(bool), "not packed (see status_reason)")
    if chosen.empty:
        splits = ", ".join(sorted(set(cohort["split"]) - {""})) or "none"
        raise ValueError(
            f"no image is left to score; the cohort's splits are: {splits}; rows were left out as follows "
            f"(--split all and --views all lift the first two rules):\n{flow}"
        )

    ids = chosen["image_id"].tolist()
    rows = chosen["h5_row"].to_numpy(np.int64) if store.image_ids is None else store.rows(ids)
    return chosen, Images(reader=store, rows=rows, ids=tuple(ids)), flow


def _refuse_strangers(cohort: pd.DataFrame, store: ImageStore) -> None:
    """Refuse a store and a cohort table that were not written together."""
    if store.image_ids is None:
        beyond = cohort["image_id"][cohort["h5_row"].fillna(0).ge(len(store)).to_numpy(bool)]
        if len(beyond):
            raise ValueError(
                f"{store.path} has {len(store)} rows, but the cohort's h5_row goes beyond for {len(beyond)} images, "
                f"first {beyond.iloc[0]}: give the cohort.csv that was written with it"
            )
        return

    unknown = sorted(set(store.image_ids) - set(cohort["image_id"]))
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(store)} image ids in {store.path} are not in the cohort table, "
            f"first {', '.join(unknown[:3])}: give the cohort.csv that was written with it"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationImages:
    """Images of the validation split, with labels from the same source as those of the scored images."""

    cohort: pd.DataFrame
    """Cohort rows"""
    images: Images
    """Images in the same order"""
    truth: pd.DataFrame
    """image_id and a label per finding in {1, 0, NaN}, same order"""

    def to_json(self) -> dict[str, Any]:
        """Return what a specification says of them."""
        return {
            "n": len(self.images),
            "fingerprint": self.images.fingerprint(),
            "labels": labels_fingerprint(self.truth),
        }


def select_validation(
    cohort: pd.DataFrame,
    store: ImageStore,
    scored: pd.DataFrame,
    label: Callable[[pd.DataFrame], pd.DataFrame],
    *,
    split: str,
    scored_split: str,
    views: str = "frontal",
    left_out: Mapping[str, str] | None = None,
) -> tuple[ValidationImages | None, str]:
    """Return the images to fit on, or None and the reason; the reason is empty if no split was named.

    Args:
        cohort: the cohort table.
        store: the image store.
        scored: cohort rows of the scored images; none of their patients may be fitted on.
        label: from cohort rows to image_id and a label per finding.
        split: split to fit on; "" for none.
        scored_split: split that is scored, or "all".
        views: as in `select_images`.
        left_out: as in `select_images`.
    """
    if not split:
        return None, ""
    if not cohort["split"].eq(split).any():
        return None, f"the cohort has no split {split!r}"
    if scored_split in ("all", split):
        return None, f"the split {split!r} is among the images that are scored"

    try:
        chosen, images, _ = select_images(cohort, store, split=split, views=views, left_out=left_out)
        truth = label(chosen)
    except ValueError as error:
        return None, f"the split {split!r} cannot be used: {str(error).splitlines()[0]}"

    shared = set(chosen["subject_id"]) & set(scored["subject_id"])
    if shared:
        return None, f"{len(shared)} patients of the split {split!r} are among those that are scored"
    return ValidationImages(cohort=chosen, images=images, truth=truth), ""


def choose_labels(
    chosen: pd.DataFrame,
    findings: Sequence[str],
    *,
    truth_filepath: Path | str | None = None,
    uncertainty_policy: str = "U-ignore",
    blank_is_zero: bool | None = None,
) -> pd.DataFrame:
    """Return image_id and one column per finding in {1, 0, NaN}, in the order of `chosen`; NaN leaves an image out.

    Args:
        chosen: rows of the cohort table.
        findings: columns wanted.
        truth_filepath: CSV with image_id and 0/1 columns, read by name; None for the cohort's own labels.
        uncertainty_policy: what -1 becomes, see `cohort.apply_uncertainty`.
        blank_is_zero: count a blank as absent. Default: True for the cohort's labels, which are blank when a report
            does not mention a finding, and False for a truth file. An image without any label, and a finding without
            any label, stay blank either way.

    Raises:
        ValueError: a finding without a column, an image without a row in the truth file, -1 left by the policy.
    """
    if uncertainty_policy == "U-keep":
        raise ValueError("U-keep leaves -1 in the labels, which cannot be scored: choose U-ignore, U-zeros or U-ones")
    ids = chosen["image_id"].tolist()

    if truth_filepath is None:
        unknown = [finding for finding in findings if finding not in FINDINGS]
        if unknown:
            raise ValueError(f"the cohort table has no labels for {', '.join(unknown)}: give --truth_filepath")
        labels = chosen.set_index("image_id")[list(FINDINGS)]
    else:
        labels = read_labels(truth_filepath, findings)
        missing = [image_id for image_id in ids if image_id not in labels.index]
        if missing:
            raise ValueError(
                f"{truth_filepath} has no row for {len(missing)} of {len(ids)} images, first {', '.join(missing[:3])}"
            )
        labels = labels.loc[ids]

    if blank_is_zero is None:
        blank_is_zero = truth_filepath is None
    return decide_labels(labels, findings, uncertainty_policy=uncertainty_policy, blank_is_zero=blank_is_zero)


def decide_labels(
    labels: pd.DataFrame, findings: Sequence[str], *, uncertainty_policy: str, blank_is_zero: bool
) -> pd.DataFrame:
    """Return image_id and one column per finding in {1, 0, NaN}, with uncertain and blank labels resolved.

    Args:
        labels: index image_id, columns in {1, 0, -1, NaN}; an image is labelled if any of them is not NaN.
        findings: columns wanted.
        uncertainty_policy: see `choose_labels`.
        blank_is_zero: see `choose_labels`.
    """
    labelled_rows, labelled_columns = labels.notna().any(axis=1), labels.notna().any(axis=0)
    names = list(labels.columns)
    resolved = apply_uncertainty(labels, uncertainty_policy, findings=names, blank_is_zero=blank_is_zero)

    # a blank means absent only where somebody labelled the image, and the finding
    resolved = resolved.where(labelled_rows, np.nan, axis=0).loc[:, list(findings)]
    resolved.loc[:, [finding for finding in findings if not labelled_columns[finding]]] = np.nan
    return resolved.reset_index(names="image_id")


def labels_fingerprint(truth: pd.DataFrame) -> str:
    """Return the SHA-256 of a table of labels as it would be written."""
    return hashlib.sha256(truth.to_csv(index=False).encode()).hexdigest()


def rows_by_id(image_ids: Sequence[str], wanted: Sequence[str]) -> Int[np.ndarray, "n"]:
    """Return the row of each wanted image in `image_ids`, to join features in one order with labels in another.

    Raises:
        ValueError: an id is on one side only, or occurs twice.
    """
    rows = {image_id: row for row, image_id in enumerate(image_ids)}
    for ids, what in ((image_ids, "features"), (wanted, "labels")):
        if len(set(ids)) < len(ids):
            twice = next(image_id for image_id, count in Counter(ids).items() if count > 1)
            raise ValueError(f"the image {twice} is twice among the {what}")
    for these, others, what in ((wanted, rows, "features"), (image_ids, set(wanted), "labels")):
        missing = [image_id for image_id in these if image_id not in others]
        if missing:
            raise ValueError(f"{len(missing)} of {len(these)} images have no {what}, first {', '.join(missing[:3])}")
    return np.array([rows[image_id] for image_id in wanted], dtype=np.int64)


def refuse_unknown(truth: pd.DataFrame, findings: Iterable[str]) -> None:
    """Refuse findings, such as those of a prompt set, that the truth has no labels for.

    Raises:
        ValueError: the truth has no column image_id, or none for a finding.
    """
    missing = [column for column in ("image_id", *findings) if column not in truth.columns]
    if missing:
        raise ValueError(f"the truth has no column {', '.join(missing)}; it has {', '.join(truth.columns)}")
