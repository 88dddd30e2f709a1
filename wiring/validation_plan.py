"""What `run_train.py` judges a model by while it trains: prompts against report labels, and held-out pairs.

Here, because training and zero-shot scoring know nothing of each other.
"""

from dataclasses import dataclass, replace

import pandas as pd

from cohort import open_images, read_cohort
from metrics.evidence import MEAN
from models import Bundle
from train import TrainConfig, load_pairs, pair_validation
from train.saving.recorder import Evaluate
from zero_shot import Images, choose_labels, load_prompts, metrics_table, score, select_images


@dataclass(frozen=True, slots=True, kw_only=True)
class RunValidation:
    """How a run is judged while it trains."""

    evaluate: Evaluate | None
    """from a model to its figures; None where the cohort has no validation split"""
    images: pd.DataFrame | None
    """cohort rows of the split that it takes images from"""
    notes: tuple[str, ...] = ()
    """what it lacks"""


def validation(config: TrainConfig) -> RunValidation:
    """Return the validation of a run."""
    cohort = read_cohort(config.cohort_filepath) if config.cohort_filepath.is_file() else None
    if cohort is None or not (cohort["split"] == config.eval_split).any():
        missing = f"no validation, because {config.cohort_filepath} has no image in split {config.eval_split!r}"
        return RunValidation(evaluate=None, images=None, notes=(missing,))
    store = open_images(config.cxr_filepath)
    chosen, images, _ = select_images(cohort, store, split=config.eval_split, views=config.views)
    by_prompts = prompt_validation(config, chosen, images)
    try:
        by_pairs = pair_validation(load_pairs(replace(config, train_split=config.eval_split)), config)
    except ValueError as error:
        notes = (f"no validation loss and no retrieval: {error}",)
        return RunValidation(evaluate=by_prompts, images=chosen, notes=notes)
    return RunValidation(evaluate=lambda bundle: by_prompts(bundle) | by_pairs(bundle), images=chosen)


def prompt_validation(config: TrainConfig, chosen: pd.DataFrame, images: Images) -> Evaluate:
    """Return the function from a model to its zero-shot AUROC: "mean_auroc", and "auroc/FINDING" where defined."""
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
        return {"mean_auroc" if name == MEAN else f"auroc/{name}": float(area) for name, area in areas.items()}

    return evaluate
