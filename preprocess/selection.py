"""Which images are still in, and for each one left out the reason."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from cohort import Flow
from preprocess.pixels import picture_quality as quality

_SHOWN = 3
"""Number of files that errors name"""


class Selection:
    """Narrows an archive to the images that become rows, and remembers why every other one did not.

    Images that the archive's reader excluded are left out from the start, for its reason.

    Attributes:
        kept: the images still in, in row order.
        flow: the counts, by reason and in order.
        faults: how many images, or rows of its tables, each fault of the archive cost; what was left out by choice is
            none.
        n_lost: Number of images that the archive lists, but that were left out for a fault.
        examples: Reason -> the first files that were left out for it.
    """

    def __init__(self, listed: pd.DataFrame, flow: Flow) -> None:
        self._listed = listed
        self._left_out: dict[str, tuple[str, str]] = {}
        self.kept = listed
        self.flow = flow
        self.faults: Counter[str] = flow.faults
        self.n_lost = 0
        self.examples: dict[str, list[str]] = {}
        self._flags: dict[str, set[str]] = {}
        if listed["status_reason"].ne("").any():
            self.leave_out(listed["status_reason"].tolist(), rule="")
            self.n_lost = 0

    def leave_out(
        self,
        reasons: Sequence[str],
        *,
        rule: str,
        details: Sequence[str] | None = None,
        status: str = "excluded",
        by_choice: Collection[str] = (),
    ) -> None:
        """Leave out every kept image that has a reason.

        Args:
            reasons: One per kept image, "" to keep it. Each distinct one gets a line in the flow.
            rule: What the line says when no image is left out.
            details: What is known about each image beyond its reason; written to the cohort table in its place.
            status: "excluded" for what was not tried, "failed" for an image that could not be read.
            by_choice: Those of the reasons that follow from the settings and are no fault of the archive.
        """
        self.faults.update(reason for reason in reasons if reason and reason not in by_choice)
        self.n_lost += sum(bool(reason) and reason not in by_choice for reason in reasons)
        names = self.kept["path"].tolist()
        for image_id, path, reason, detail in zip(
            self.kept["image_id"], names, reasons, details or reasons, strict=True
        ):
            if reason:
                self._left_out[image_id] = (status, detail)
                shown = self.examples.setdefault(reason, [])
                if len(shown) < _SHOWN:
                    shown.append(detail.removeprefix(f"{reason}: ") if details else path)
        of_image = np.array(reasons, dtype=object)
        for reason in sorted(set(reasons) - {""}) or [rule]:
            stays = of_image != reason
            of_image = of_image[stays]
            self.kept = self.flow.keep(self.kept, stays, reason)

    def flag(self, flags: Mapping[str, Collection[str]]) -> None:
        """Note what is odd about images that stay, and count it in the flow.

        Args:
            flags: Image id -> words of `quality.FLAGS`; that an image is a lateral is added here.
        """
        for image_id, view in zip(self.kept["image_id"], self.kept["view"], strict=True):
            lateral = {quality.LATERAL} if view == "LATERAL" else set()
            self._flags[image_id] = lateral.union(flags.get(image_id, ()))
        for flag in quality.FLAGS:
            rows = sum(flag in found for found in self._flags.values())
            self.flow.note(self.kept, flag, rows=rows, fault=flag in quality.FAULTS)
            self.faults.update({flag: rows} if rows and flag in quality.FAULTS else {})

    def cohort(self) -> pd.DataFrame:
        """Return all listed images with `h5_row` (the place among those kept), `status`, `status_reason`, `quality`."""
        rows = {image_id: row for row, image_id in enumerate(self.kept["image_id"])}
        fates = [self._left_out.get(image_id, ("packed", "")) for image_id in self._listed["image_id"]]
        return self._listed.assign(
            h5_row=pd.array([rows.get(image_id) for image_id in self._listed["image_id"]], dtype="Int64"),
            status=[status for status, _ in fates],
            status_reason=[reason for _, reason in fates],
            quality=["; ".join(self._in_words(image_id)) for image_id in self._listed["image_id"]],
        )

    def _in_words(self, image_id: str) -> list[str]:
        return [flag for flag in quality.FLAGS if flag in self._flags.get(image_id, ())]
