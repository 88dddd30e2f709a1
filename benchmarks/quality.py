"""How well the demo's recipe and variations of it learn: held-out zero-shot AUROC, several seeds, equal minutes.

python benchmarks/quality.py --seeds 1 2 3                                  # the recipe, the labels, the control
python benchmarks/quality.py --seeds 1 2 --vary text_start=architecture --vary lr=2e-3,text_rate=1.0

A seed stands for an archive of its own, the weights and the order of the films. Choose on some seeds, report others.
"""

import ast
import statistics
from pathlib import Path
from typing import Any

from common import parser, report
from simulated import prepared, train_and_score

from audit import MEAN, mean_auroc
from demo_plan import DemoConfig
from train import supervised_predictions

RECIPE, SUPERVISED, SHUFFLED = "recipe", "supervised", "shuffled reports"


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


def measure(config: DemoConfig, variations: dict[str, dict[str, Any]], *, with_labels: bool) -> dict[str, Any]:
    """Return variation -> its mean AUROC and that of every finding."""
    stages, tables, found = prepared(config), {}, {}
    for name, overrides in variations.items():
        results, _ = train_and_score(config, stages, overrides, name=name.replace("/", "_"))
        tables[name] = results.metrics
    if with_labels:
        predictions = supervised_predictions(
            stages.training, findings=results.findings, image_ids=results.predictions["image_id"].tolist()
        )
        tables[SUPERVISED] = results.judge(predictions, n_replicates=config.n_replicates, seed=config.seed)
    for name, table in tables.items():
        areas = table.loc[(table["status"] == "ok") & (table["finding"] != MEAN)].set_index("finding")["auroc"]
        found[name] = {"mean": mean_auroc(table), **areas.round(4).to_dict()}
        print(f"seed {config.seed}, {name}: mean AUROC {found[name]['mean']:.3f}", flush=True)
    return found


def main() -> None:
    """Measure every variation on every seed; print means per seed, medians and paired differences."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments.add_argument("--vary", action="append", default=[], metavar="NAME=VALUE[,...]", help="one more variation")
    arguments.add_argument("--only_recipe", action="store_true", help="neither labels nor shuffled reports")
    arguments.add_argument("--n_patients", type=int, default=DemoConfig().n_patients)
    arguments.add_argument("--minutes", type=float, default=DemoConfig().train_minutes)
    arguments.add_argument("--work_dir", type=Path, default=Path("runs/quality"), help="archives are kept here")
    asked = arguments.parse_args()
    variations = {RECIPE: {}, **{text: overrides_of(text) for text in asked.vary}}
    if not asked.only_recipe:
        variations[SHUFFLED] = {"shuffle_reports": True}
    by_seed = {}
    for seed in asked.seeds:
        config = DemoConfig(
            out_dir=asked.work_dir / f"seed_{seed}",
            seed=seed,
            n_patients=asked.n_patients,
            train_minutes=asked.minutes,
        )
        by_seed[seed] = measure(config, variations, with_labels=not asked.only_recipe)
    figures: dict[str, Any] = {}
    for name in by_seed[asked.seeds[0]]:
        means = [by_seed[seed][name]["mean"] for seed in asked.seeds]
        figures[f"{name}: median"] = statistics.median(means)
        figures[f"{name}: by seed"] = " ".join(f"{mean:.3f}" for mean in means)
        if name != RECIPE:
            differences = [mean - by_seed[seed][RECIPE]["mean"] for seed, mean in zip(asked.seeds, means, strict=True)]
            figures[f"{name}: less recipe, median"] = statistics.median(differences)
    figures["findings"] = {str(seed): found for seed, found in by_seed.items()}
    report(
        figures,
        title=f"Mean zero-shot AUROC, {asked.n_patients} patients, {asked.minutes:g} minutes, seeds {asked.seeds}",
        json_path=asked.json,
    )


if __name__ == "__main__":
    main()
