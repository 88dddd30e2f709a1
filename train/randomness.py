"""Random numbers as a function of where they are drawn: no generator's state has to be saved for an exact resume."""

import numpy as np

ORDER, SAMPLING, AUGMENTATION, DROPOUT = range(4)
"""What is drawn; streams of different purposes never meet."""


def seed_of(seed: int, purpose: int, *place: int) -> int:
    """Return 63 bits that are the same for the same run seed, purpose and place (step, or epoch, then rank), only.

    Source: numpy's SeedSequence, which mixes its words so that neighbouring places give unrelated streams.
    """
    return int(np.random.SeedSequence([seed, purpose, *place]).generate_state(1, np.uint64)[0] >> np.uint64(1))
