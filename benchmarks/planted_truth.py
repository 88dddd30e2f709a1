"""Does the whole path find the disparity that was planted, and none where there is none?

python benchmarks/planted_truth.py --seeds 1 2 3

Scenario `underdiagnosis`: films of Black patients are poorer, so AUROC and sensitivity of a model must come out lower
for them, with an interval that excludes zero; and their reports leave findings out, by a known share. Scenario `null`:
nothing may be flagged.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from harness import parser, report
from simulated_archive import prepared, train_and_score

from audit.simulated_report import sensitivity_of_reports
from audit.under_reporting import POOLED
from cohort import read_cohort
from metrics import MEAN
from wiring.demo_plan import DemoConfig

GROUP = "Black"


def flagged_rows(table: pd.DataFrame) -> list[str]:
    """Return the differences whose simultaneous interval excludes zero, in words."""
    rows = table[table["flagged"]]
    return [
        f"{row.finding} {row.metric} {row.group} {row.difference:+.3f} ({row.difference_low:+.3f} to "
        f"{row.difference_high:+.3f})"
        for row in rows.itertuples()
    ]


def main() -> None:
    """Train on each scenario and seed and print what the subgroup tables say."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments.add_argument("--scenarios", nargs="+", default=["underdiagnosis", "null"])
    # 28 % are held out: what a difference of 0.08 in sensitivity needs among some 30 comparisons
    arguments.add_argument("--n_patients", type=int, default=5000)
    arguments.add_argument("--epochs", type=int, default=DemoConfig().epochs)
    arguments.add_argument("--work_dir", type=Path, default=Path("runs/planted"), help="archives are kept here")
    options = arguments.parse_args()
    figures: dict[str, Any] = {}
    for scenario in options.scenarios:
        for seed in options.seeds:
            config = DemoConfig(
                out_dir=options.work_dir / f"{scenario}_{seed}",
                scenario=scenario,
                seed=seed,
                n_patients=options.n_patients,
                epochs=options.epochs,
            )
            stages = prepared(config)
            results, folder = train_and_score(config, stages, {}, name="recipe")
            where = f"{scenario}, seed {seed}"
            table = pd.read_csv(folder / "subgroups.csv")
            figures[f"{where}: mean AUROC"] = results.metrics.set_index("finding").loc[MEAN, "auroc"]
            means = table[(table["finding"] == MEAN) & (table["group"] == GROUP)]
            for row in means.itertuples():
                figures[f"{where}: {GROUP}, mean {row.metric}"] = (
                    f"{row.value:.3f}, against the rest {row.difference:+.3f} "
                    f"({row.difference_low:+.3f} to {row.difference_high:+.3f}), n_pos {row.n_pos}"
                )
            for family, own in table.groupby("family"):
                figures[f"{where}: flagged, {family}"] = f"{int(own['flagged'].sum())} of {len(own)}"
            figures[f"{where}: flagged are"] = "; ".join(flagged_rows(table)) or "none"
            cohort = read_cohort(stages.packing.outputs.cohort)
            packed = cohort[cohort["h5_row"].notna()]
            omissions = sensitivity_of_reports(packed, stages.archive.out_dir / "truth.csv")
            pooled = omissions[(omissions["finding"] == POOLED) & (omissions["group"] == GROUP)].iloc[0]
            figures[f"{where}: left out of reports, {GROUP}"] = (
                f"{pooled['shortfall']:.1%} more than of the rest ({pooled['shortfall_low']:.1%} to "
                f"{pooled['shortfall_high']:.1%})"
            )
    report(figures, title="Planted and found", json_path=options.json)


if __name__ == "__main__":
    main()
