"""Left and right: which of two sentences about a side matches a film, and its mirror image.

For the mirror image of a film the other sentence is true. So a model can choose the film for a sentence as well as the
sentence for a film.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8
from torch import Tensor

import models
from cohort.image_reader import ImageReader
from zero_shot.features import image_features
from zero_shot.images import Images
from zero_shot.probing.minimal_pairs import Probe
from zero_shot.probing.probes import (
    Bootstrap,
    QuestionImages,
    films_of_questions,
    is_right,
    preference,
    probe_table,
    sentence_features,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredReader:
    """Another reader's images, mirrored left to right."""

    reader: ImageReader
    """Reader of the original images"""

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

    - "choose the sentence": for the film, as in any probe.
    - "choose the sentence, mirrored": for the mirror image, where the other sentence is true.
    - "choose the film": for a sentence, the film or its mirror image; the mean over both sentences.
    - "change sides": whether the preferred sentence changes when the film is mirrored, right or wrong: 1 if it does,
      0.5 for a tie. A model that always prefers the same side scores 0 here and 0.5 in the first two tasks; one that
      confuses left and right scores 1.

    Args:
        bundle: the model, on the device to run on.
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
    films = films_of_questions(probe, sides, images.ids)
    mirrored = replace(images, reader=MirroredReader(reader=images.reader))
    film, mirror = (image_features(bundle, both, batch_size=batch_size) for both in (images, mirrored))

    tasks: dict[str, dict[str, np.ndarray]] = {}
    for name, sentences in sentence_features(bundle, probe).items():
        for task, right in _tasks(film, mirror, sentences, films[name]).items():
            tasks.setdefault(task, {})[name] = right

    tables = [
        probe_table(probe, right, films, subject_ids, task=task, bootstrap=bootstrap) for task, right in tasks.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _tasks(
    film: Float[Tensor, "n d"],
    mirror: Float[Tensor, "n d"],
    sentences: tuple[Float[Tensor, "k d"], Float[Tensor, "k d"]],
    films: QuestionImages,
) -> dict[str, Float[np.ndarray, "n k"]]:
    """Return for each task 1 where a film is right, 0 where not, NaN where it has no side."""
    first, second = sentences
    of_film, of_mirror = preference(film, first - second), preference(mirror, first - second)

    # the film itself is right for its true sentence, its mirror image for the other one
    of_sentences = (preference(film - mirror, first) + preference(mirror - film, second)) / 2
    known = np.where(films.is_first | films.is_second, 1.0, np.nan)[:, None]
    return {
        "choose the sentence": is_right(of_film, films),
        "choose the sentence, mirrored": is_right(-of_mirror, films),
        "choose the film": is_right(of_sentences, films),
        "change sides": (1 - of_film * of_mirror) / 2 * known,
    }
