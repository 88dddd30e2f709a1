"""One whole training step as the trainer takes it, for the benchmarks that time it: read a batch, gradient, update."""

import time

from jaxtyping import Float
from torch import Tensor

from models import Bundle
from train import Pairs, TrainConfig
from train.distributed import World
from train.input.batches import PairBatches, batches_from
from train.optimise import make_optimizer
from train.step import ContrastiveStep, prepare


class TrainerStep:
    """The step of a run on one process, from bytes of the store to updated weights; each call takes the next batch."""

    def __init__(self, bundle: Bundle, pairs: Pairs, config: TrainConfig) -> None:
        """Prepare the model for training, in place, and start at the first batch."""
        prepare(bundle, config)
        bundle.model.train()
        self.waited_seconds = 0.0
        self._gradients_of = ContrastiveStep(bundle, config, World())
        self._optimizer = make_optimizer(bundle.model, config)
        self._batches = batches_from(0, PairBatches(pairs, bundle, config, World()), config)

    def __call__(self) -> Float[Tensor, ""]:
        """Return the loss before the update; `waited_seconds` then says how long the batch took to arrive."""
        began = time.perf_counter()
        batch = next(self._batches)
        self.waited_seconds = time.perf_counter() - began

        self._optimizer.zero_grad(set_to_none=True)
        loss = self._gradients_of(batch)
        self._optimizer.step()
        return loss
