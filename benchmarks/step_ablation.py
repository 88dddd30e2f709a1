"""What each change to a training step saves: our step, our step without one change, and open_clip's own forward pass.

python benchmarks/step_ablation.py --json runs/train_step.json

The demo's model, films, reports and batch of 32. All candidates take the same batches in turns. "open_clip" is the same
loss on the same model, with every convolution channels-last, torch's choice of the attention kernel, texts cut to the
longest of the batch and all their rows computed. "supervised" is the classifier of the same tower: its step is cheaper,
and the ratio gives the number of steps that it takes in equal time.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from harness import interleaved_seconds, median_ratio, parser, report
from simulated_archive import prepared
from torch import nn
from torch.func import functional_call
from torch.nn.functional import normalize
from trainer_step import TrainerStep

from cohort import FINDINGS
from models import Bundle
from train import Pairs, load_pairs, start_model
from train import step as step_module
from train.hardware import arrange_memory
from train.input.order import EpochOrder
from train.optimise import make_optimizer
from train.presets import phantom
from train.supervised import Classifier, LabelBatch, SupervisedStep, label_targets
from wiring.demo_plan import DemoConfig


def all_rows(bundle: Bundle, tokens: torch.Tensor) -> torch.Tensor:
    """Return text features by open_clip's own forward pass, given the corner of its causal mask that fits."""
    text: Any = bundle.model.text
    length = tokens.shape[1]
    features = functional_call(text, {"attn_mask": text.attn_mask[:length, :length]}, (tokens,))
    return normalize(features.float(), dim=-1)


def all_channels_last(network: torch.nn.Module, device: torch.device) -> None:
    """Lay every convolution out channels-last."""
    network.to(device, memory_format=torch.channels_last)


CHANGES = {
    "attention": lambda *_args, **_settings: nullcontext(),
    "arrange_memory": all_channels_last,
    "text_features": all_rows,
}
"""Name in train.step -> what open_clip or torch does without us."""


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Undo some of our changes inside."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(step_module, name, CHANGES[name]))
        yield


def step_of(pairs: Pairs, *undone: str) -> Callable[[], float]:
    """Return a training step that draws its own batches, the same for every candidate."""
    config = phantom()
    with without(*undone):
        taken = TrainerStep(start_model(config), pairs, config)

    def step() -> float:
        with without(*undone):
            return taken().item()

    return step


def supervised_step_of(pairs: Pairs) -> Callable[[], float]:
    """Return a training step of the classifier on the same tower and films."""
    config = phantom()
    bundle = start_model(config)
    network = nn.Sequential(bundle.model.visual, nn.Linear(bundle.config["embed_dim"], len(FINDINGS)))
    arrange_memory(network.train(), torch.device("cpu"))
    classifier = Classifier(network=network, preprocessing=bundle.preprocessing)
    targets = label_targets(pairs.cohort[list(FINDINGS)].to_numpy(float))
    gradients_of = SupervisedStep(classifier, pairs.images, pairs.rows, targets, config)
    optimizer = make_optimizer(network, config)
    order, steps = EpochOrder(np.ones(len(pairs), dtype=np.int64), config.batch_size, seed=0), count()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        number = next(steps)
        loss = gradients_of(LabelBatch(step=number, positions=order.items(number)))
        optimizer.step()
        return loss.item()

    return step


def main() -> None:
    """Time all candidates and print medians and ratios."""
    arguments = parser(__doc__)
    arguments.add_argument("--work_dir", type=Path, default=Path("runs/quality"), help="the archive is kept here")
    arguments.add_argument("--repeats", type=int, default=30)
    options = arguments.parse_args()
    pairs = load_pairs(prepared(DemoConfig(out_dir=options.work_dir / "seed_1", seed=1)).training)
    names = {"open_clip": tuple(CHANGES), "ours": (), **{f"ours without {name}": (name,) for name in CHANGES}}
    steps = {name: step_of(pairs, *undone) for name, undone in names.items()}
    steps["supervised"] = supervised_step_of(pairs)
    seconds = interleaved_seconds(steps, repeats=options.repeats)
    figures: dict[str, Any] = {}
    for name, own in seconds.items():
        figures[f"{name}: ms per step"] = 1000 * statistics.median(own)
        figures[f"{name}: times faster than open_clip"] = median_ratio(seconds["open_clip"], own)
    report(figures, title="One training step of phantom-tiny, batch 32", json_path=options.json)


if __name__ == "__main__":
    main()
