"""The flow table: how many images, studies and patients each exclusion leaves, by reason and in order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from common.atomic import write_csv

Kind = Literal["start", "left out", "noted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStep:
    """One line of the flow table."""

    kind: Kind
    """"start": what the archive lists. "left out": rows removed. "noted": rows kept, but the reader should know."""
    reason: str
    """In words."""
    rows: int | None
    """Images that the line is about; None for a remark on the whole archive."""
    images: int
    """Images that remain."""
    studies: int
    """Studies that remain."""
    patients: int
    """Patients that remain."""
    fault: bool = False
    """Whether the line tells of damage to the archive, which a strict job does not let pass."""


class Flow:
    """Collects the steps from the archive's list to the final cohort.

    Every removal goes through `keep`, so that nothing is dropped without a reason:

    >>> import pandas as pd
    >>> images = pd.DataFrame({"image_id": ["a", "b"], "study_id": ["1", "2"], "subject_id": ["7", "7"],
    ...                        "view": ["PA", "LATERAL"]})
    >>> flow = Flow()
    >>> flow.start(images, "listed in the metadata")
    >>> frontal = flow.keep(images, images["view"] == "PA", "not a frontal view")
    >>> print(flow)
                                      rows  images  studies  patients
    start     listed in the metadata     2       2        2         1
    left out  not a frontal view         1       1        1         1
    """

    def __init__(self, steps: Sequence[FlowStep] = ()) -> None:
        self.steps: list[FlowStep] = list(steps)

    def start(self, frame: pd.DataFrame, reason: str) -> None:
        """Record where the counting begins: all rows of `frame`."""
        self._add("start", reason, len(frame), frame)

    def keep(
        self,
        frame: pd.DataFrame,
        mask: "pd.Series[bool] | npt.NDArray[np.bool_]",
        reason: str,
        *,
        fault: bool = False,
    ) -> pd.DataFrame:
        """Return the rows of `frame` where `mask` is true and record the others as left out for `reason`.

        The line is written even when no row is left out: a zero says that the rule was applied. A `fault` is something
        wrong with the archive, see `faults`.

        Raises:
            ValueError: `mask` is not boolean, has missing values, or does not fit `frame`.
        """
        kept = np.asarray(mask)
        if kept.dtype != np.bool_ or kept.shape != (len(frame),):
            raise ValueError(
                f"flow ({reason}): wanted {len(frame)} true/false values, found {kept.dtype} of shape {kept.shape}"
            )
        remaining = frame.loc[kept].reset_index(drop=True)
        self._add("left out", reason, len(frame) - len(remaining), remaining, fault=fault)
        return remaining

    def note(self, frame: pd.DataFrame, reason: str, *, rows: int | None = None, fault: bool = False) -> None:
        """Record something about rows that stay, such as images without a race on record; nothing when `rows` is 0."""
        if rows != 0:
            self._add("noted", reason, rows, frame, fault=fault)

    @property
    def faults(self) -> Counter[str]:
        """How many rows each fault of the archive concerns, by reason."""
        counts: Counter[str] = Counter()
        for step in self.steps:
            if step.fault and step.rows:
                counts[step.reason] += step.rows
        return counts

    def to_frame(self) -> pd.DataFrame:
        """Return the columns step, reason, rows, images, studies, patients; the last three count what remains."""
        lines = [(s.kind, s.reason, s.rows, s.images, s.studies, s.patients) for s in self.steps]
        frame = pd.DataFrame(lines, columns=["step", "reason", "rows", "images", "studies", "patients"])
        return frame.astype({"rows": "Int64"})

    def write(self, path: Path | str) -> None:
        """Write the table as CSV, whole or not at all."""
        write_csv(path, self.to_frame())

    def __str__(self) -> str:
        lines: list[tuple[str, ...]] = [("", "", "rows", "images", "studies", "patients")]
        for s in self.steps:
            counts = (s.rows, s.images, s.studies, s.patients)
            lines.append((s.kind, s.reason, *("" if count is None else f"{count:,}" for count in counts)))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        words, numbers = widths[:2], widths[2:]
        return "\n".join(
            "  ".join(
                [text.ljust(width) for text, width in zip(line[:2], words, strict=True)]
                + [text.rjust(width) for text, width in zip(line[2:], numbers, strict=True)]
            )
            for line in lines
        )

    def _add(self, kind: Kind, reason: str, rows: int | None, frame: pd.DataFrame, *, fault: bool = False) -> None:
        self.steps.append(
            FlowStep(
                kind=kind,
                reason=reason,
                rows=rows,
                images=len(frame),
                studies=len(frame[["subject_id", "study_id"]].drop_duplicates()),
                patients=int(frame["subject_id"].nunique()),
                fault=fault,
            )
        )
