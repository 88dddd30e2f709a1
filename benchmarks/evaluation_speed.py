"""What zero-shot evaluation costs, as ratios within one run: against the reference recipe, and against scikit-learn.

python benchmarks/evaluation_speed.py --json
python benchmarks/evaluation_speed.py --parts bootstrap prompts  # a minute; also: retrieval, encoding, templates

The baseline of scoring is CheXzero's recipe in our own code: films are normalised and resized one at a time in float32,
and encoded once for the positive and once more for the negative prompts; texts are encoded one finding at a time. Both
get the same random films of 320 pixels and ViT-B/32 with random weights, and give the same probabilities.
"""

import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from harness import interleaved_seconds, median_ratio, parser, report
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits
from torch.nn.functional import normalize
from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize

import metrics
import models
from cohort import FINDINGS, open_images
from metrics.ranks import image_to_text_ranks, text_to_image_ranks
from models import CHEXZERO, Bundle
from zero_shot import PromptPair, PromptSet, from_templates, score
from zero_shot.features import Phrases
from zero_shot.prompts import NO_FINDING, expand
from zero_shot.scoring import score_phrases

RESOLUTION = 320
LABELS = (*(finding for finding in FINDINGS if finding != NO_FINDING), "Lung Nodule")
PAIR = ("{}", "no {}")
TEN = (
    *("{}", "signs of {}", "there is {}", "findings of {}", "{} is seen"),
    *("{} is present", "new {}", "mild {}", "severe {}", "{} on this film"),
)
N_PROMPTS, N_EMBEDDINGS, WIDTH = 1_000, 100_000, 512
N_IMAGES, N_PATIENTS, PREVALENCE, N_REPLICATES = 20_000, 6_000, 0.1, 1_000
N_BASELINE = 2
"""replicates that scikit-learn computes; its time is scaled up to N_REPLICATES"""
N_PAIRS, PAIR_WIDTH, DUPLICATES = 50_000, 128, 0.3
PARTS = ("retrieval", "bootstrap", "prompts", "encoding", "templates")


def reference_scores(bundle: Bundle, path: Path, labels: Sequence[str]) -> np.ndarray:
    """Return probabilities by CheXzero's recipe.

    Source: rajpurkarlab/CheXzero zero_shot.py, `zeroshot_classifier`, `predict`, `run_softmax_eval`, in our own code.
    """
    transform = Compose(
        [
            Normalize(CHEXZERO.mean * 3, CHEXZERO.std * 3),
            Resize(CHEXZERO.image_size, interpolation=InterpolationMode.BICUBIC, antialias=False),
        ]
    )
    network: Any = bundle.model

    # positive prompts, then negative ones, and all films encoded anew for each
    sides = []
    with torch.no_grad(), h5py.File(path) as file:
        films = file["cxr"]
        for template in PAIR:
            texts = [network.encode_text(bundle.tokenizer([template.format(label)])) for label in labels]
            weights = normalize(torch.cat([normalize(text, dim=-1) for text in texts]), dim=-1)
            cosines = []
            for position in range(len(films)):
                three = np.repeat(films[position].astype(np.float32)[np.newaxis], 3, axis=0)
                film = transform(torch.from_numpy(three))[None]
                cosines.append(normalize(network.encode_image(film), dim=-1) @ weights.T)
            sides.append(torch.cat(cosines))
    return np.asarray((sides[0] - sides[1]).sigmoid().numpy())


def encoding(parts: Sequence[str], repeats: int, n_films: int) -> dict[str, Any]:
    """Time 14 labels on the films: one template pair against the reference recipe, and ten against one."""
    if not {"encoding", "templates"} & set(parts):
        return {}
    bundle = replace(models.build("ViT-B-32", seed=0), preprocessing=CHEXZERO)
    bundle.model.eval()
    ten_pairs = {
        label: PromptPair(positive=expand((label,), TEN), negative=expand((f"no {label}",), TEN)) for label in LABELS
    }
    prompt_sets = {"one": from_templates(LABELS, PAIR), "ten": PromptSet(name="ten", pairs=ten_pairs)}
    scores: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cxr.h5"
        pixels = np.random.default_rng(0).integers(1, 256, (n_films, RESOLUTION, RESOLUTION), dtype=np.uint8)
        with h5py.File(path, "w") as file:
            file.create_dataset("cxr", data=pixels)
        with open_images(path) as store:

            def reference() -> None:
                scores["reference"] = reference_scores(bundle, path, LABELS)

            def ours(name: str) -> None:
                scores[name] = score(bundle, store, prompt_sets[name], scoring="chexzero")

            one, ten = partial(ours, "one"), partial(ours, "ten")
            figures: dict[str, Any] = {}
            if "encoding" in parts:
                seconds = interleaved_seconds({"reference": reference, "one": one}, repeats=repeats)
                figures |= {
                    f"reference recipe, {n_films} films: seconds": statistics.median(seconds["reference"]),
                    "ours: seconds": statistics.median(seconds["one"]),
                    "ratio_14x500": median_ratio(seconds["reference"], seconds["one"]),
                    "largest difference of probabilities": float(np.abs(scores["reference"] - scores["one"]).max()),
                }
            if "templates" in parts:
                seconds = interleaved_seconds({"one": one, "ten": ten}, repeats=repeats)
                figures["extra_10_templates"] = median_ratio(seconds["ten"], seconds["one"]) - 1
    return figures


def prompts_on_features(repeats: int) -> dict[str, Any]:
    """Time `score_phrases`, which scores every evaluation, for many pairs of prompts on features that exist already."""
    generator = torch.Generator().manual_seed(0)
    images, positive, negative = (
        normalize(torch.randn(n, WIDTH, generator=generator), dim=-1) for n in (N_EMBEDDINGS, N_PROMPTS, N_PROMPTS)
    )

    # one phrase a side, so that a mixture of phrases and the mean of their features give the same scores
    rows = [[row] for row in range(N_PROMPTS)]
    scorer = partial(score_phrases, images, Phrases(positive, rows), Phrases(negative, rows), scale=1.0)
    scorings = {name: partial(scorer, scoring=name) for name in ("mixture", "temperature")}

    seconds = interleaved_seconds(scorings, repeats=repeats)
    return {f"prompts_seconds, {name}": statistics.median(found) for name, found in seconds.items()}


def bootstrap(repeats: int) -> dict[str, Any]:
    """Time AUROC by bootstrap of patients on one thread, with tied scores, against scikit-learn on every resample."""
    rng = np.random.default_rng(0)
    labels = (rng.random((N_IMAGES, len(LABELS))) < PREVALENCE).astype(float)
    scores = (labels + rng.normal(size=labels.shape)).round(2)
    patients = rng.integers(0, N_PATIENTS, N_IMAGES).astype(str)
    areas: dict[str, np.ndarray] = {}

    def ours() -> None:
        areas["ours"] = metrics.auroc_matrix(
            labels, scores, metrics.patient_weights(patients, N_REPLICATES, np.random.default_rng(1))
        )

    def scikit_learn() -> None:
        weights = metrics.patient_weights(patients, N_REPLICATES, np.random.default_rng(1))
        counts = weights.take(slice(N_BASELINE), np.arange(N_IMAGES))
        each = [
            [roc_auc_score(y, s, sample_weight=own) for y, s in zip(labels.T, scores.T, strict=True)] for own in counts
        ]
        areas["scikit_learn"] = np.array(each)

    with threadpool_limits(1):
        seconds = interleaved_seconds({"ours": ours, "scikit_learn": scikit_learn}, repeats=repeats)
    scaled = [second * N_REPLICATES / N_BASELINE for second in seconds["scikit_learn"]]
    return {
        "bootstrap_seconds": statistics.median(seconds["ours"]),
        f"scikit-learn: seconds, scaled from {N_BASELINE} replicates": statistics.median(scaled),
        "bootstrap_ratio_sklearn": median_ratio(scaled, seconds["ours"]),
        "auc_max_diff": float(np.abs(areas["ours"][:N_BASELINE] - areas["scikit_learn"]).max()),
    }


def retrieval() -> dict[str, Any]:
    """Time ranks in both directions over all pairs of images and texts, of which some texts are the same."""
    rng = np.random.default_rng(0)
    n_texts = round(N_PAIRS * (1 - DUPLICATES))
    images, texts = (rng.normal(size=(n, PAIR_WIDTH)).astype(np.float32) for n in (N_PAIRS, n_texts))
    content = np.concatenate([np.arange(n_texts), rng.integers(0, n_texts, N_PAIRS - n_texts)])
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    image_to_text_ranks(images, texts, content)
    text_to_image_ranks(images, texts, content)
    return {
        "retrieval_seconds": time.perf_counter() - start,
        "retrieval_extra_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kilobytes) / 1024,
        "retrieval_matrix_mb": 4 * N_PAIRS * n_texts / 2**20,
    }


def main() -> None:
    """Run the chosen parts and print their figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    arguments.add_argument("--repeats", type=int, default=3, help="turns of every contestant")
    arguments.add_argument("--n_films", type=int, default=500, help="films that are scored")
    options = arguments.parse_args()
    figures: dict[str, Any] = {}
    if "retrieval" in options.parts:  # first, because a process's peak memory never falls
        figures |= retrieval()
    if "bootstrap" in options.parts:
        figures |= bootstrap(options.repeats)
    if "prompts" in options.parts:
        figures |= prompts_on_features(options.repeats)
    figures |= encoding(options.parts, options.repeats, options.n_films)
    report(figures, title="Zero-shot evaluation", json_path=options.json)


if __name__ == "__main__":
    main()
