"""Whether there is enough evidence for a figure: counts, the one rule (30 images, 10 patients), the mean over findings.

Every table of results has the columns `status` and `reason`. The statuses:

    ok           the figure can be read, and enters the mean
    small        fewer images or patients than the rule wants: shown, but neither tested nor averaged
    sparse       the figure exists, but its interval is withheld: too many resamples leave it undefined
    undefined    there is no figure, e.g. because a class is absent
    suppressed   the figure is withheld: so few patients that it could tell about one of them

Tables of groups (audit) suppress. Tables over everybody (zero_shot) do not: no person can be singled out there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Real, Shaped

MIN_N = 30
"""Images that a figure needs in each of its denominators"""
MIN_PATIENTS = 10
"""Patients that it needs there"""

MEAN = "mean"
"""Name of the row that averages over findings"""
NOT_IN_MEAN = frozenset({"No Finding"})
"""Absence of the others: its positives are the healthy, so averaging it with them would cancel what it shows"""

Status = Literal["ok", "small", "sparse", "undefined", "suppressed"]
Side = Literal["positive", "negative"]

DENOMINATORS: Mapping[str, tuple[Side, ...]] = {
    "auroc": ("positive", "negative"),
    "tpr": ("positive",),
    "fpr": ("negative",),
}
"""Metric -> the class or classes that it is computed from"""

WANTED = "{found} {what} (wanted {wanted})"
"""Wording of tables over everybody, which list each count that is too small"""
FEWER = "{found} {what}, fewer than {wanted}"
"""Wording of tables of groups, which give the first count that is too small"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceCounts:
    """How much evidence a figure rests on. Images are rows; patients are the sampling unit."""

    n: int
    n_pos: int
    n_neg: int
    patients: int
    patients_pos: int
    patients_neg: int

    def of(self, side: Side) -> tuple[int, int]:
        """Return the images and the patients of one class."""
        return (self.n_pos, self.patients_pos) if side == "positive" else (self.n_neg, self.patients_neg)

    def patients_behind(self, metric: str) -> int:
        """Return the patients that a metric rests on; an AUROC rests on the rarer class."""
        return min(self.of(side)[1] for side in DENOMINATORS[metric])


def count_evidence(labels: Real[np.ndarray, "n"], subjects: Shaped[np.ndarray, "n"]) -> EvidenceCounts:
    """Count images and patients, by class. A patient with images of both classes counts in each.

    Args:
        labels: 1, 0, or NaN for an image without a label, which counts nowhere.
        subjects: the patient of each image.
    """
    positive, negative = labels == 1, labels == 0
    known = positive | negative
    return EvidenceCounts(
        n=int(known.sum()),
        n_pos=int(positive.sum()),
        n_neg=int(negative.sum()),
        patients=len(np.unique(subjects[known])),
        patients_pos=len(np.unique(subjects[positive])),
        patients_neg=len(np.unique(subjects[negative])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRule:
    """How many images and patients a figure needs, in each of its denominators.

    The denominator of TPR is the positives, of FPR the negatives, and AUROC needs enough of both.
    """

    min_n: int = MIN_N
    """Images in a denominator below which a figure is `small`"""
    min_patients: int = MIN_PATIENTS
    """Patients in a denominator below which a figure is `small`, and in a whole group below which it is `suppressed`"""

    def shortfalls(
        self,
        *,
        images: Mapping[str, int] | None = None,
        patients: Mapping[str, int] | None = None,
        wording: str = WANTED,
    ) -> list[str]:
        """Return a reason for each count that is too small; none if there is enough.

        Args:
            images: name of a count -> images found, e.g. {"positives": 12}.
            patients: name of a count -> patients found.
            wording: how a reason is written: WANTED or FEWER.
        """
        limits = [(images or {}, self.min_n), (patients or {}, self.min_patients)]
        return [
            wording.format(found=found, what=what, wanted=wanted)
            for counts, wanted in limits
            for what, found in counts.items()
            if found < wanted
        ]

    def judge(self, counts: EvidenceCounts, metric: str) -> tuple[str, str]:
        """Return (status, reason) of one metric in one group, "suppressed" before "undefined:WHY" before "small".

        Args:
            counts: images and patients of the group.
            metric: a key of DENOMINATORS.
        """
        hidden = self.shortfalls(patients={"patients": counts.patients}, wording=FEWER)
        if hidden:
            return "suppressed", hidden[0]

        # Every denominator must exist before any of them can be too small.
        sides = [(side, *counts.of(side)) for side in DENOMINATORS[metric]]
        for side, images, _ in sides:
            if images == 0:
                return f"undefined:no {side}s", f"no {side} image among {counts.n}"

        few = [
            reason
            for side, images, patients in sides
            for reason in self.shortfalls(
                images={f"{side} images": images}, patients={f"patients with a {side} image": patients}, wording=FEWER
            )
        ]
        return ("small", few[0]) if few else ("ok", "")


def too_few_for_interval(patients: int, wanted: int = MIN_PATIENTS) -> str:
    """Return why a figure has no interval: it rests on too few patients; "" if there are enough.

    This is the one rule, wherever an interval over patients is made. With one patient all resamples are equal, and the
    interval would be the figure itself.
    """
    if patients >= wanted:
        return ""
    return f"no interval: {patients} {'patient' if patients == 1 else 'patients'} (wanted {wanted})"


def evidence_status(few: Sequence[str], sparse: str = "") -> Status:
    """Return the status of a figure that exists.

    Args:
        few: what `EvidenceRule.shortfalls` returned; empty for a mean, whose parts were judged one by one.
        sparse: why the interval is withheld, from `percentile_interval`; "" if it is not.
    """
    return "sparse" if sparse else "small" if few else "ok"


def not_evaluable(why: str) -> str:
    """Return why a figure is undefined, as all tables print it."""
    return f"not evaluable: {why}"


def mean_of(names: Sequence[str], kind: str = "findings") -> str:
    """Return what a mean averages, as all tables print it, e.g. "of 2 findings: Edema, Fracture"."""
    return f"of {len(names)} {kind}: {', '.join(names)}"
