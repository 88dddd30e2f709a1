"""How well the demo's recipe and others learn: held-out zero-shot AUROC, several seeds, equal minutes.

python benchmarks/quality.py --seeds 1 2 3                   # the recipe, labels, CheXzero's recipe, shuffled reports
python benchmarks/quality.py --seeds 1 2 3 --compare duplicates                  # equal normal reports, two losses
python benchmarks/quality.py --seeds 100 101 --compare nothing --vary text_start=architecture --vary lr=2e-3,ema=0.99
python benchmarks/quality.py --seeds 1 --epochs 90 95                     # passes, where the machine is not quiet

A seed stands for an archive of its own, the weights and the order of the films. Choose on some seeds, report others.
Differences are paired by seed; their interval is Student's over the seeds (none for a single one). Minutes mean what
they say on a quiet machine only; elsewhere count passes, and give labels as many more as benchmarks/train_step.py says
that their steps are cheaper.
"""

import ast
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from common import parser, report
from scipy.stats import sem, t
from simulated import prepared, train_and_score

from audit import MEAN, mean_auroc
from cohort import read_cohort, read_texts
from demo_plan import DemoConfig, Plan
from train import chexzero, supervised_predictions

OURS, SUPERVISED, REFERENCE, SHUFFLED = "ours", "supervised", "reference", "shuffled"
PLAIN, DUPLICATE_AWARE = "plain", "duplicate_aware"
OF_A_RECIPE = (
    *("objective", "form", "duplicates", "optimizer", "lr", "momentum", "weight_decay", "warmup", "schedule"),
    *("grad_clip", "clamp_scale", "precision", "text_start", "text_rate", "batch_size", "augment", "antialias"),
)
"""What CheXzero's recipe says; model, films, reports, minutes and seed are the demo's."""
WHOLE_REPORTS = {"objective": "reports", "form": "softmax"}
SHARE_OF_NORMALS, NORMAL = 0.3, "No acute cardiopulmonary process."
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
            PLAIN: {**WHOLE_REPORTS, "duplicates": "negatives"},
            DUPLICATE_AWARE: {**WHOLE_REPORTS, "duplicates": "positives"},
        }
    return {OURS: {}}


def with_equal_normals(stages: Plan) -> Plan:
    """Return the plan with texts of which 30 % are one and the same normal report, as in real archives."""
    texts = read_texts(stages.training.txt_filepath)
    cohort = read_cohort(stages.training.cohort_filepath).set_index("image_id")
    is_normal = cohort["No Finding"].reindex(texts["image_id"]).eq(1).to_numpy()
    normals = np.flatnonzero(is_normal)[: round(SHARE_OF_NORMALS * len(texts))]
    texts.loc[normals, "text"] = NORMAL
    print(f"{len(normals)} of {len(texts)} reports are {NORMAL!r}")
    path = stages.training.txt_filepath.with_name("equal_normals.csv")
    texts.rename(columns={"text": "impression"}).to_csv(path, index=False)
    return stages._replace(training=replace(stages.training, txt_filepath=path))


def measure(
    stages: Plan, config: DemoConfig, runs: dict[str, dict[str, Any]], *, with_labels: bool, passes: tuple[int, ...]
) -> dict[str, Any]:
    """Return run -> its mean AUROC and that of every finding; `passes` of the runs and of labels replace minutes."""
    tables, found = {}, {}
    for_pairs, for_labels = ({"max_minutes": None, "epochs": n} for n in passes) if passes else ({}, {})
    for name, overrides in runs.items():
        results, _ = train_and_score(config, stages, {**for_pairs, **overrides}, name=name.replace("/", "_"))
        tables[name] = results.metrics
    if with_labels:
        predictions = supervised_predictions(
            replace(stages.training, **for_labels),
            findings=results.findings,
            image_ids=results.predictions["image_id"].tolist(),
        )
        tables[SUPERVISED] = results.judge(predictions, n_replicates=config.n_replicates, seed=config.seed)
    for name, table in tables.items():
        areas = table.loc[(table["status"] == "ok") & (table["finding"] != MEAN)].set_index("finding")["auroc"]
        found[name] = {"mean": mean_auroc(table), **areas.round(4).to_dict()}
        print(f"seed {config.seed}, {name}: mean AUROC {found[name]['mean']:.3f}", flush=True)
    return found


def difference(ours: list[float], others: list[float]) -> dict[str, Any]:
    """Return the mean difference over seeds with Student's 95 % interval, and by seed."""
    each = np.subtract(ours, others)
    low, high = t.interval(0.95, len(each) - 1, each.mean(), sem(each)) if len(each) > 1 else (math.nan, math.nan)
    return {
        "difference": float(each.mean()),
        "interval": f"{low:+.3f} to {high:+.3f}",
        "by seed": " ".join(f"{one:+.3f}" for one in each),
    }


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
    arguments.add_argument("--work_dir", type=Path, default=Path("runs/quality"), help="archives are kept here")
    asked = arguments.parse_args()
    runs = {**compared(asked.compare), **{text: overrides_of(text) for text in asked.vary}}
    runs = {name: settings for name, settings in runs.items() if name not in asked.without}
    by_seed = {}
    for seed in asked.seeds:
        config = DemoConfig(
            out_dir=asked.work_dir / f"seed_{seed}",
            seed=seed,
            n_patients=asked.n_patients,
            train_minutes=asked.minutes,
        )
        stages = prepared(config)
        stages = with_equal_normals(stages) if asked.compare == "duplicates" else stages
        with_labels = asked.compare == "recipes" and SUPERVISED not in asked.without
        by_seed[seed] = measure(stages, config, runs, with_labels=with_labels, passes=tuple(asked.epochs))
    means = {name: [by_seed[seed][name]["mean"] for seed in asked.seeds] for name in by_seed[asked.seeds[0]]}
    first = next(iter(means))
    figures: dict[str, Any] = {}
    for name, own in means.items():
        figures[f"{name}: mean"] = statistics.mean(own)
        figures[f"{name}: by seed"] = " ".join(f"{mean:.3f}" for mean in own)
        if name != first:
            for word, value in difference(own, means[first]).items():
                figures[f"{name} less {first}: {word}"] = value
    if SUPERVISED in means:
        shares = [ours / ceiling for ours, ceiling in zip(means[first], means[SUPERVISED], strict=True)]
        figures["share of supervised: by seed"] = " ".join(f"{share:.3f}" for share in shares)
    figures["findings"] = {str(seed): found for seed, found in by_seed.items()}
    length = f"{asked.epochs[0]} passes" if asked.epochs else f"{asked.minutes:g} minutes"
    report(
        figures,
        title=f"Mean zero-shot AUROC, {asked.n_patients} patients, {length}, seeds {asked.seeds}",
        json_path=asked.json,
    )


if __name__ == "__main__":
    main()
