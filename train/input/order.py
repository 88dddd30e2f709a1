"""The order of the data: which items make up which step, as a function of the seed and the step number alone."""

import numpy as np
from jaxtyping import Int


def steps_per_epoch(n_items: int, batch_size: int) -> int:
    """Return the number of steps that cut `n_items` into nearly equal batches, none above `batch_size`, none of 1.

    A batch of 1 has no negatives: its InfoNCE is exactly 0. (With batches of 2 and an odd number of items, one batch
    has 3.)

    Raises:
        ValueError: The batch is larger than the data.
    """
    if n_items < batch_size:
        raise ValueError(f"batch_size {batch_size} is larger than the data: {n_items} items are left to train on")
    steps = -(-n_items // batch_size)
    return steps if n_items // steps > 1 else n_items // batch_size


class EpochOrder:
    """Items in random order, each once per epoch, cut into steps of nearly equal size.

    The order of epoch e is drawn from (seed, e), so the items of any step can be computed directly: an exact resume
    needs no saved state, and all processes see the same batches.
    """

    def __init__(self, sizes: Int[np.ndarray, "n"], batch_size: int, *, seed: int) -> None:
        """Count the steps.

        Args:
            sizes: Images of each item, at least 1; a study may have several.
            batch_size: Maximum number of images of a step.
            seed: Seed of the run.

        Raises:
            ValueError: The batch is larger than the data.
        """
        self._sizes, self._seed, self._total = sizes, seed, int(sizes.sum())
        # an item belongs to the step in which it ends, so a step can exceed its part by the largest size less 1
        self.steps_per_epoch = steps_per_epoch(self._total, batch_size - int(sizes.max()) + 1)
        self._epoch, self._order, self._ends = -1, sizes, sizes

    def items(self, step: int) -> Int[np.ndarray, "b"]:
        """Return the positions of a step's items; steps count from 0 through all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)

        # a new epoch: draw its order
        if epoch != self._epoch:
            rng = np.random.default_rng(seed_of(self._seed, ORDER, epoch))
            self._epoch, self._order = epoch, rng.permutation(len(self._sizes))
            self._ends = np.cumsum(self._sizes[self._order])

        # cut the epoch's images into equal parts; a step has the items that end in its part
        cuts = [self._total * border // self.steps_per_epoch for border in (place, place + 1)]
        first, last = np.searchsorted(self._ends, cuts, side="right")
        return self._order[first:last]


ORDER, SAMPLING, AUGMENTATION, DROPOUT = range(4)
"""Purposes of random numbers; each has a stream of its own."""


def seed_of(seed: int, purpose: int, *place: int) -> int:
    """Return a seed of 63 bits for a run seed, a purpose and a place (step or epoch, then rank); others differ.

    Source: numpy's SeedSequence, which mixes its words, so that neighbouring places give unrelated streams.
    """
    return int(np.random.SeedSequence([seed, purpose, *place]).generate_state(1, np.uint64)[0] >> np.uint64(1))
