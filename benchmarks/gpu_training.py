"""The training step on a GPU: its share of the card's matrix rate and its wait for data; does nothing without a GPU.

python benchmarks/gpu_training.py --json
python benchmarks/gpu_training.py --model ViT-B-32 --batch_size 512 --accum_freq 2

Images are random noise, because their content does not change the time. They are read from a store through the
trainer's own loader. The matrix rate is measured in the same run, on square bfloat16 products.
"""

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from harness import parser, report
from torch.utils.flop_counter import FlopCounterMode
from trainer_step import TrainerStep

from cohort import open_images
from train import Pairs, TrainConfig, start_model
from train.distributed import World
from train.input.batches import PairBatches
from train.step import ContrastiveStep, prepare

SIDE, RESOLUTION = 8192, 224
WORDS = ("no", "small", "left", "right", "pleural", "effusion", "pneumothorax", "the", "heart", "is", "normal", "edema")


def matrix_rate() -> float:
    """Return floating-point operations per second of a large bfloat16 product: the median of 30."""
    a, b = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for turn in range(40):
        torch.cuda.synchronize()
        start = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        if turn >= 10:
            seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / statistics.median(seconds)


def draw_store(path: Path, *, n_images: int) -> None:
    """Write images of noise in CheXzero's layout, as bytes."""
    images = np.random.default_rng(0).integers(1, 255, (n_images, RESOLUTION, RESOLUTION), dtype=np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("cxr", data=images)


def draw_reports(n: int) -> list[str]:
    """Return reports of 5 to 40 words."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(5, 41))) + f" {number}" for number in range(n)]


def operations_per_step(config: TrainConfig, pairs: Pairs) -> float:
    """Return the floating-point operations of forward and backward pass of a batch, counted on its first 16 pairs."""
    few = replace(config, batch_size=16, accum_freq=1, compile=False, gradient_checkpointing=False)
    bundle = start_model(few)
    prepare(bundle, few)
    step = ContrastiveStep(bundle, few, World())
    some = replace(pairs, rows=pairs.rows[:16], texts=pairs.texts[:16])
    batch = next(PairBatches(some, bundle, few, World()).epoch())
    with FlopCounterMode(display=False) as counter:
        step(batch)
    return counter.get_total_flops() * config.batch_size / 16


def measure(config: TrainConfig, pairs: Pairs, *, steps: int) -> dict[str, Any]:
    """Return the figures of `steps` steps, after as many that are not counted."""
    step = TrainerStep(start_model(config), pairs, config)
    torch.cuda.reset_peak_memory_stats()

    whole, waited = [], []
    for _ in range(2 * steps):
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        whole.append(time.perf_counter() - start)
        waited.append(step.waited_seconds)

    # the first half warms up: compilation, and the loader's processes
    seconds = statistics.median(whole[steps:])
    rate, reached = matrix_rate(), operations_per_step(config, pairs) / seconds
    return {
        "card": torch.cuda.get_device_name(),
        "model": config.model,
        "batch_size": config.batch_size,
        "accum_freq": config.accum_freq,
        "pairs_per_second": config.batch_size / seconds,
        "data_wait_percent": 100 * sum(waited[steps:]) / sum(whole[steps:]),
        "matrix_tflops": rate / 1e12,
        "step_tflops": reached / 1e12,
        "share_of_matrix_rate": reached / rate,
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def main() -> None:
    """Measure and print, or say why not."""
    arguments = parser(__doc__)
    arguments.add_argument("--model", default="ViT-B-16")
    arguments.add_argument("--batch_size", type=int, default=1024)
    arguments.add_argument("--accum_freq", type=int, default=1)
    arguments.add_argument("--workers", type=int, default=4)
    arguments.add_argument("--steps", type=int, default=20)
    options = arguments.parse_args()

    if not torch.cuda.is_available():
        print("no CUDA device here: nothing was measured")
        return

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "cxr.h5"
        n_images = 4 * options.batch_size
        draw_store(path, n_images=n_images)

        config = TrainConfig(
            model=options.model,
            pretrained=None,
            objective="reports",
            form="softmax",
            precision="bf16",
            compile=True,
            batch_size=options.batch_size,
            accum_freq=options.accum_freq,
            workers=options.workers,
        )

        pairs = Pairs(images=open_images(path), rows=np.arange(n_images), texts=draw_reports(n_images))
        figures = measure(config, pairs, steps=options.steps)
    report(figures, title="Training on a GPU", json_path=options.json)


if __name__ == "__main__":
    main()
