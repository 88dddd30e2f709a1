"""The pointing game: does the maximum of a heatmap lie in the box of the finding?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

import metrics
from metrics.evidence import MIN_N, MIN_PATIENTS, EvidenceRule, evidence_status, not_evaluable
from metrics.map_hits import box_mask, energy_in_box, pointing_hits
from metrics.resampling import interval_if_drawn
from zero_shot.localisation.maps import upsample

ALL = "all"
FIGURES = ("pointing_score", "low", "high", "chance", "swapped", "energy")
COLUMNS = ("finding", "n", "patients", *FIGURES, "status", "reason")


def pointing_game(
    maps: Float[np.ndarray, "n c h w"],
    boxes: Float[np.ndarray, "n c 4"],
    subject_ids: Sequence[str],
    *,
    findings: Sequence[str],
    resolution: int,
    rng: np.random.Generator,
    tolerance: float = 0.0,
    n_replicates: int = 1000,
    min_n: int = MIN_N,
    min_patients: int = MIN_PATIENTS,
) -> pd.DataFrame:
    """Return one row per finding, and a row `all` over all pairs of an image and a finding with a box.

    - `pointing_score`: share of pairs whose map, enlarged to the image, has its maximum in the box; `low` and `high`
      are its 95 % percentile interval over patients.
    - `chance`: score of a random point, the mean share of the image that the boxes cover.
    - `swapped`: score of each box with the maps of the same finding in all other patients with one. If it comes near
      the score, the maps show where a finding usually lies, not where it lies in this image.
    - `energy`: mean share of the positive evidence inside the box; a map without positive evidence is left out and
      counted in `reason`. Its chance level is `chance` at tolerance 0.

    Args:
        maps: evidence per image and finding, tiling the packed image.
        boxes: in pixels of the packed image, NaN if there is none, as from `packed_boxes`.
        subject_ids: patient of every image.
        findings: names of the c columns.
        resolution: side of the packed images, pixels.
        rng: random generator of the bootstrap.
        tolerance: pixels of the packed image outside a box that still count.
        n_replicates: bootstrap resamples of patients; 0 gives no intervals.
        min_n: pairs below which a row is `small`.
        min_patients: patients below which a row is `small`.

    Returns:
        Columns as COLUMNS. `status` is `ok`, `small`, `sparse` (no interval) or `undefined`, with the reason.

    Raises:
        ValueError: arrays that do not belong together, or a map that is not finite.

    Source: Zhang et al., Top-Down Neural Attention by Excitation Backprop, IJCV 2018, section 5.1.
    """
    if maps.shape[:2] != boxes.shape[:2] or boxes.shape[:2] != (len(subject_ids), len(findings)):
        raise ValueError(
            f"maps {maps.shape[:2]}, boxes {boxes.shape[:2]}, {len(subject_ids)} patients and {len(findings)} findings"
            f" must be for the same images and findings"
        )
    subjects = np.asarray(list(subject_ids), dtype=str)
    weights = metrics.patient_weights(subjects, n_replicates, rng)

    # figures of each image with a box, finding by finding, and then of all pairs together
    measured = []
    for column in range(len(findings)):
        rows = np.flatnonzero(np.isfinite(boxes[:, column]).all(axis=1))
        own = (maps[rows, column], boxes[rows, column], subjects[rows])
        measured.append((rows, _figures_of_images(*own, resolution=resolution, tolerance=tolerance)))
    measured.append((np.concatenate([rows for rows, _ in measured]), np.concatenate([pairs for _, pairs in measured])))

    table = [
        _row(name, rows, pairs, subjects, weights, rule=EvidenceRule(min_n=min_n, min_patients=min_patients))
        for name, (rows, pairs) in zip([*findings, ALL], measured, strict=True)
    ]
    return pd.DataFrame(table, columns=list(COLUMNS))


def _figures_of_images(
    maps: Float[np.ndarray, "m h w"],
    boxes: Float[np.ndarray, "m 4"],
    subjects: np.ndarray,
    *,
    resolution: int,
    tolerance: float,
) -> Float[np.ndarray, "m 4"]:
    """Return hit, chance, hit by the maps of other patients, and energy for every image with a box."""
    large = upsample(maps[:, None], resolution)[:, 0]  # (m, resolution, resolution)

    # hits of every map (row) in every box (column): the diagonal is the score, other patients' maps are `swapped`
    hits = np.array([pointing_hits(one, boxes, tolerance=tolerance) for one in large]).reshape(len(maps), len(boxes))
    is_other = subjects[:, None] != subjects[None]
    n_others = is_other.sum(axis=0)
    swapped = np.where(n_others > 0, (hits * is_other).sum(axis=0) / np.maximum(n_others, 1), np.nan)

    shape = (resolution, resolution)
    chance = [box_mask(box, shape, tolerance=tolerance).mean() for box in boxes]
    energy = [energy_in_box(one, box) for one, box in zip(large, boxes, strict=True)]
    return np.column_stack([np.diag(hits), chance, swapped, energy])


def _row(
    finding: str,
    rows: Int[np.ndarray, "m"],
    pairs: Float[np.ndarray, "m 4"],
    subjects: np.ndarray,
    weights: metrics.ReplicateWeights,
    *,
    rule: EvidenceRule,
) -> dict[str, Any]:
    """Return the row of one finding, or of all."""
    patients = len(set(subjects[rows]))
    row: dict[str, Any] = {"finding": finding, "n": len(rows), "patients": patients, **dict.fromkeys(FIGURES, np.nan)}
    if not len(rows):
        return row | {"status": "undefined", "reason": not_evaluable("no image has a box of it")}

    hit, chance, swapped, energy = pairs.T
    row |= {"pointing_score": hit.mean(), "chance": chance.mean()}
    row |= {name: _mean_of_defined(values) for name, values in (("swapped", swapped), ("energy", energy))}

    drawn = weights.take(slice(None), rows).astype(np.float64)
    with np.errstate(invalid="ignore"):
        row["low"], row["high"], _, sparse = interval_if_drawn(drawn @ hit / drawn.sum(axis=1))

    if patients < rule.min_patients:
        row["low"] = row["high"] = np.nan
    few = rule.shortfalls(images={"boxes": len(rows)}, patients={"patients": patients})
    without = int(np.isnan(energy).sum())
    notes = [f"{without} maps have no positive evidence"] if without else []
    reason = "; ".join(filter(None, [sparse, *few, *notes]))
    return row | {"status": evidence_status(few, sparse), "reason": reason}


def _mean_of_defined(values: Float[np.ndarray, "m"]) -> float:
    """Return the mean of the values that are not NaN."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan
