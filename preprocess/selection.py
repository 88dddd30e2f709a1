"""Which images are still in, and for each one left out the reason."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cohort import Flow


class Selection:
    """Narrows an archive to the images that become rows, and remembers why every other one did not.

    Attributes:
        kept: the images still in, in row order.
        flow: the counts, by reason and in order.
    """

    def __init__(self, listed: pd.DataFrame, flow: Flow) -> None:
        self._listed = listed
        self._left_out: dict[str, tuple[str, str]] = {}
        self.kept = listed
        self.flow = flow

    def leave_out(
        self,
        reasons: Sequence[str],
        *,
        rule: str,
        details: Sequence[str] | None = None,
        status: str = "excluded",
    ) -> None:
        """Leave out every kept image that has a reason.

        Args:
            reasons: One per kept image, "" to keep it. Each distinct one gets a line in the flow.
            rule: What the line says when no image is left out.
            details: What is known about each image beyond its reason; written to the cohort table in its place.
            status: "excluded" for a choice, "failed" for an image that could not be read.
        """
        for image_id, reason, detail in zip(self.kept["image_id"], reasons, details or reasons, strict=True):
            if reason:
                self._left_out[image_id] = (status, detail)
        of_image = np.array(reasons, dtype=object)
        for reason in sorted(set(reasons) - {""}) or [rule]:
            stays = of_image != reason
            of_image = of_image[stays]
            self.kept = self.flow.keep(self.kept, stays, reason)

    def cohort(self) -> pd.DataFrame:
        """Return all listed images with `h5_row` (the place among the kept ones), `status` and `status_reason`."""
        rows = {image_id: row for row, image_id in enumerate(self.kept["image_id"])}
        fates = [self._left_out.get(image_id, ("packed", "")) for image_id in self._listed["image_id"]]
        return self._listed.assign(
            h5_row=pd.array([rows.get(image_id) for image_id in self._listed["image_id"]], dtype="Int64"),
            status=[status for status, _ in fates],
            status_reason=[reason for _, reason in fates],
        )
