"""Left and right: the sentence that names a side, asked of the film and of its mirror image.

Mirroring a film makes a second film of which the other sentence is true, so that films can be chosen by a sentence just
as sentences by a film.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt8
from torch import Tensor

import models
from cohort.image_reader import ImageReader
from zero_shot.features import image_features
from zero_shot.images import Images
from zero_shot.probing.minimal_pairs import Probe
from zero_shot.probing.probes import (
    Bootstrap,
    QuestionImages,
    is_right,
    preference,
    probe_table,
    sentence_features,
    who_is_asked,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredReader:
    """A store whose films are mirrored left to right."""

    reader: ImageReader
    """The store."""

    def __len__(self) -> int:
        return len(self.reader)

    def read(self, rows: Int[np.ndarray, "k"]) -> UInt8[np.ndarray, "k h w"]:
        """Return the images of `rows`, mirrored."""
        return np.ascontiguousarray(self.reader.read(rows)[:, :, ::-1])


def ask_sides(
    bundle: models.Bundle,
    images: Images,
    probe: Probe,
    sides: pd.DataFrame,
    subject_ids: Sequence[str],
    *,
    batch_size: int = 64,
    bootstrap: Bootstrap | None = None,
) -> pd.DataFrame:
    """Return the scores of four tasks (column `task`); every film and every mirror image is encoded once.

    - "choose the sentence": of the film, as in any probe.
    - "choose the sentence, mirrored": of the mirror image, where the other sentence is true.
    - "choose the film": given a sentence, the film or its mirror image, the mean over both sentences.
    - "change sides": does the preferred sentence change when the film is mirrored, right or wrong? 1 if it does, half
      for a tie. A model that always prefers the same side has 0 here, where it has 0.5 in the first two, and one that
      takes left for right has 1.

    Args:
        bundle: the model, on the device where the work is to be done.
        images: the films, frontal, in the order of `sides`.
        probe: such as `load_probe("laterality")`, whose first sentences say left.
        sides: image_id and for each finding 1 (the patient's left), 0 (right) or NaN, as from `sides_from_boxes`.
        subject_ids: patient of every film.
        batch_size: images per forward pass.
        bootstrap: how intervals are made.

    Returns:
        See `probes.probe_table`.

    Raises:
        ValueError: as `probes.ask`.
    """
    asked = who_is_asked(probe, sides, images.ids)
    mirrored = replace(images, reader=MirroredReader(reader=images.reader))
    film, mirror = (image_features(bundle, both, batch_size=batch_size) for both in (images, mirrored))
    tasks: dict[str, dict[str, np.ndarray]] = {}
    for name, sentences in sentence_features(bundle, probe).items():
        for task, right in _tasks(film, mirror, sentences, asked[name]).items():
            tasks.setdefault(task, {})[name] = right
    tables = [
        probe_table(probe, right, asked, subject_ids, task=task, bootstrap=bootstrap) for task, right in tasks.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _tasks(
    film: Tensor, mirror: Tensor, sentences: tuple[Tensor, Tensor], asked: QuestionImages
) -> dict[str, np.ndarray]:
    first, second = sentences
    of_film, of_mirror = preference(film, first - second), preference(mirror, first - second)
    # The film is the better picture of `first` where it is a picture of `first`, and the worse one of `second`.
    of_sentences = (preference(film - mirror, first) + preference(mirror - film, second)) / 2
    known = np.where(asked.is_first | asked.is_second, 1.0, np.nan)[:, None]
    return {
        "choose the sentence": is_right(of_film, asked),
        "choose the sentence, mirrored": is_right(-of_mirror, asked),
        "choose the film": is_right(of_sentences, asked),
        "change sides": (1 - of_film * of_mirror) / 2 * known,
    }
