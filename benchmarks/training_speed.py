"""Speed and memory of training, as ratios within one run: against CheXzero's recipe and against open_clip's step.

python benchmarks/training_speed.py --json
python benchmarks/training_speed.py --parts input           # seconds, all take 15 minutes; also: step, loss, memory

The baseline is CheXzero's recipe in our own code: every sample is normalised and resized separately in float32, every
batch makes a tokeniser, 77 tokens, float32 arithmetic, SGD. Both sides get the same films and reports of a
simulated archive of 320 pixels. Input paths are compared in processor seconds of one thread, steps in seconds.
"""

import copy
import math
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import open_clip
import torch
from harness import interleaved_seconds, median_ratio, parser, report
from simulated_archive import prepared
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize
from trainer_step import TrainerStep

from cohort import open_images
from models import Bundle, to_network_input
from models.network_input import CHEXZERO
from train import Pairs, TrainConfig, load_pairs, start_model
from train.optimise import make_optimizer
from wiring.demo_plan import DemoConfig

RESOLUTION, CONTEXT = 320, 77
READING_BATCH, STEP_BATCH = 64, 32
EFFECTIVE_BATCH = 1024
SHORT_WORDS = 12  # of an impression; findings and impression together fill the 77 tokens
PARTS = ("input", "step", "loss", "memory")


class ReferenceSamples(Dataset[dict[str, Any]]):
    """CheXzero's data set: one float32 film and its report at a time.

    Source: rajpurkarlab/CheXzero train.py:24-65, in our own code.
    """

    def __init__(self, path: Path, texts: Sequence[str], *, image_size: int) -> None:
        self._films = h5py.File(path)["cxr"]
        self._texts = texts
        steps: list[Any] = [Normalize(CHEXZERO.mean * 3, CHEXZERO.std * 3)]
        if image_size != RESOLUTION:
            steps.append(Resize(image_size, interpolation=InterpolationMode.BICUBIC, antialias=False))
        self._transform = Compose(steps)

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, position: int) -> dict[str, Any]:
        three = np.repeat(self._films[position][np.newaxis], 3, axis=0)
        return {"film": self._transform(torch.from_numpy(three)), "text": self._texts[position]}


def reference_tokens(texts: Sequence[str]) -> torch.Tensor:
    """Return 77 tokens per text from a tokeniser made for this batch."""
    tokens: torch.Tensor = open_clip.SimpleTokenizer()(list(texts), context_length=CONTEXT)
    return tokens


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield batches for ever."""
    while True:
        yield from loader


def archive(work_dir: Path) -> tuple[TrainConfig, Path]:
    """Return a training configuration over a simulated archive, and its films as CheXzero stores them, in float32."""
    stages = prepared(DemoConfig(out_dir=work_dir, n_patients=300, image_size=384, resolution=RESOLUTION, seed=1))
    as_floats = work_dir / "float32.h5"
    with open_images(stages.training.cxr_filepath) as store, h5py.File(as_floats, "w") as file:
        file.create_dataset("cxr", data=store.read(np.arange(len(store))).astype(np.float32))
    config = TrainConfig(
        cxr_filepath=stages.training.cxr_filepath,
        txt_filepath=stages.training.txt_filepath,
        cohort_filepath=stages.training.cohort_filepath,
        model="ViT-B-32",
        pretrained=None,
        objective="reports",
        form="softmax",
        antialias=False,
        optimizer="sgd",
        weight_decay=0.0,
        grad_clip=None,
        batch_size=STEP_BATCH,
    )
    return config, as_floats


def input_figures(pairs: Pairs, as_floats: Path, *, repeats: int) -> dict[str, float]:
    """Return how many times cheaper our path from the store to the network is than the reference's."""
    rng = np.random.default_rng(0)
    batches = [rng.choice(len(pairs), READING_BATCH, replace=False) for _ in range(4)]
    figures: dict[str, float] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def reference(samples: ReferenceSamples) -> list[torch.Tensor]:
        return [torch.stack([samples[int(pairs.rows[i])]["film"] for i in batch]) for batch in batches]

    def handed_over() -> list[torch.Tensor]:
        return [torch.from_numpy(pairs.images.read(pairs.rows[batch])) for batch in batches]

    def ours(image_size: int) -> list[torch.Tensor]:
        preprocessing = replace(CHEXZERO, image_size=image_size)
        return [to_network_input(films, preprocessing) for films in handed_over()]

    for image_size in (224, RESOLUTION):
        texts = [""] * h5py.File(as_floats)["cxr"].shape[0]
        samples = ReferenceSamples(as_floats, texts, image_size=image_size)
        runs = {"reference": partial(reference, samples), "ours": partial(ours, image_size), "bytes": handed_over}
        seconds = interleaved_seconds(runs, repeats=repeats, clock=time.process_time)
        figures[f"ratio_input_{image_size}"] = median_ratio(seconds["reference"], seconds["ours"])
        if image_size == CHEXZERO.image_size:
            figures["ratio_input_host"] = median_ratio(seconds["reference"], seconds["bytes"])
        apart = [(a - b).abs().max().item() for a, b in zip(reference(samples), ours(image_size), strict=True)]
        figures[f"largest_difference_{image_size}"] = max(apart)
    torch.set_num_threads(threads)
    return figures


def reference_step(bundle: Bundle, pairs: Pairs, as_floats: Path) -> Callable[[], float]:
    """Return CheXzero's training step on the model, with its own input path."""
    # its data set wants a text for every image of the store
    texts = [""] * h5py.File(as_floats)["cxr"].shape[0]
    for row, text in zip(pairs.rows, pairs.texts, strict=True):
        texts[row] = text
    samples = ReferenceSamples(as_floats, texts, image_size=bundle.preprocessing.image_size)
    order = torch.utils.data.SubsetRandomSampler(pairs.rows.tolist(), generator=torch.Generator().manual_seed(0))
    batches = endless(DataLoader(samples, batch_size=STEP_BATCH, sampler=order, drop_last=True))
    model: Any = bundle.model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def step() -> float:
        batch = next(batches)
        films = normalize(model.encode_image(batch["film"]), dim=-1)
        texts = normalize(model.encode_text(reference_tokens(batch["text"])), dim=-1)
        logits = model.logit_scale.exp() * films @ texts.T
        target = torch.arange(len(logits))
        loss = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


def our_step(bundle: Bundle, pairs: Pairs, config: TrainConfig) -> Callable[[], float]:
    """Return our training step, from the store's bytes to the updated weights."""
    step = TrainerStep(bundle, pairs, config)
    return lambda: step().item()


def open_clip_step(bundle: Bundle, pairs: Pairs, config: TrainConfig) -> Callable[[], float]:
    """Return open_clip's training step on films that are ready: its forward pass, loss and fused AdamW, in bfloat16."""
    films = [
        to_network_input(
            torch.from_numpy(pairs.images.read(pairs.rows[start : start + STEP_BATCH])), bundle.preprocessing
        )
        for start in range(0, 4 * STEP_BATCH, STEP_BATCH)
    ]
    tokens = [
        bundle.tokenizer(pairs.texts[start : start + STEP_BATCH]) for start in range(0, 4 * STEP_BATCH, STEP_BATCH)
    ]
    ready = endless(list(zip(films, tokens, strict=True)))  # type: ignore[arg-type]
    optimizer = make_optimizer(bundle.model, config)
    model: Any = bundle.model.train()
    loss_of = open_clip.ClipLoss()

    def step() -> float:
        film, token = next(ready)
        with torch.autocast("cpu", torch.bfloat16):
            images, texts, scale = model(film, token)
            loss = loss_of(images, texts, scale)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()  # type: ignore[no-any-return]

    return step


def step_figures(config: TrainConfig, pairs: Pairs, as_floats: Path, *, repeats: int) -> dict[str, float]:
    """Return how many times faster our whole step is than the reference's and than open_clip's."""
    bundle = start_model(config)
    adamw = replace(config, optimizer="adamw", precision="bf16")
    short = replace(pairs, texts=[" ".join(text.split()[:SHORT_WORDS]) for text in pairs.texts])
    steps = {
        "reference": reference_step(copy.deepcopy(bundle), pairs, as_floats),
        "ours, sgd": our_step(copy.deepcopy(bundle), pairs, config),
        "open_clip": open_clip_step(copy.deepcopy(bundle), pairs, adamw),
        "ours, adamw": our_step(copy.deepcopy(bundle), pairs, adamw),
        "ours, adamw, short reports": our_step(copy.deepcopy(bundle), short, adamw),
    }
    seconds = interleaved_seconds(steps, repeats=repeats)
    return {
        **{f"{name}: pairs per second": STEP_BATCH / statistics.median(own) for name, own in seconds.items()},
        "ratio_step": median_ratio(seconds["reference"], seconds["ours, sgd"]),
        "ratio_open_clip_step": median_ratio(seconds["open_clip"], seconds["ours, adamw"]),
        "ratio_open_clip_step_short": median_ratio(seconds["open_clip"], seconds["ours, adamw, short reports"]),
    }


def loss_figures(config: TrainConfig, pairs: Pairs, *, steps: int) -> dict[str, float]:
    """Return how far the losses of bfloat16 and float32 are apart over the same steps from the same weights."""
    bundle = start_model(config)
    losses = {}
    for precision in ("fp32", "bf16"):
        step = our_step(copy.deepcopy(bundle), pairs, replace(config, precision=precision))
        losses[precision] = np.array([step() for _ in range(steps)])
    apart = np.abs(losses["bf16"] - losses["fp32"]) / losses["fp32"]
    return {
        "loss_steps": steps,
        "bf16_loss_off_median": float(np.median(apart)),
        "bf16_loss_off_most": float(apart.max()),
    }


def peak_mb(config: TrainConfig, *, batch_size: int, accum_freq: int) -> float:
    """Return the peak memory of this process after two steps, MB."""
    pairs = load_pairs(config)
    # more pairs than the archive has: the same images again, with texts that all differ
    many = np.resize(np.arange(len(pairs)), batch_size)
    texts = [f"{pairs.texts[i]} case {place}" for place, i in enumerate(many)]
    enlarged = Pairs(images=pairs.images, rows=pairs.rows[many], texts=texts)

    settings = replace(config, batch_size=batch_size, accum_freq=accum_freq, optimizer="adamw", precision="bf16")
    step = our_step(start_model(settings), enlarged, settings)
    for _ in range(2):
        step()
    # not getrusage's ru_maxrss, which begins at what the parent process had
    peak_kb = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak_kb[1]) / 1024 if peak_kb else math.nan


def memory_figures(work_dir: Path) -> dict[str, float]:
    """Return the peak memory of a batch of 1,024 in parts against a plain one of 64, each in its own process."""
    found = {}
    for batch_size, accum_freq in ((READING_BATCH, 1), (EFFECTIVE_BATCH, EFFECTIVE_BATCH // READING_BATCH)):
        role = [sys.executable, __file__, "--work_dir", str(work_dir), "--role", f"{batch_size}/{accum_freq}"]
        answer = subprocess.run(role, check=True, capture_output=True, text=True).stdout
        found[batch_size] = float(answer.split()[-1])
    return {
        "memory_mb_64": found[READING_BATCH],
        "memory_mb_1024": found[EFFECTIVE_BATCH],
        "memory_ratio_cached_1024": found[EFFECTIVE_BATCH] / found[READING_BATCH],
    }


def main() -> None:
    """Measure the chosen parts and print medians and ratios."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--work_dir", type=Path, default=Path("runs/train_benchmark"), help="the archive is kept here"
    )
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments.add_argument("--repeats", type=int, default=5, help="turns of every contestant")
    arguments.add_argument("--loss_steps", type=int, default=50)
    arguments.add_argument("--role", help="BATCH/PARTS: print this process's peak memory for it")
    options = arguments.parse_args()

    config, as_floats = archive(options.work_dir)
    if options.role:
        batch_size, accum_freq = map(int, options.role.split("/"))
        print(peak_mb(config, batch_size=batch_size, accum_freq=accum_freq))
        return

    pairs = load_pairs(config)
    measures: dict[str, Callable[[], dict[str, float]]] = {
        "input": lambda: input_figures(pairs, as_floats, repeats=options.repeats),
        "step": lambda: step_figures(config, pairs, as_floats, repeats=options.repeats),
        "loss": lambda: loss_figures(config, pairs, steps=options.loss_steps),
        "memory": lambda: memory_figures(options.work_dir),
    }

    figures: dict[str, float] = {}
    for part in options.parts:
        figures |= measures[part]()
    report(figures, title="Training against the reference recipe and open_clip", json_path=options.json)


if __name__ == "__main__":
    main()
