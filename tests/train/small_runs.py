"""What one process and several compute on the same small batches: losses and gradients.

As a script it is one of several processes, with torchrun's environment: `small_runs.py FOLDER` writes FOLDER/RANK.pt.
"""

import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import open_clip
import torch

import models
from cohort.image_reader import ArrayImages
from train.distributed import World, join_world
from train.input.batches import PairBatches, batches_from
from train.input.pairs import Pairs
from train.step import ContrastiveStep, prepare
from train.train_config import Augmentation, TrainConfig

TRANSFORMER = {
    "embed_dim": 16,
    "vision_cfg": {"layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
FORMS = {
    "sentences, sigmoid": {"positive_weight": 2.0},
    "sentences, softmax": {"form": "softmax"},
    "reports, softmax": {"objective": "reports", "form": "softmax"},
    "reports, sigmoid": {"objective": "reports"},
    "clip": {"objective": "reports", "form": "softmax", "duplicates": "negatives"},
}
CASES = [
    *itertools.product(FORMS, (1, 2), ("many",)),
    ("sentences, softmax", 2, "few"),
    ("reports, sigmoid", 2, "few"),
]
"""form, parts, texts: few means fewer than processes times parts"""


def register_transformer():
    """Make a model of two transformers, without batch norm, known to open_clip as "toy-vit"."""
    path = Path(tempfile.mkdtemp()) / "toy-vit.json"
    path.write_text(json.dumps(TRANSFORMER))
    open_clip.add_model_config(path)


def pairs(texts):
    rng = np.random.default_rng(0)
    n = 15
    films = rng.integers(0, 255, (n, 32, 32)).astype(np.uint8)
    reports = {
        "many": [f"Finding {i % 9}. Left edema {i % 2}. {'Bones. ' * (i % 3)}" for i in range(n)],
        "few": ["Edema." if i % 4 else "Clear lungs." for i in range(n)],
    }
    return Pairs(images=ArrayImages(films), rows=np.arange(n), texts=reports[texts])


def settings(form, parts):
    return TrainConfig(
        model="toy-vit", pretrained=None, batch_size=15, accum_freq=parts, precision="fp32", device="cpu",
        augment=Augmentation(shift=0.1, brightness=0.2, flip=0.5), init_scale=10.0, **FORMS[form],
    )  # fmt: skip


def run(form, parts, texts, world):
    """Return loss and gradients of the first batch; 15 pairs, so that shares are uneven."""
    config = settings(form, parts)
    # other weights in each process: the first one's count
    bundle = models.build("toy-vit", seed=world.rank)
    prepare(bundle, config)
    bundle.model.train()
    step = ContrastiveStep(bundle, config, world)
    loss = step(next(batches_from(0, PairBatches(pairs(texts), bundle, config, world), config)))
    return {"loss": loss, **{name: value.grad for name, value in bundle.model.named_parameters()}}


def main(folder):
    torch.set_num_threads(1)
    register_transformer()
    with join_world(torch.device("cpu")) as world:
        results = {case: run(*case, world) for case in CASES}
        extras = {
            "world": world,
            "total": world.total(torch.tensor([world.rank + 1.0])),
            "from_main": world.from_main(torch.tensor([world.rank + 1.0])),
            "alone": World(),
        }
        torch.save(
            {"results": results, **{name: str(value) for name, value in extras.items()}}, folder / f"{world.rank}.pt"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
