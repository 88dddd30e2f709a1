"""Alternative labels: several names of one finding, each scored against that finding's own truth."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

import metrics
import models
from metrics.auroc import one_class_reason
from metrics.evidence import not_evaluable
from zero_shot.prompts import from_templates
from zero_shot.scoring import Scoring, score_features
from zero_shot.select import refuse_unknown, rows_by_id


def alternative_table(
    bundle: models.Bundle,
    images: Float[Tensor, "n d"],
    image_ids: Sequence[str],
    truth: pd.DataFrame,
    alt_labels_dict: Mapping[str, Sequence[str]],
    *,
    pair_template: tuple[str, str] = ("{}", "no {}"),
    scoring: Scoring = "temperature",
) -> pd.DataFrame:
    """Return the AUROC of every alternative against the main finding's labels, found by name.

    CheXzero's `alt_labels_dict` picks columns by position, and one of its code paths skips a position, so alternatives
    are compared with another finding's labels. Here the order of columns and rows does not matter, and one name may
    belong to several findings.

    Args:
        bundle: the model.
        images: L2-normalised image features, as from `image_features`.
        image_ids: image id of each feature.
        truth: image_id and the main findings in {1, 0, NaN}; NaN leaves an image out of that finding.
        alt_labels_dict: main finding -> its names; list the main label too if it is to be compared.
        pair_template: positive and negative template for each name.
        scoring: see `score_features`; "temperature" and "chexzero" rank alike.

    Returns:
        One row per finding and alternative: finding, alternative, n_pos, n_neg, auroc, reason if it is NaN.

    Raises:
        ValueError: a finding without truth, without names or with one named twice; ids that differ between features
            and truth; scoring "single", which ranks findings within an image; see also `from_templates`.

    Source: rajpurkarlab/CheXzero zero_shot.py, `process_alt_labels` and `run_experiment`.
    """
    _refuse(alt_labels_dict, truth, scoring)
    names = list(dict.fromkeys(chain.from_iterable(alt_labels_dict.values())))
    rows = rows_by_id(image_ids, truth["image_id"].tolist())
    scores = score_features(bundle, images, from_templates(names, pair_template), scoring=scoring)[rows]

    table = []
    for finding, alternatives in alt_labels_dict.items():
        labels = truth[finding].to_numpy(np.float64)
        known = ~np.isnan(labels)
        undefined = one_class_reason(labels[known])
        counts = {"n_pos": int((labels == 1).sum()), "n_neg": int((labels == 0).sum())}

        for name in alternatives:
            auroc = metrics.auroc(labels[known], scores[known, names.index(name)])
            reason = not_evaluable(undefined) if undefined else ""
            table.append({"finding": finding, "alternative": name, **counts, "auroc": auroc, "reason": reason})
    return pd.DataFrame(table)


def summarise_alternatives(table: pd.DataFrame) -> pd.DataFrame:
    """Return per finding the best, mean and lowest AUROC of its alternatives, and the best and worst alternative.

    The best of several names is optimistic if it was chosen on the same images; the mean is not.

    Args:
        table: as from `alternative_table`.
    """
    rows = []
    for finding, group in table.groupby("finding", sort=False):
        aurocs = group.set_index("alternative")["auroc"]
        evaluable = bool(aurocs.notna().all())
        rows.append(
            {
                "finding": finding,
                "alternatives": len(aurocs),
                "best": aurocs.max(),
                "mean": aurocs.mean(),
                "min": aurocs.min(),
                "best_alternative": aurocs.idxmax() if evaluable else "",
                "worst_alternative": aurocs.idxmin() if evaluable else "",
                "reason": group["reason"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def _refuse(alt_labels_dict: Mapping[str, Sequence[str]], truth: pd.DataFrame, scoring: str) -> None:
    """Refuse names and scorings that cannot be compared."""
    if not alt_labels_dict:
        raise ValueError("alt_labels_dict is empty: wanted {main finding: [its names]}")
    if scoring == "single":
        raise ValueError("scoring 'single' compares the findings of an image and cannot compare names of one finding")
    refuse_unknown(truth, alt_labels_dict)
    for finding, names in alt_labels_dict.items():
        if isinstance(names, str) or not names:
            raise ValueError(f"{finding!r} wants a list of names, found {names!r}")
        if len(set(names)) < len(names):
            raise ValueError(f"a name of {finding!r} is listed twice: {', '.join(names)}")
