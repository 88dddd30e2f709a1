"""How well the demo's recipe and others learn: held-out zero-shot AUROC, several seeds, equal minutes.

python benchmarks/quality.py --seeds 1 2 3                   # the recipe, labels, CheXzero's recipe, shuffled reports
python benchmarks/quality.py --seeds 1 2 3 --compare duplicates                  # equal normal reports, two losses
python benchmarks/quality.py --seeds 100 101 --compare nothing --vary text_start=architecture --vary lr=2e-3,ema=0.99
python benchmarks/quality.py --seeds 100 101 --compare nothing --vary texts=half_of_patients,epochs=24 --epochs 12 16
python benchmarks/quality.py --seeds 1 --epochs 90 95                     # passes, where the machine is not quiet
python benchmarks/quality.py --seeds 1 2 3 --minutes 30 --patience 8      # long runs, scored at their best validation
python benchmarks/quality.py --seeds 100 --compare nothing --vary augment.shift=0.08,augment.rotation_degrees=10
python benchmarks/quality.py --merge runs/a.json runs/b.json              # one table of what several calls measured

A seed stands for an archive of its own, the weights and the order of the films. Choose on some seeds, report others.
Differences are paired by seed; their interval is Student's over the seeds (none for a single one). Minutes mean what
they say on a quiet machine only; elsewhere count passes, and give labels as many more as benchmarks/train_step.py says
that their steps are cheaper. `texts=NAME` trains on other reports, see other_reports.py.
"""

import ast
import json
import math
import statistics
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from harness import parser, report
from other_reports import with_texts
from scipy.stats import sem, t
from simulated import prepared, train_and_score

from audit.assemble import mean_auroc
from cohort import open_images, read_cohort
from metrics import MEAN
from train import TrainConfig, supervised_predictions
from train.presets import chexzero
from wiring.demo_plan import DemoConfig, Plan
from zero_shot import ZeroShotConfig, choose_labels, load_prompts, metrics_table, select_images

OURS, SUPERVISED, REFERENCE, SHUFFLED = "ours", "supervised", "reference", "shuffled"
PLAIN, DUPLICATE_AWARE = "plain", "duplicate_aware"
OF_A_RECIPE = (
    *("objective", "form", "duplicates", "optimizer", "lr", "momentum", "weight_decay", "warmup", "schedule"),
    *("grad_clip", "clamp_scale", "precision", "text_start", "text_rate", "batch_size", "augment", "antialias"),
)
"""What CheXzero's recipe says; model, films, reports, minutes and seed are the demo's."""
TEXTS = "texts"
"""in a run's settings, which are the training's otherwise: the name of a rewriting"""
AUGMENT = "augment."
"""in a run's settings, before the name of one of the augmentation's"""
WHOLE_REPORTS = {"objective": "reports", "form": "softmax"}
Compare = Literal["recipes", "duplicates", "nothing"]


def overrides_of(text: str) -> dict[str, Any]:
    """Return "lr=2e-3,form=sigmoid" as settings; what is no Python literal is text."""
    settings = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    return settings


def compared(what: Compare) -> dict[str, dict[str, Any]]:
    """Return name -> settings of the runs of a comparison."""
    if what == "recipes":
        reference = {name: getattr(chexzero(), name) for name in OF_A_RECIPE}
        return {OURS: {}, REFERENCE: reference, SHUFFLED: {"shuffle_reports": True}}
    if what == "duplicates":
        return {
            PLAIN: {**WHOLE_REPORTS, "duplicates": "negatives", TEXTS: "equal_normals"},
            DUPLICATE_AWARE: {**WHOLE_REPORTS, "duplicates": "positives", TEXTS: "equal_normals"},
        }
    return {OURS: {}}


def measure(
    stages: Plan,
    config: DemoConfig,
    runs: dict[str, dict[str, Any]],
    *,
    with_labels: bool,
    passes: tuple[int, ...],
    patience: int | None = None,
) -> dict[str, Any]:
    """Return run -> its mean AUROC and that of every finding; `passes` of the runs and of labels replace minutes."""
    tables, found = {}, {}
    for_pairs, for_labels = ({"max_minutes": None, "epochs": n} for n in passes) if passes else ({}, {})
    for name, settings in runs.items():
        overrides = {"patience": patience, **for_pairs, **settings}
        texts = overrides.pop(TEXTS, None)
        changes = {key: overrides.pop(key) for key in list(overrides) if key.startswith(AUGMENT)}
        overrides["augment"] = replace(
            stages.training.augment, **{key.removeprefix(AUGMENT): value for key, value in changes.items()}
        )
        own_stages = stages if texts is None else with_texts(stages, texts)
        results, _ = train_and_score(config, own_stages, overrides, name=name.replace("/", "_"))
        tables[name] = results.metrics
    if with_labels:
        tables[SUPERVISED] = judge_supervised(replace(stages.training, **for_labels), stages.scoring)
    for name, table in tables.items():
        areas = table.loc[(table["status"] == "ok") & (table["finding"] != MEAN)].set_index("finding")["auroc"]
        found[name] = {"mean": mean_auroc(table), **areas.round(4).to_dict()}
        print(f"seed {config.seed}, {name}: mean AUROC {found[name]['mean']:.3f}", flush=True)
    return found


def judge_supervised(training: TrainConfig, scoring: ZeroShotConfig) -> pd.DataFrame:
    """Return the figures of a classifier trained on report labels, on the images and findings scored by prompts."""
    findings = load_prompts(scoring.prompts).findings
    with open_images(scoring.cxr_filepath) as store:
        chosen, *_ = select_images(
            read_cohort(scoring.cohort_filepath), store, split=scoring.split, views=scoring.views
        )
    return metrics_table(
        supervised_predictions(training, findings=findings, image_ids=chosen["image_id"].tolist()),
        choose_labels(chosen, findings, truth_filepath=scoring.truth_filepath),
        chosen["subject_id"].tolist(),
        findings=findings,
        n_replicates=scoring.n_replicates,
        seed=scoring.seed,
    )


def difference(ours: list[float], others: list[float]) -> dict[str, Any]:
    """Return the mean difference over seeds with Student's 95 % interval, and by seed."""
    each = np.subtract(ours, others)
    low, high = t.interval(0.95, len(each) - 1, each.mean(), sem(each)) if len(each) > 1 else (math.nan, math.nan)
    return {
        "difference": float(each.mean()),
        "interval": f"{low:+.3f} to {high:+.3f}",
        "by seed": " ".join(f"{one:+.3f}" for one in each),
    }


def merged(paths: Sequence[Path]) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the title and seed -> run -> areas of what several calls wrote with --json, in their order.

    Raises:
        ValueError: calls of other patients or length, a run of a seed in two files, or a seed that lacks a run.
    """
    files = [json.loads(path.read_text()) for path in paths]
    titles = {one["title"] for one in files}
    if len(titles) > 1:
        raise ValueError(f"these files are of different settings, one wanted: {' / '.join(sorted(titles))}")
    by_seed: dict[str, dict[str, Any]] = {}
    for path, one in zip(paths, files, strict=True):
        for seed, found in one["figures"]["findings"].items():
            twice = found.keys() & by_seed.setdefault(seed, {}).keys()
            if twice:
                raise ValueError(f"{path} measured {sorted(twice)} on seed {seed}, as another file did: leave one out")
            by_seed[seed] |= found
    names = {name for found in by_seed.values() for name in found}
    lacking = {seed: sorted(names - found.keys()) for seed, found in by_seed.items() if names - found.keys()}
    if lacking:
        raise ValueError(f"every seed needs every run, but some were not measured: {lacking}")
    return titles.pop(), by_seed


def compare_runs(by_seed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return means by seed of every run, and its paired differences from the first one."""
    means = {name: [found[name]["mean"] for found in by_seed.values()] for name in next(iter(by_seed.values()))}
    first = next(iter(means))
    figures: dict[str, Any] = {"seeds": " ".join(by_seed)}
    for name, own in means.items():
        figures[f"{name}: mean"] = statistics.mean(own)
        figures[f"{name}: by seed"] = " ".join(f"{mean:.3f}" for mean in own)
        if name != first:
            for word, value in difference(own, means[first]).items():
                figures[f"{name} less {first}: {word}"] = value
    if SUPERVISED in means and first != SUPERVISED:
        shares = [ours / ceiling for ours, ceiling in zip(means[first], means[SUPERVISED], strict=True)]
        figures["share of supervised: by seed"] = " ".join(f"{share:.3f}" for share in shares)
    return {**figures, "findings": by_seed}


def main() -> None:
    """Measure every run on every seed; print means per seed and paired differences from the first run."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments.add_argument("--compare", choices=get_args(Compare), default="recipes")
    arguments.add_argument("--vary", action="append", default=[], metavar="NAME=VALUE[,...]", help="one more variation")
    arguments.add_argument("--without", nargs="+", default=[], metavar="RUN", help="leave out, such as shuffled")
    arguments.add_argument("--n_patients", type=int, default=DemoConfig().n_patients)
    arguments.add_argument("--minutes", type=float, default=DemoConfig().train_minutes)
    arguments.add_argument("--epochs", type=int, nargs=2, default=(), metavar=("PAIRS", "LABELS"))
    arguments.add_argument(
        "--patience",
        type=int,
        help="of the runs on pairs: end after so many validations without a better one, and score the best",
    )
    arguments.add_argument("--work_dir", type=Path, default=Path("runs/quality"), help="archives are kept here")
    arguments.add_argument("--merge", type=Path, nargs="+", metavar="JSON", help="train nothing, join earlier figures")
    asked = arguments.parse_args()
    length = f"{asked.epochs[0]} passes" if asked.epochs else f"{asked.minutes:g} minutes"
    title = f"Mean zero-shot AUROC, {asked.n_patients} patients, {length}"
    if asked.merge:
        title, by_seed = merged(asked.merge)
    else:
        by_seed = measure_all(asked)
    report(compare_runs(by_seed), title=title, json_path=asked.json)


def measure_all(asked: Namespace) -> dict[str, dict[str, Any]]:
    """Return seed -> run -> areas of what was asked for."""
    runs = {**compared(asked.compare), **{text: overrides_of(text) for text in asked.vary}}
    runs = {name: settings for name, settings in runs.items() if name not in asked.without}
    with_labels = asked.compare == "recipes" and SUPERVISED not in asked.without
    by_seed = {}
    for seed in asked.seeds:
        config = DemoConfig(
            out_dir=asked.work_dir / f"seed_{seed}",
            seed=seed,
            n_patients=asked.n_patients,
            train_minutes=asked.minutes,
        )
        by_seed[str(seed)] = measure(
            prepared(config),
            config,
            runs,
            with_labels=with_labels,
            passes=tuple(asked.epochs),
            patience=asked.patience,
        )
    return by_seed


if __name__ == "__main__":
    main()
