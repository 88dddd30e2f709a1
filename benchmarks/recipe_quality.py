"""How well the demo's recipe and others learn: held-out zero-shot AUROC, several seeds, equal passes.

python benchmarks/recipe_quality.py --seeds 1 2 3            # the recipe, labels, CheXzero's recipe, shuffled reports
python benchmarks/recipe_quality.py --seeds 1 2 3 --compare duplicates      # equal normal reports, two losses
python benchmarks/recipe_quality.py --seeds 1 --epochs 90 95                # passes over the pairs, and for labels
python benchmarks/recipe_quality.py --seeds 1 2 3 --minutes 30 --patience 8    # long runs, scored at their best step
python benchmarks/recipe_quality.py --merge runs/a.json runs/b.json         # one table of what several calls measured

One setting or several at a time, against the recipe:
  --seeds 100 101 --compare nothing --vary text_start=architecture --vary lr=2e-3,ema=0.99
  --seeds 100 101 --compare nothing --vary texts=half_of_patients,epochs=24 --epochs 12 16
  --seeds 100 --compare nothing --vary augment.shift=0.08,augment.rotation_degrees=10

Each seed draws its own archive, weights and order of images. Choose a setting on some seeds, report on others.
Differences are paired by seed; their interval is Student's over the seeds (none for a single one). Equal minutes
(--minutes) are fair on a quiet machine only. `texts=NAME` trains on other reports, see other_reports.py.
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
from simulated_archive import prepared, train_and_score

from audit.assemble import mean_auroc
from cohort import read_cohort
from metrics import MEAN
from train import TrainConfig
from train.presets import chexzero
from wiring.demo_plan import DemoConfig, Plan
from wiring.supervised_ceiling import ceiling_predictions
from zero_shot import ZeroShotConfig, choose_labels, load_prompts, metrics_table

OURS, SUPERVISED, REFERENCE, SHUFFLED = "ours", "supervised", "reference", "shuffled"
PLAIN, DUPLICATE_AWARE = "plain", "duplicate_aware"
OF_A_RECIPE = (
    *("objective", "form", "duplicates", "optimizer", "lr", "momentum", "weight_decay", "warmup", "schedule"),
    *("grad_clip", "clamp_scale", "precision", "text_start", "text_rate", "batch_size", "augment", "antialias"),
)
"""Settings of CheXzero's recipe; model, images, reports, minutes and seed are the demo's"""
TEXTS = "texts"
"""key of a run's settings that names a rewriting of the reports; all other keys are training options"""
AUGMENT = "augment."
"""prefix of an augmentation option in a run's settings"""
WHOLE_REPORTS = {"objective": "reports", "form": "softmax"}
Compare = Literal["recipes", "duplicates", "nothing"]


def overrides_of(text: str) -> dict[str, Any]:
    """Return "lr=2e-3,form=sigmoid" as settings; a value that is not a Python literal is text."""
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
    lengths: Sequence[Mapping[str, Any]],
    patience: int | None = None,
) -> dict[str, Any]:
    """Return run -> AUROC, mean and by finding; `lengths` are settings of the runs, and of the classifier."""
    for_pairs, for_labels = lengths

    tables, found = {}, {}
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
    predictions = ceiling_predictions(training, scoring)
    cohort = read_cohort(scoring.cohort_filepath).set_index("image_id", drop=False)
    chosen = cohort.loc[predictions["image_id"]].reset_index(drop=True)
    findings = load_prompts(scoring.prompts).findings
    return metrics_table(
        predictions,
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
        ValueError: the calls differ in patients or length, two files measured the same run, or a seed lacks a run.
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
    arguments.add_argument(
        "--epochs", type=int, nargs=2, default=[DemoConfig().epochs] * 2, metavar=("PAIRS", "LABELS")
    )
    arguments.add_argument("--minutes", type=float, help="in place of passes: minutes of training")
    arguments.add_argument(
        "--patience",
        type=int,
        help="for pairs: stop after this many validations without a better one, and score the best",
    )
    arguments.add_argument("--work_dir", type=Path, default=Path("runs/quality"), help="archives are kept here")
    arguments.add_argument(
        "--merge", type=Path, nargs="+", metavar="JSON", help="train nothing, join figures of earlier calls"
    )
    options = arguments.parse_args()

    length = f"{options.epochs[0]} passes" if options.minutes is None else f"{options.minutes:g} minutes"
    title = f"Mean zero-shot AUROC, {options.n_patients} patients, {length}"

    if options.merge:
        title, by_seed = merged(options.merge)
    else:
        by_seed = measure_all(options)
    report(compare_runs(by_seed), title=title, json_path=options.json)


def measure_all(options: Namespace) -> dict[str, dict[str, Any]]:
    """Return seed -> run -> areas of all runs that the command line names."""
    runs = {**compared(options.compare), **{text: overrides_of(text) for text in options.vary}}
    runs = {name: settings for name, settings in runs.items() if name not in options.without}
    with_labels = options.compare == "recipes" and SUPERVISED not in options.without

    in_minutes = {"max_minutes": options.minutes}
    lengths = [{"epochs": n} if options.minutes is None else in_minutes for n in options.epochs]

    by_seed = {}
    for seed in options.seeds:
        config = DemoConfig(
            out_dir=options.work_dir / f"seed_{seed}",
            seed=seed,
            n_patients=options.n_patients,
        )
        by_seed[str(seed)] = measure(
            prepared(config),
            config,
            runs,
            with_labels=with_labels,
            lengths=lengths,
            patience=options.patience,
        )
    return by_seed


if __name__ == "__main__":
    main()
