"""Train on image-text pairs and write runs/NAME/: checkpoints, metrics.jsonl, TensorBoard.

python run_train.py --cxr_filepath data/cxr.h5 --txt_filepath data/mimic_impressions.csv
python run_train.py --preset phantom --model_name phantom
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from exit_codes import exit_code

if TYPE_CHECKING:
    from models import Bundle
    from train import RunSummary, TrainConfig
    from train.recorder import Evaluate


def main(config: TrainConfig) -> RunSummary:
    """Load pairs and model, train with zero-shot validation where labels allow it, and return the summary."""
    from train import fit, load_pairs, start_model  # noqa: PLC0415  (torch, which -h does not need)

    pairs = load_pairs(config)
    print(pairs.describe())
    summary = fit(start_model(config), pairs, config, evaluate=validation(config))
    print(f"{summary.steps} steps, {summary.epochs:.1f} epochs, {summary.seconds:.0f} s; model in {summary.checkpoint}")
    return summary


def validation(config: TrainConfig) -> Evaluate | None:
    """Return the zero-shot AUROC over the validation split's report labels; None, and a note, without such images."""
    import pandas as pd  # noqa: PLC0415

    from cohort import open_images, read_cohort  # noqa: PLC0415
    from zero_shot import choose_labels, load_prompts, metrics_table, score, select_images  # noqa: PLC0415

    cohort = read_cohort(config.cohort_filepath) if config.cohort_filepath.is_file() else None
    if cohort is None or not (cohort["split"] == config.eval_split).any():
        print(f"note: no validation, because {config.cohort_filepath} has no image in split {config.eval_split!r}")
        return None
    store = open_images(config.cxr_filepath)
    chosen, images, _ = select_images(cohort, store, split=config.eval_split, views=config.views)
    chosen, few = chosen[: config.eval_images], slice(config.eval_images)
    images = replace(images, rows=images.rows[few], ids=images.ids[few])
    prompts = load_prompts(config.eval_prompts)
    labels = choose_labels(chosen, prompts.findings)
    patients = chosen["subject_id"].tolist()

    def evaluate(bundle: Bundle) -> dict[str, float]:
        scores = pd.DataFrame(score(bundle, images, prompts), columns=list(prompts.findings))
        scores.insert(0, "image_id", labels["image_id"].to_numpy())
        table = metrics_table(
            scores, labels, patients, findings=prompts.findings, n_replicates=0, min_n=5, min_patients=2
        )
        areas = table.set_index("finding")["auroc"].dropna()
        return {"mean_auroc" if name == "mean" else f"auroc/{name}": float(area) for name, area in areas.items()}

    return evaluate


def cli() -> int:
    """Run from the command line; 2 for input that is missing or cannot be used, 1 for a job that failed."""
    from train.command_line import read_command_line  # noqa: PLC0415

    return exit_code(lambda: main(read_command_line(sys.argv[1:], about=__doc__ or "")))


if __name__ == "__main__":
    sys.exit(cli())
