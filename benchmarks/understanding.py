"""What the demo's model sees and reads: decisions, heatmaps, probes, retrieval and the spread over prompts.

make demo && python benchmarks/understanding.py --json

Everything is compared with what was drawn into the held-out films of the demo's archive. This is one model: the figures
show what the tools find in it, not how such models are in general.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import parser, report

import models
from cohort import FINDINGS, open_images, read_cohort, read_texts
from run_zero_shot import main as score
from wiring.demo_plan import DemoConfig, Plan, plan, scoring_of
from zero_shot import image_features, load_prompts, pointing_game, prompt_sensitivity, retrieve, select_images
from zero_shot.localisation.boxes import packed_boxes, read_boxes, read_sizes
from zero_shot.localisation.maps import gradient_relevance, patch_margins
from zero_shot.probing.laterality import ask_sides
from zero_shot.probing.minimal_pairs import load_probe
from zero_shot.probing.probe_truth import severity_truth, sides_from_boxes
from zero_shot.probing.probes import ask
from zero_shot.prompts import shipped_names
from zero_shot.wording.families import load_family
from zero_shot.wording.sensitivity import all_prompts, encode_prompts

MILD_BELOW, SEVERE_FROM = 0.55, 0.8  # where the phantom's reports begin to say "mild" and "severe"


def decisions(stages: Plan, config: DemoConfig) -> dict[str, Any]:
    """Return the figures of `run_zero_shot.py` whose thresholds and calibrators come from validation patients."""
    results = score(scoring_of(stages.training, config, out_dir=config.out_dir / "understanding"))
    mean = results.metrics.set_index("finding").loc["mean"]
    calibration, binary = results.decided.calibration, results.decided.decisions
    medians = calibration[calibration["finding"] != "No Finding"].groupby("stage").median(numeric_only=True)
    return {
        "mean AUROC": float(mean["auroc"]),
        "mean AUPRC": float(mean["auprc"]),
        "mean adjusted AUPRC": float(mean["auprc_adjusted"]),
        "median MCC at validation thresholds": float(binary["mcc"].median()),
        **{
            f"median {name}, {stage}": float(medians.loc[stage, name])
            for name in ("calibration_error", "slope", "brier")
            for stage in ("before", "after")
        },
    }


def shown(table: pd.DataFrame, value: str) -> str:
    """Return the first row's figure with its interval."""
    row = table.iloc[0]
    return f"{row[value]:.3f} ({row['low']:.3f} to {row['high']:.3f})"


def main() -> None:
    """Evaluate the model of a demo."""
    arguments = parser(__doc__)
    arguments.add_argument("--run", type=Path, default=DemoConfig().out_dir, help="folder of a demo")
    options = arguments.parse_args()

    config = DemoConfig(out_dir=options.run, n_replicates=500)
    stages = plan(config)
    figures = decisions(stages, config)
    bundle = models.load(stages.training.folder)
    truth = pd.read_csv(stages.archive.out_dir / "truth.csv").set_index("image_id")
    cohort = read_cohort(stages.training.cohort_filepath)
    with open_images(stages.training.cxr_filepath) as store:
        chosen, images, _ = select_images(cohort, store, split="test")
        patients = chosen["subject_id"].tolist()
        here = truth.loc[list(images.ids)].reset_index()
        figures |= heatmaps(bundle, stages, images, patients, resolution=store.resolution)
        figures |= probes(bundle, stages, images, patients, here)
        figures |= texts(bundle, stages, images, chosen)
        figures |= wording(bundle, images, patients, here)
    report(figures, title=f"Understanding of {options.run}, {len(images)} held-out films", json_path=options.json)


def heatmaps(bundle: Any, stages: Plan, images: Any, patients: list[str], *, resolution: int) -> dict[str, Any]:
    """Return the pointing game of both kinds of map, over all pairs of a film and a finding with a box."""
    boxes_of = read_boxes(stages.archive.out_dir / "truth.csv")
    sizes = read_sizes(next(stages.archive.out_dir.rglob("*metadata.csv*")))
    drawn = {finding for boxes in boxes_of.values() for finding in boxes}
    prompts = load_prompts("radiologist")
    prompts = prompts.select([finding for finding in prompts.findings if finding in drawn])
    boxes = packed_boxes(boxes_of, sizes, image_ids=images.ids, findings=prompts.findings, resolution=resolution)

    figures = {}
    for name, maps_of in (("gradient", gradient_relevance), ("similarity", patch_margins)):
        table = pointing_game(
            maps_of(bundle, images, prompts),
            boxes,
            patients,
            findings=prompts.findings,
            resolution=resolution,
            rng=np.random.default_rng(0),
            n_replicates=500,
        )
        # the row of all pairs together
        pooled = table[table["finding"] == "all"]
        figures[f"pointing game, {name}"] = shown(pooled, "pointing_score")
        figures[f"pointing game, {name}, maps of other patients"] = float(pooled["swapped"].iloc[0])
        figures[f"energy in the box, {name}"] = float(pooled["energy"].iloc[0])
    figures["pointing game, chance"] = float(pooled["chance"].iloc[0])
    return figures


def probes(bundle: Any, stages: Plan, images: Any, patients: list[str], truth: pd.DataFrame) -> dict[str, Any]:
    """Return the balanced scores of the probes, mean over their questions; chance is 0.5."""
    findings = [column for column in truth.columns if f"severity_{column}" in truth.columns]
    wanted = [load_probe(name) for name in ("negation", "scope", "normality")]
    tables = [ask(bundle, images, wanted, truth, patients)]
    severity = load_probe("severity")
    of_degree = severity_truth(truth, findings=findings, mild_below=MILD_BELOW, severe_from=SEVERE_FROM)
    tables.append(ask(bundle, images, [severity], of_degree, patients))
    laterality = load_probe("laterality")
    sizes = read_sizes(next(stages.archive.out_dir.rglob("*metadata.csv*")))
    widths = np.array([sizes[image_id][0] for image_id in images.ids])
    findings_with_sides = list(laterality.questions)
    sides = sides_from_boxes(images.ids, truth["boxes"].tolist(), widths, findings=findings_with_sides)
    tables.append(ask_sides(bundle, images, laterality, sides, patients))
    table = pd.concat(tables, ignore_index=True)
    means = table[table["question"] == "mean"]
    return {
        f"probe {row.probe}, {row.task}": f"{row.score:.3f} ({row.low:.3f} to {row.high:.3f})"
        for row in means.itertuples()
    }


def texts(bundle: Any, stages: Plan, images: Any, chosen: pd.DataFrame) -> dict[str, Any]:
    """Return recall at 5 of films and reports: equal reports as hits, and the film's own report only."""
    found = retrieve(
        bundle, images, chosen, read_texts(stages.training.txt_filepath), read_as="sentences", n_replicates=200
    )
    figures: dict[str, Any] = {
        f"R@5, {row.direction}, hit: {row.hit}": float(row.recall_at_5) for row in found.table.itertuples()
    }
    figures["chance of R@5"] = 5 / found.n_texts
    figures["share of reports that equal another"] = found.duplicates_share
    return figures


def wording(bundle: Any, images: Any, patients: list[str], truth: pd.DataFrame) -> dict[str, Any]:
    """Return how much the AUROC depends on the prompt, and how much on the patients."""
    families = [load_family(name) for name in shipped_names(FINDINGS)]
    findings = [finding for finding in load_prompts("radiologist").findings if finding != "No Finding"]
    prompts = all_prompts(families, findings)
    encoded = encode_prompts(bundle, image_features(bundle, images), images.ids, prompts)
    summary = prompt_sensitivity({"model": encoded}, prompts, truth, patients, n_replicates=200).summary
    ok = summary[(summary["status"] == "ok") & (summary["finding"] != "mean")]
    mean = summary[summary["finding"] == "mean"].iloc[0]
    return {
        "prompts per finding": int(np.median([len(own) for own in prompts.values()])),
        "spread over prompts, median of findings": float(ok["spread"].median()),
        "width of the interval over patients, median of findings": float(ok["width"].median()),
        "findings whose spread is larger": f"{(ok['larger'] == 'prompts').sum()} of {len(ok)}",
        "mean AUROC with the worst prompt of every finding": float(mean["bound"]),
    }


if __name__ == "__main__":
    main()
